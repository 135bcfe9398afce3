"""Data larger than memory: the same bits as in memory, and never more of it at once than a batch."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidl import SGD, BinaryCrossEntropy, Dense, Flatten, NonFiniteError, ReLU, Rescale, Sequential, Sigmoid, Trainer
from minidl._typing import Array
from minidl.data import LazyImages
from minidl.data.subset import Subset
from minidl.errors import ImageFileError

COUNT, BATCH = 24, 5
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 5, 3), dtype=np.uint8)
Y = np.arange(COUNT) % 2


def make(features: int = 90, seed: int = 0) -> Trainer:
    model = Sequential(Rescale(), Flatten(), Dense(features, 4, rng=seed), ReLU(), Dense(4, 1, rng=seed), Sigmoid())
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, 0.5))


class Rows:
    """Rows like those of an HDF5 data set; it remembers how many were read at once."""

    def __init__(self, rows: Array) -> None:
        self.rows, self.shape, self.dtype, self.largest = rows, rows.shape, rows.dtype, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Array:
        part: Array = self.rows[index]
        self.largest = max(self.largest, len(part))
        return part

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise AssertionError("read as a whole")


def as_memmap(folder: Path) -> Any:
    x = np.memmap(folder / "pixels", np.uint8, "w+", shape=PIXELS.shape)
    x[:] = PIXELS
    return x


def as_lazy_images(folder: Path) -> LazyImages:
    for i, picture in enumerate(PIXELS):
        Image.fromarray(picture).save(folder / f"{i}.png")
    return LazyImages([folder / f"{i}.png" for i in range(COUNT)], size=(6, 5))


def as_subset(folder: Path) -> Subset:
    return Subset(as_lazy_images(folder)[::-1], np.arange(COUNT)[::-1])


KINDS: dict[str, Callable[[Path], Any]] = {
    "memmap": as_memmap,
    "LazyImages": as_lazy_images,
    "Subset": as_subset,
    "rows": lambda folder: Rows(PIXELS),
}


@pytest.fixture(params=KINDS, scope="module")
def outside(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return KINDS[request.param](tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("batch_size", [BATCH, None])
def test_fit_gives_the_bits_of_the_same_data_in_memory(outside: Any, batch_size: int | None) -> None:
    trainers = []
    for x in (outside, PIXELS):
        trainer = make()
        part = Subset(outside, slice(0, 7)) if x is outside else PIXELS[:7]
        trainer.fit(x, Y, 4, batch_size, (part, Y[:7]), print_every=None, rng=3)
        trainers.append(trainer)
    first, second = trainers
    for name, array in first.model.state_dict().items():
        assert array.tobytes() == second.model.state_dict()[name].tobytes()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert first.history[name] == second.history[name]


@pytest.mark.parametrize("batch_size", [BATCH, None, 100])
def test_evaluate_and_predict_give_the_same_bits_too(outside: Any, batch_size: int | None) -> None:
    trainer = make()
    assert trainer.evaluate(outside, Y, batch_size) == trainer.evaluate(PIXELS, Y, batch_size)
    assert trainer.model.predict(outside, batch_size).tobytes() == trainer.model.predict(PIXELS, batch_size).tobytes()


def test_no_more_than_a_batch_is_read_at_once() -> None:
    uses: list[Callable[[Rows], object]] = [
        lambda x: make().fit(x, Y, 2, BATCH, (x, Y), print_every=None, rng=0),
        lambda x: make().evaluate(x, Y, BATCH),
        lambda x: make().model.predict(x, BATCH),
    ]
    for use in uses:
        x = Rows(PIXELS)
        use(x)
        assert x.largest == BATCH


def test_a_diagnosis_reads_no_more_than_a_batch_either() -> None:
    x, trainer = Rows(PIXELS), make()
    trainer.optimizer.learning_rate = 1e39
    with pytest.raises(NonFiniteError):
        trainer.fit(x, Y, 9, BATCH, print_every=None, rng=0)
    assert x.largest == BATCH


def test_memory_is_of_the_order_of_a_batch(tmp_path: Path) -> None:
    """12 MB of pixels, which would be 48 MB as float32; a batch of 20 is 480 kB as float32."""
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(2000, 6000))
    y = np.arange(2000) % 2
    trainer = make(6000)
    for use in (
        lambda: trainer.fit(x, y, 2, 20, (x, y), print_every=None, rng=0),
        lambda: trainer.evaluate(x, y, 20),
        lambda: trainer.model.predict(x, 20),
    ):
        tracemalloc.start()
        use()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3_000_000


@pytest.mark.parametrize("dual", [False, True])
def test_what_fit_has_computed_of_the_samples_is_freed_after_it(dual: bool) -> None:
    """3 MB of pixels, which are 12 MB as float32, and a Gram matrix of 0.4 MB; the trainer stays in use."""
    x, y = np.zeros((300, 10_000), np.uint8), np.arange(300) % 2
    trainer = make(10_000)
    trainer.fit(x, y, 1, print_every=None, dual=dual)
    tracemalloc.start()
    trainer.fit(x, y, 2, print_every=None, dual=dual)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    weights = sum(parameter.data.nbytes for parameter in trainer.model.parameters())
    assert kept < 2 * weights + 200_000  # the gradients, and a little beside them


def with_nan(folder: Path) -> Any:
    x = np.memmap(folder / "floats", np.float32, "w+", shape=(COUNT, 90))
    x[:] = 0.5
    x[17, 3] = np.nan
    return x


def test_nan_in_a_later_batch_is_named_by_its_row_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    x, message = with_nan(tmp_path), "expected finite numbers, received NaN or infinity, first in row 17"
    trainer = make()
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match=f"^x: {message}$"):
        trainer.fit(x, Y, 3, BATCH, print_every=None, rng=0)
    for name, array in trainer.model.state_dict().items():
        assert array.tobytes() == before[name].tobytes()
    with pytest.raises(ValueError, match=f"^validation x: {message}$"):
        trainer.fit(np.asarray(x)[:10], Y[:10], 3, BATCH, (x, Y), print_every=None, rng=0)
    for size in (BATCH, None):
        with pytest.raises(ValueError, match=f"^x: {message}$"):
            trainer.evaluate(x, Y, size)
        with pytest.raises(ValueError, match=f"^x: {message}$"):
            trainer.model.predict(x, size)


def test_a_picture_that_breaks_during_training(tmp_path: Path) -> None:
    images, trainer = as_lazy_images(tmp_path), make()
    before = trainer.model.state_dict()
    os.truncate(tmp_path / "17.png", 60)
    with pytest.raises(ImageFileError, match=r"17\.png"):
        trainer.fit(images, Y, 3, BATCH, print_every=None, rng=0)
    for name, array in trainer.model.state_dict().items():
        assert array.tobytes() == before[name].tobytes()
    assert trainer.epoch == 0


def test_samples_of_the_wrong_shape_are_refused_before_anything_is_read_but_one() -> None:
    x = Rows(PIXELS[:, :5])
    with pytest.raises(ValueError, match=r"layer 2, Dense\(90 -> 4\): expected \(batch, 90\), received \(1, 75\)"):
        make().fit(x, Y, 3, BATCH, print_every=None)
    assert x.largest == 1
