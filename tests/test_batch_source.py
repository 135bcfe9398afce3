"""Batches of a user's own iterable against arrays that are cut into the same batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside_memory import Noise
from strategies import seeds

from minidl import (
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    Embedding,
    History,
    Loss,
    Module,
    NonFiniteError,
    ReLU,
    Run,
    Sequential,
    SoftmaxCrossEntropy,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.data import MixUp
from minidl.metrics import F1, RocAuc
from minidl.training.progress import BAR_OPTIONS

RNG = np.random.default_rng(5)
X = RNG.normal(size=(23, 3)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
HELD_OUT = (RNG.normal(size=(9, 3)).astype(np.float32), np.arange(9) % 2)
LIST = [(X[:8], Y[:8]), (X[8:16], Y[8:16]), (X[16:], Y[16:])]

ENDING = iter(LIST)


class Reader:
    """Batches in a new order in each epoch, as a reader of a file gives them."""

    def __init__(self, seed: int = 3, size: int = 8, x: Any = X, y: Array = Y) -> None:
        self.rng, self.size, self.x, self.y = np.random.default_rng(seed), size, x, y
        self.closed = 0

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        order = self.rng.permutation(len(self.y))
        try:
            for start in range(0, len(order), self.size):
                rows = order[start : start + self.size]
                x = tuple(part[rows] for part in self.x) if isinstance(self.x, tuple) else self.x[rows]
                yield x, self.y[rows]
        finally:
            self.closed += 1


class OneBuffer(Reader):
    """A reader that uses the memory of one batch for the next."""

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        x, y = np.empty_like(self.x), np.empty_like(self.y)
        for part, targets in super().__iter__():
            n = len(targets)
            x[:n], y[:n] = part, targets
            yield x[:n], y[:n]


def new_trainer(model: Module | None = None, loss: Loss | None = None) -> Trainer:
    model = model or Sequential(Dense(3, 6, rng=0), ReLU(), Dropout(0.2, rng=1), Dense(6, 1, rng=2))
    loss = loss or BinaryCrossEntropy(from_logits=True)
    metrics = [F1(threshold=0.0), RocAuc()] if loss.classifies and isinstance(loss, BinaryCrossEntropy) else None
    return Trainer(model, loss, Adam(model.parameters(), 0.05), metrics)


def fitted(trainer: Trainer, *data: Any, **options: Any) -> tuple[dict[str, list[float]], dict[str, Array]]:
    """Return the history without the seconds, and the weights."""
    history = trainer.fit(*data, **{"epochs": 4, "print_every": None, **options})
    return without_seconds(history), trainer.model.state_dict()


def without_seconds(history: History) -> dict[str, list[float]]:
    return {name: values for name, values in history.items() if name != "seconds"}


def assert_same(one: tuple[Any, Mapping[str, Array]], other: tuple[Any, Mapping[str, Array]]) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        np.testing.assert_array_equal(array, other[1][name])


@settings(max_examples=25)
@given(
    st.integers(1, 30),
    st.sampled_from([Reader, OneBuffer]),
    st.sampled_from([None, Noise]),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    seeds,
)
def test_in_the_bits_of_arrays(
    size: int, kind: type[Reader], augmentation: Any, accumulate: int, as_trained: bool, seed: int
) -> None:
    both = []
    y = Y[:, None].astype(np.float32) if as_trained else Y
    runs: list[tuple[Any, dict[str, Any]]] = [
        ((X, y), {"batch_size": size, "rng": seed}),
        ((kind(seed, size, y=y),), {}),
    ]
    for data, options in runs:
        augment = augmentation and augmentation(np.random.default_rng(seed))
        options.update(augment=augment, accumulate=accumulate, validation_data=HELD_OUT, epochs=3)
        both.append(fitted(new_trainer(), *data, **options))
    assert_same(*both)
    assert {"loss", "accuracy", "f1", "val_f1", "val_loss"} <= both[0][0].keys()


def test_mixtures_in_the_bits_of_arrays() -> None:
    both = []
    runs: list[tuple[Any, dict[str, Any]]] = [((X, Y), {"batch_size": 7, "rng": 3}), ((Reader(3, 7),), {})]
    for data, options in runs:
        model = Sequential(Dense(3, 6, rng=0), ReLU(), Dense(6, 1, rng=2))
        trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), Adam(model.parameters(), 0.05))
        both.append(fitted(trainer, *data, **options, augment=MixUp(rng=5)))
    assert_same(*both)


class OnePass:
    """An iterable that ends after one pass, though it is no iterator itself."""

    def __init__(self) -> None:
        self.batches = iter(LIST * 2)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self.batches


def generator_function() -> Iterator[tuple[Any, Any]]:
    yield from LIST


@pytest.mark.parametrize(
    "source",
    [
        LIST,
        tuple(LIST),
        generator_function,
        lambda: LIST,
        lambda: iter(LIST),
        [(x.tolist(), y.tolist()) for x, y in LIST],
        [[x.astype(np.float64), y[:, None]] for x, y in LIST],
    ],
)
def test_each_kind_of_source(source: Any) -> None:
    whole, trainer = new_trainer().evaluate(X, Y, batch_size=8), new_trainer()
    assert trainer.evaluate(source) == whole
    assert_same(fitted(new_trainer(), source), fitted(trainer, LIST))
    assert trainer.history["loss"][-1] < trainer.history["loss"][0]


def test_several_inputs_in_each_batch() -> None:
    class Sum(Module):
        takes_tuples = True

        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = Dense(3, 1, rng=0), Dense(2, 1, rng=1)

        def forward(self, x: Any) -> Array:
            total: Array = self.one(x[0]) + self.other(x[1])
            return total

        def backward(self, grad_output: Array) -> Any:
            return self.one.backward(grad_output), self.other.backward(grad_output)

    x = (X, X[:, :2].astype(np.float64))
    first = fitted(new_trainer(Sum()), x, Y, batch_size=8, rng=3)
    assert_same(first, fitted(new_trainer(Sum()), Reader(x=x)))


def test_tokens_and_batches_without_a_target_that_counts() -> None:
    tokens, y = np.arange(24).reshape(12, 2) % 7, np.arange(12) % 3
    y[4:8] = 9
    batches = [(tokens[i : i + 4], np.stack([y[i : i + 4]] * 2, 1)) for i in (0, 4, 8)]
    losses = [
        new_trainer(
            Sequential(Embedding(7, 4, rng=0), Dense(4, 3, rng=1)),
            SoftmaxCrossEntropy(from_logits=True, ignore_index=9),
        ).evaluate(*data, **options)
        for data, options in (((batches,), {}), ((tokens, np.stack([y] * 2, 1)), {"batch_size": 4}))
    ]
    assert losses[0] == losses[1]


def test_lengths_that_differ_from_batch_to_batch() -> None:
    model = Sequential(Embedding(7, 4, rng=0), Dense(4, 2, rng=1))
    batches = [(np.ones((3, n), np.int64), np.ones((3, n), np.int64)) for n in (2, 5, 2)]
    history = new_trainer(model, SoftmaxCrossEntropy(from_logits=True)).fit(batches, epochs=9, print_every=None)
    assert history["accuracy"][-1] == 1


@pytest.mark.parametrize("source", [generator_function(), iter(LIST), map(tuple, LIST), lambda: ENDING, OnePass()])
def test_what_ends_after_one_pass_is_refused(source: Any) -> None:
    for use in (lambda: new_trainer().fit(source, epochs=1), lambda: new_trainer().evaluate(source)):
        with pytest.raises(TypeError, match="ends after one pass; pass the function that makes it, or a list"):
            use()


def test_a_source_that_has_ended_is_named() -> None:
    class Worn(Reader):
        def __iter__(self) -> Iterator[tuple[Any, Array]]:
            self.closed += 1
            yield from LIST if self.closed < 3 else []

    trainer = new_trainer()
    with pytest.raises(ValueError, match=r"at least one batch .* in each epoch, received none from Worn"):
        trainer.fit(Worn(), epochs=5, print_every=None)
    assert trainer.epoch == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 4}, "batch_size: expected None beside batches"),
        ({"sample_weight": np.ones(23)}, "sample_weight: expected None beside batches"),
        ({"class_weight": "balanced"}, "class_weight: expected None beside batches"),
        ({"validation_split": 0.2}, "validation_split: expected None beside batches"),
        ({"drop_last": True}, "drop_last: expected False beside batches"),
        ({"rng": 0}, "rng: expected None beside batches"),
        ({"dual": True}, "dual=True: the samples must be arrays"),
        ({"validation_data": (*HELD_OUT, np.ones(9))}, "validation_data: expected a pair"),
        ({"epochs": None}, "epochs: expected a whole number"),
    ],
)
def test_arguments_without_meaning_beside_batches(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        new_trainer().fit(LIST, **{"epochs": 1, **options})


def test_weights_for_evaluate_are_refused() -> None:
    with pytest.raises(ValueError, match="sample_weight: expected None beside batches"):
        new_trainer().evaluate(LIST, sample_weight=np.ones(23))
    with pytest.raises(ValueError, match="batch_size: expected None beside batches"):
        new_trainer().evaluate(LIST, batch_size=2)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X[:, :2], Y), "in batch 2"),
        ((X, Y + 1), r"^batch 2: .*\[0, 1\]"),
        ((X, Y[:4]), "^batch 2 x and batch 2 y: .*at least one sample"),
        ((X[:0], Y[:0]), "^batch 2 x and batch 2 y: .*at least one sample"),
        ((np.where(X > 1, np.nan, X), Y), "^batch 2 x: expected finite"),
        ((X, np.where(Y > 0, np.inf, 0)), "^batch 2 y: expected finite"),
        ((np.full((2, 3), 1e300), Y[:2]), "^batch 2 x: expected numbers up to"),
        ((X, np.stack([Y] * 3, 1)), r"^batch 2: .*received \(23, 3\)"),
        ((X.astype(str), Y), "in batch 2"),
        ((X, Y, Y), "^batch 2: expected a pair .* received tuple of 3"),
        (X, "^batch 2: expected a pair"),
        ("xy", "^batch 2: expected a pair"),
    ],
)
def test_each_batch_is_checked_and_named(batch: Any, message: str) -> None:
    trainer = new_trainer()
    before = trainer.model.state_dict()
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.fit([*LIST[:2], batch], epochs=2)
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises((ValueError, TypeError), match=message.replace("batch 2", "batch 0")):
        trainer.evaluate([batch])


@pytest.mark.parametrize("source", [None, 3, [], lambda: 3, X, "text", Reader])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"expected|missing"):
        new_trainer().fit(source if source is not Reader else {}, epochs=1)


def test_samples_without_targets() -> None:
    with pytest.raises(ValueError, match=r"y: expected targets beside samples of shape \(23, 3\)"):
        new_trainer().fit(X, epochs=1)


def test_a_batch_norm_and_one_sample() -> None:
    model = Sequential(BatchNorm(3), Dense(3, 1, rng=0))
    with pytest.raises(ValueError, match="at least two samples for layer 0"):
        new_trainer(model).fit([(X[:1], Y[:1])], epochs=1)
    assert new_trainer(model).evaluate([(X[:1], Y[:1])])["loss"] > 0


class CtrlC(Callback):
    """Ctrl-C after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_middle_of_an_epoch() -> None:
    interrupted, source = new_trainer(), Reader()
    history, weights = fitted(interrupted, source, callbacks=[CtrlC(2 * 3 + 2)])
    assert interrupted.history.interrupted
    other = Reader()
    assert_same((history, weights), fitted(new_trainer(), other, epochs=2))
    assert source.closed == 1 + 3  # the first batch, which was checked before training, too
    assert source.rng.bit_generator.state == other.rng.bit_generator.state


def test_the_first_batch_that_is_checked_draws_no_numbers() -> None:
    source = Reader()
    before = source.rng.bit_generator.state
    with pytest.raises(ValueError, match="the callback's"):
        new_trainer().fit(source, epochs=1, callbacks=[Refusing()])
    assert source.rng.bit_generator.state == before


class Refusing(Callback):
    def on_fit_begin(self, run: Run) -> None:
        raise ValueError("the callback's own")


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    whole = fitted(new_trainer(), Reader(), epochs=5, callbacks=[Checkpoint(tmp_path / "other.npz")])
    fitted(new_trainer(), Reader(), epochs=2, callbacks=[Checkpoint(path)])
    trainer = new_trainer()
    trainer.resume(path)
    assert_same(fitted(trainer, Reader(), epochs=5, callbacks=[Checkpoint(path)]), whole)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (OneBuffer(), "source: expected 'Reader', as in the checkpoint, received 'OneBuffer'"),
        (Reader(x=X.astype(np.int64)), "dtypes of a sample.*int64"),
    ],
)
def test_a_run_is_resumed_with_its_kind_of_source(tmp_path: Path, source: Reader, message: str) -> None:
    path = tmp_path / "run.npz"
    trainer = new_trainer(mlp([3, 1], rng=0), BinaryCrossEntropy())
    trainer.metrics = {}
    trainer.fit(Reader(), epochs=1, callbacks=[Checkpoint(path)], print_every=None)
    trainer.resume(path)
    with pytest.raises(ValueError, match=f"fit after resume, {message}"):
        trainer.fit(source, epochs=2, callbacks=[Checkpoint(path)])


def test_what_is_wrong_is_said_of_the_batch_that_was_read_last() -> None:
    large = [*LIST[:2], (np.full((2, 3), 3e38, np.float32), Y[:2])]
    trainer = new_trainer(Sequential(Dense(3, 4, rng=0), Dense(4, 1, rng=1)))
    with pytest.raises(NonFiniteError, match=r"range from 3e\+38 to 3e\+38"):
        trainer.fit(large, epochs=2, print_every=None)


def test_lines_show_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    new_trainer().fit(LIST, epochs=2)
    assert [line.rsplit(":", 1)[0] for line in capsys.readouterr().out.splitlines()] == [
        "Cost after epoch 0",
        "Cost after epoch 1",
    ]


def test_the_bar_shows_epochs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class Bar:
        def __init__(self, **options: Any) -> None:
            made.append(options)
            self.n = 0

        def update(self, by: int) -> None:
            self.n += by

        def set_postfix(self, shown: Any, refresh: bool) -> None: ...

        def close(self) -> None:
            made.append({"n": self.n})

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True, write=lambda text: None))
    new_trainer().fit(LIST, epochs=3)
    assert made == [{"total": 3, "initial": 0, "unit": "epoch", **BAR_OPTIONS}, {"n": 3}]


def test_an_error_of_the_source_is_its_own() -> None:
    def broken() -> Iterator[tuple[Any, Any]]:
        yield LIST[0]
        raise OSError("the disk is gone")

    uses: list[Callable[[], Any]] = [
        lambda: new_trainer().fit(broken, epochs=1),
        lambda: new_trainer().evaluate(broken),
    ]
    for use in uses:
        with pytest.raises(OSError, match="the disk is gone"):
            use()


def test_batches_are_never_changed() -> None:
    batches = [(x.copy(), y.copy()) for x, y in LIST]
    for x, y in batches:
        x.flags.writeable = y.flags.writeable = False
    fitted(new_trainer(), batches)
    for (x, y), (x_before, y_before) in zip(batches, LIST, strict=True):
        np.testing.assert_array_equal(x, x_before)
        np.testing.assert_array_equal(y, y_before)
