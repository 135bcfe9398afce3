"""The dual form of samples outside memory: the descent of the direct form, read in parts, within known memory."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside_memory import Rows
from PIL import Image
from strategies import seeds

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    EarlyStopping,
    Flatten,
    History,
    ImageFileError,
    Normalize,
    Parameter,
    ReLU,
    Rescale,
    Run,
    Sequential,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.data import LazyImages
from minidl.data.subset import Subset
from minidl.ops import tuning
from minidl.training.checked_slices import CheckedSlices
from minidl.training.rewrites import dual
from minidl.training.rewrites.sample_parts import columns_at_once, parts_of, passes_over, rows_at_once
from minidl.training.rewrites.wide_samples import WideSamples

SETTINGS = [{}, {"momentum": 0.8, "nesterov": True}, {"weight_decay": 0.05}, {"momentum": 0.9, "weight_decay": 0.05}]


def mapped(x: Array, order: Any = "C") -> Any:
    """Return a map of a file that ends with it."""
    with tempfile.TemporaryFile() as file:
        map_ = np.memmap(file, x.dtype, "w+", shape=x.shape, order=order)
    map_[...] = x
    return map_


def strided(x: Array) -> Any:
    """Return part of a mapped file; its samples with more than one axis are no rows of the memory."""
    return mapped(np.repeat(x, 2, axis=1))[:, ::2]


def some_rows(source: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Return what makes the same samples of some rows of others, in another order."""

    def make(x: Array) -> Any:
        order = np.random.default_rng(len(x)).permutation(len(x))
        doubled = np.concatenate([x[order], x + 1])
        return Subset(source(doubled), np.argsort(order))

    return make


KINDS: dict[str, Callable[[Array], Any]] = {
    "array": lambda x: x,
    "mapped": mapped,
    "mapped by columns": lambda x: mapped(x, "F"),
    "strided": strided,
    "subset of a map": some_rows(mapped),
    "subset of a subset": some_rows(some_rows(mapped)),
    "rows": Rows,
    "subset of rows": some_rows(Rows),
}


@pytest.fixture(autouse=True)
def _reading_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let samples be few and small, for which the dual form saves no work; put the constants back at the end."""
    monkeypatch.setattr(dual, "saves_work", lambda *_: True)
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING)


def read_in(part_bytes: int, gram_features: int = 5) -> None:
    tuning.TUNING = tuning.Tuning(part_bytes=part_bytes, gram_features=gram_features)


class Wide:
    """A random wide problem, and a fresh trainer for it as often as wanted."""

    def __init__(self, seed: int, options: dict[str, Any], batch_size: int | None, *, pixels: bool) -> None:
        rng = np.random.default_rng(seed)
        n, self.seed, self.options, self.batch_size = int(rng.integers(2, 9)), seed, options, batch_size
        shape = (int(rng.integers(2, 4)), 2, 3) if pixels else (int(rng.integers(n + 1, 30)),)
        self.features, self.pixels = int(np.prod(shape)), pixels
        if pixels:
            self.features = int(np.prod(shape := (shape[0] + 1, *shape[1:])))
        self.x, self.x_val = self._draw(rng, (n, *shape)), self._draw(rng, (3, *shape))
        self.y, self.y_val = rng.integers(0, 2, n), rng.integers(0, 2, 3)
        self.weight, self.weight_val = rng.uniform(0.5, 2, n), rng.uniform(0.5, 2, 3)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.integers(0, 256, shape, dtype=np.uint8) if self.pixels else rng.normal(size=shape)

    def trainer(self) -> Trainer:
        constant = [Rescale(offset=-0.5, dtype=np.float64), Flatten()] if self.pixels else []
        model = Sequential(*constant, *mlp([self.features, 3, 1], rng=self.seed, dtype=np.float64))
        return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05, **self.options))

    def fit(self, trainer: Trainer, x: Any, x_val: Any, dual: bool, **arguments: Any) -> History:
        validation = (x_val, self.y_val, self.weight_val)
        return trainer.fit(
            x, self.y, 5, self.batch_size, validation, print_every=None, rng=self.seed, dual=dual,
            sample_weight=self.weight, **arguments,
        )  # fmt: skip


problems = st.builds(Wide, seeds, st.sampled_from(SETTINGS), st.sampled_from([None, 1, 2, 3, 20]), pixels=st.booleans())
kinds = st.sampled_from(sorted(KINDS))
part_sizes = st.sampled_from([1, 100, 1000, 1 << 26])


def assert_same(one: Trainer, other: Trainer, histories: tuple[History, History]) -> None:
    for state, expected in (
        (one.model.state_dict(), other.model.state_dict()),
        (one.optimizer.state_dict(), other.optimizer.state_dict()),
    ):
        for name, value in state.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-11)
    assert list(histories[0]) == list(histories[1])
    for name in set(histories[0]) - {"seconds"}:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-9, atol=1e-12)


@settings(max_examples=60)
@given(problems, kinds, kinds, part_sizes)
def test_it_is_the_descent_of_the_direct_form(problem: Wide, kind: str, kind_val: str, part_bytes: int) -> None:
    read_in(part_bytes)
    x, x_val = KINDS[kind](problem.x), KINDS[kind_val](problem.x_val)
    direct, trainer = problem.trainer(), problem.trainer()
    for _ in range(2):  # the second run starts from weights, and with momentum from velocities, of the first
        histories = (
            problem.fit(direct, problem.x, problem.x_val, False),
            problem.fit(trainer, x, x_val, True),
        )
        assert_same(trainer, direct, histories)
        assert trainer.run is not None
        assert trainer.run.span is not None


@given(seeds, kinds, kinds, part_sizes, st.integers(1, 9), st.booleans())
def test_products_are_those_of_the_rows(
    seed: int, kind: str, other_kind: str, part_bytes: int, gram_features: int, normalized: bool
) -> None:
    read_in(part_bytes, gram_features)
    rng = np.random.default_rng(seed)
    n, m, d = (int(number) for number in rng.integers(1, 12, size=3))
    x, others = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    layers = [Normalize(d, dtype=np.float64).adapt(2 * x + 1)] if normalized else []
    seen, seen_others = (layers[0](x), layers[0](others)) if normalized else (x, others)

    def samples(kind: str, x: Array) -> WideSamples:
        source = KINDS[kind](x)
        return WideSamples(source if kind == "array" else CheckedSlices(source, "x"), layers, np.dtype(np.float64))

    one, other = samples(kind, x), samples(other_kind, others)
    for received, expected in (
        (one.products_with(one, 2), seen @ seen.T),
        (one.products_with(other, 2), seen @ seen_others.T),
    ):
        np.testing.assert_allclose(received[:, :-2], expected, rtol=1e-10, atol=1e-12)
        assert received[:, -2:].tolist() == [[0, 1]] * n
    own = one.products_with(one, 1)[:, :-1]
    np.testing.assert_array_equal(own, own.T)
    matrices = [*rng.normal(size=(2, 3, d))]
    one.write_products_with(matrices, products := np.full((n, 7), 9.0))
    expected = np.hstack([*(seen @ matrix.T for matrix in matrices), np.zeros((n, 1))])
    np.testing.assert_allclose(products, expected, rtol=1e-10, atol=1e-12)


@given(seeds, kinds, part_sizes, st.integers(1, 9))
def test_parts_are_the_samples_and_no_larger_than_they_may_be(
    seed: int, kind: str, part_bytes: int, gram_features: int
) -> None:
    read_in(part_bytes, gram_features)
    rng = np.random.default_rng(seed)
    n, d = (int(number) for number in rng.integers(1, 12, size=2))
    x = rng.normal(size=(n, d))
    source = x if kind == "array" else CheckedSlices(KINDS[kind](x), "x")
    start, stop = sorted(int(number) for number in rng.choice(d + 1, 2, replace=False))
    found = np.full((n, d), np.nan)
    for part in parts_of(source, slice(start, stop)):
        assert np.isnan(found[part.rows, part.columns]).all()
        found[part.rows, part.columns] = part.numbers
        if isinstance(source, CheckedSlices):
            least = n * gram_features if source.gives_columns else d
            assert part.numbers.size <= max(part_bytes // 8, least)
    np.testing.assert_array_equal(found[:, start:stop], x[:, start:stop])
    assert np.isnan(found[:, :start]).all()
    assert np.isnan(found[:, stop:]).all()


def small(features: int = 40, units: int = 2, **options: Any) -> Trainer:
    """Return the trainer of a network for `X`, or for the 60 pixels of `pictures`."""
    first = Rescale() if features == 60 else Flatten()
    model = Sequential(first, Flatten(), Dense(features, units, rng=0), ReLU(), Dense(units, 1, rng=1))
    return Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.01, **options))


def is_dual(trainer: Trainer) -> bool:
    assert trainer.run is not None
    return trainer.run.span is not None


X, Y = np.random.default_rng(0).normal(size=(8, 40)).astype(np.float32), np.arange(8) % 2


def test_a_mapped_file_is_read_three_times_however_many_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the Gram matrix, for the products with the first weights, and for the last ones."""
    read_in(500)
    columns, read = CheckedSlices.columns, list[range]()

    def noted(self: CheckedSlices, some: slice) -> Array:
        read.append(range(some.start, some.stop))
        return columns(self, some)

    monkeypatch.setattr(CheckedSlices, "columns", noted)
    small().fit(mapped(X), Y, 30, 3, print_every=None, rng=0)
    assert sorted(column for part in read for column in part) == sorted([*range(40)] * 3)
    assert {len(part) for part in read} == {15, 10}


class CountingRows(Rows):
    """Rows that remember how many were asked for in each read, and from which moment on they cannot be read."""

    def __init__(self, rows: Array) -> None:
        super().__init__(rows)
        self.counts: list[int] = []
        self.is_gone = False

    def __getitem__(self, index: Any) -> Array:
        if self.is_gone:
            raise OSError("the share is gone")
        part = super().__getitem__(index)
        self.counts.append(len(part))
        return part


def test_rows_are_read_in_pairs_of_parts() -> None:
    read_in(3 * 160)  # three rows
    x = CountingRows(X)
    assert passes_over(CheckedSlices(x, "x")) == 2.0
    small().fit(x, Y, 30, 3, print_every=None, rng=0, dual=True)
    counts = x.counts[x.counts.index(3) :]  # after the checks of single rows
    assert counts == [3, 3, 2, 3, 2, 2, *[3, 3, 2] * 2]


def test_memory_is_that_of_the_products_and_of_some_parts(tmp_path: Path) -> None:
    """31 MB in the file; the first weight and what training keeps of it, a few copies, have 0.24 MB each."""
    tuning.TUNING = tuning.Tuning(part_bytes=1 << 20)
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(128, 60_000))
    x[:, ::50] = np.random.default_rng(0).normal(size=(128, 1200))
    y = np.arange(128) % 2
    strided = np.memmap(tmp_path / "x", np.float32, "r", shape=(128, 2, 30_000))[:, :, ::2]
    for source, size, features in ((x, 32, 60_000), (x, None, 60_000), (strided, 32, 30_000)):
        trainer = small(features, 1)
        tracemalloc.start()
        trainer.fit(source, y, 6, size, (source[:20], y[:20]), print_every=None, rng=0, dual=True)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert is_dual(trainer)
        assert peak < 8_000_000


def pictures(folder: Path) -> LazyImages:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 5, 4, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return LazyImages([folder / f"{i}.png" for i in range(8)], size=(5, 4))


class ShiftedImages(LazyImages):
    """A user's own kind of pictures, which may well be others each time."""


class Doubled(Subset):
    """A user's own kind of subset, whose numbers are others than those of its samples."""

    def __getitem__(self, index: Any) -> Array:
        return 2 * super().__getitem__(index)


class DoubledMap(np.memmap[Any, Any]):
    """A user's own kind of mapped file."""

    def __getitem__(self, index: Any) -> Any:
        return 2 * np.asarray(super().__getitem__(index))


def test_kinds_of_the_users_are_asked_for_their_rows() -> None:
    of_map = mapped(X).view(DoubledMap)
    for source in (Doubled(mapped(X), slice(None)), of_map):
        trainers = small(), small()
        trainers[0].fit(2 * X, Y, 20, 3, (2 * X, Y), print_every=None, rng=0, dual=False)
        trainers[1].fit(source, Y, 20, 3, (source, Y), print_every=None, rng=0, dual=True)
        for name in ("loss", "val_loss"):
            np.testing.assert_allclose(trainers[1].history[name], trainers[0].history[name], rtol=1e-4)
        trainers[1].fit(source, Y, 60, 3, print_every=None, rng=0)
        assert not is_dual(trainers[1])


def test_by_itself_it_is_chosen_for_files_that_stay_as_they_are(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    for source, chosen in (
        (mapped(X), True),
        (mapped(X, "F"), True),
        (Subset(mapped(X), slice(None)), True),
        (images, True),
        (Subset(images, slice(None)), True),
        (ShiftedImages(sorted(tmp_path.iterdir()), images.size), False),
        (Rows(X), False),
        (Subset(Rows(X), slice(None)), False),
    ):
        features = int(np.prod(source.shape[1:]))
        for sources in ((source, None), (X if features == 40 else images[:], (source, Y))):
            trainer = small(features)
            trainer.fit(sources[0], Y, 60, 3, sources[1], print_every=None, rng=0)
            assert is_dual(trainer) is chosen
        trainer.fit(source, Y, 2, 3, print_every=None, rng=0, dual=True)
        assert is_dual(trainer)


def test_by_itself_it_keeps_within_its_memory_and_reads_less(tmp_path: Path) -> None:
    needed = 4 * 8 * (8 + 2 * 2 + 1)
    images = pictures(tmp_path)
    cases: list[tuple[Any, dict[str, Any], int, bool]] = [
        (mapped(X), {"gram_bytes": needed}, 60, True),
        (mapped(X), {"gram_bytes": needed - 1}, 60, False),
        (mapped(X), {"part_bytes": 1}, 4, True),
        (mapped(X), {}, 3, False),
        (images, {"part_bytes": 60 * 2}, 5, True),  # in four parts, read 2.5 times for the Gram matrix
        (images, {"part_bytes": 60 * 2}, 4, False),
    ]
    for source, constants, epochs, chosen in cases:
        tuning.TUNING = tuning.Tuning(**constants)
        trainer = small(int(np.prod(source.shape[1:])), 2)
        trainer.fit(source, Y, epochs, 3, print_every=None, rng=0)
        assert is_dual(trainer) is chosen
    tuning.TUNING = tuning.Tuning(gram_bytes=2 * needed - 1)  # of which the validation samples take half
    trainer = small()
    trainer.fit(mapped(X), Y, 60, 3, (mapped(X), Y), print_every=None, rng=0)
    assert not is_dual(trainer)


def test_by_itself_it_counts_how_often_validation_samples_are_read(tmp_path: Path) -> None:
    """In parts of one sample, each of which is multiplied with all validation samples."""
    images = pictures(tmp_path)
    many = Subset(images, np.tile(np.arange(8), 4))
    tuning.TUNING = tuning.Tuning(part_bytes=60)
    for samples, validation, epochs, chosen in (
        (images, None, 7, True),
        (images, many, 8, False),
        (images, many, 9, True),
        (images[:], many, 2, False),
        (images[:], many, 3, True),
    ):
        trainer = small(60)
        pair = None if validation is None else (validation, np.tile(Y, 4))
        trainer.fit(samples, Y, epochs, 3, pair, print_every=None, rng=0)
        assert is_dual(trainer) is chosen


def test_by_itself_it_counts_what_checkpoints_read(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    for source in (mapped(X), images):
        for every, chosen in ((1, False), (2, False), (10, True)):
            trainer = small(int(np.prod(source.shape[1:])))
            callbacks = [Checkpoint(tmp_path / "run", every)]
            trainer.fit(source, Y, 60, 3, print_every=None, rng=0, callbacks=callbacks)
            assert is_dual(trainer) is chosen


def test_parts_of_an_array_in_memory_may_be_read_by_any_thread() -> None:
    samples = Subset(Subset(X, slice(None)), slice(None))
    assert samples.prefetch
    assert not Subset(Rows(X, prefetch=False), slice(None)).prefetch
    trainer = small()
    trainer.fit(samples, Y, 60, 3, print_every=None, rng=0)
    assert is_dual(trainer)


def test_a_dtype_that_is_not_of_numpy() -> None:
    direct, trainer = small(), small()
    x: Any = Rows(X)
    x.dtype = "float32 of another library"
    direct.fit(x, Y, 60, 3, print_every=None, rng=0)
    trainer.fit(x, Y, 60, 3, print_every=None, rng=0, dual=True)
    assert [is_dual(direct), is_dual(trainer)] == [False, True]
    np.testing.assert_allclose(direct.history["loss"], trainer.history["loss"], rtol=1e-4)


def test_rows_that_one_thread_alone_may_read_are_trained_directly() -> None:
    x, trainer = Rows(X, prefetch=False), small()
    for samples, validation in ((x, None), (X, (x, Y))):
        with pytest.raises(ValueError, match="dual=True: any thread must be able to read the samples, received some"):
            trainer.fit(samples, Y, 2, 3, validation, print_every=None, dual=True)
        trainer.fit(samples, Y, 60, 3, validation, print_every=None)
        assert not is_dual(trainer)


@pytest.mark.parametrize("kind", ["mapped", "mapped by columns", "subset of a map", "strided", "rows"])
def test_nan_is_named_by_its_row_before_anything_is_changed(kind: str) -> None:
    read_in(300)
    x = X.copy()
    x[5, 1], x[3, 30] = np.nan, np.inf
    trainer = small()
    before = trainer.model.state_dict()
    message = "expected finite numbers, received NaN or infinity, first in row 3"
    for samples, validation, name in ((KINDS[kind](x), None, "x"), (X, (KINDS[kind](x), Y), "validation x")):
        with pytest.raises(ValueError, match=f"^{name}: {message}$"):
            trainer.fit(samples, Y, 60, 3, validation, print_every=None, dual=True)
        for name, value in trainer.model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])


def test_numbers_too_large_for_the_network_are_refused() -> None:
    x = X.astype(np.float64)
    x[4, 7] = -1e200
    with pytest.raises(ValueError, match=r"^x: expected numbers up to 3.4e\+38 in size, received 1e\+200, too large"):
        small().fit(mapped(x), Y, 60, 3, print_every=None, dual=True)


class WatchingRows(Rows):
    """Rows that look, whenever they are read, at what a thread that predicts has of the weight then."""

    weight: Array | None = None

    def __init__(self, rows: Array) -> None:
        super().__init__(rows)
        self.seen: list[Array] = []

    def __getitem__(self, index: Any) -> Array:
        if self.weight is not None:
            self.seen.append(self.weight.copy())
        return super().__getitem__(index)


def test_a_weight_that_has_been_read_is_whole_while_the_next_is_computed() -> None:
    read_in(2 * 160)
    x, whole = WatchingRows(X), list[Array]()

    class Reads(Callback):
        """Reads the weight in every epoch."""

        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            x.weight = dict(run.model.named_parameters())["2.weight"].data
            whole.append(x.weight.copy())

    small().fit(x, Y, 4, 3, print_every=None, rng=0, dual=True, callbacks=[Reads()])
    assert len(x.seen) >= 4 * 3
    assert all(any(np.array_equal(seen, one) for one in whole) for seen in x.seen)


class TakesAway(Callback):
    """Lets rows be gone after some epochs."""

    def __init__(self, rows: CountingRows) -> None:
        self.rows = rows

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.rows.is_gone = epoch == 2


def test_rows_that_are_gone_at_the_end_leave_a_plain_parameter_as_it_was_last_read() -> None:
    x, trainer = CountingRows(X), small(momentum=0.9)
    before = trainer.model.state_dict()["2.weight"]
    with pytest.raises(OSError, match="the share is gone"):
        trainer.fit(x, Y, 3, 3, print_every=None, rng=0, dual=True, callbacks=[TakesAway(x)])
    weight = dict(trainer.model.named_parameters())["2.weight"]
    assert type(weight) is Parameter
    assert "_dual_weights" not in vars(weight)
    assert weight.grad is None
    np.testing.assert_array_equal(weight.data, before)
    trainer.fit(X, Y, 3, 3, print_every=None, rng=0)  # it goes on as any other


class Deletes(Callback):
    """Deletes the files of a folder after the last epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        for file in self.folder.glob("*.png") if run.epoch == run.epochs else ():
            file.unlink()


def test_weights_of_pictures_that_are_gone_are_not_put_back(tmp_path: Path) -> None:
    callbacks = [EarlyStopping("loss"), Deletes(tmp_path)]
    with pytest.raises(ImageFileError, match="No such file"):
        small(60).fit(pictures(tmp_path), Y, 9, 3, print_every=None, rng=0, dual=True, callbacks=callbacks)


def test_resumed_it_ends_in_the_same_bits(tmp_path: Path) -> None:
    read_in(300)
    whole, broken, resumed = (small(momentum=0.9) for _ in range(3))
    job: dict[str, Any] = {"batch_size": 3, "print_every": None, "rng": 0, "dual": True}
    whole.fit(mapped(X), Y, 9, callbacks=[Checkpoint(tmp_path / "whole", every=3)], **job)
    broken.fit(mapped(X), Y, 6, callbacks=[Checkpoint(tmp_path / "broken", every=3)], **job)
    resumed.resume(tmp_path / "broken")
    resumed.fit(mapped(X), Y, 9, callbacks=[Checkpoint(tmp_path / "broken", every=3)], **job)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name])


def test_sizes_of_parts() -> None:
    read_in(1000, gram_features=4)
    x = CheckedSlices(np.zeros((5, 30)), "x")
    assert rows_at_once(x) == 4
    assert columns_at_once(x) == 24  # 40 bytes a column, in multiples of 4
    read_in(1, gram_features=4)
    assert rows_at_once(x) == 1
    assert columns_at_once(x) == 4
