"""Recorder: what it keeps is what the network is and does at that epoch, however it is trained."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Conv2D,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    GlobalAveragePool2D,
    MaxPool2D,
    Module,
    NonFiniteError,
    Normalize,
    Parallel,
    ReLU,
    Rescale,
    Run,
    Sequential,
    Sigmoid,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.inspect import Moment, Recorder
from minidl.inspect._reduction import reduced
from minidl.inspect.recorder import recorded_epochs
from minidl.training.rewrites.dual_weights import DualWeights

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (9, 10, 8, 3), np.uint8)
Y = np.arange(9) % 2


def plain_means(picture: Array, side: int) -> Array:
    """Return the means of squares of one picture, square by square."""
    height, width, channels = picture.shape
    factor = next(f for f in range(1, 1000) if math.ceil(max(height, width) / f) <= side)
    rows, columns = range(0, height, factor), range(0, width, factor)
    means = np.zeros((len(rows), len(columns), channels))
    for i, j in np.ndindex(len(rows), len(columns)):
        square = picture[rows[i] : rows[i] + factor, columns[j] : columns[j] + factor].astype(np.float64)
        means[i, j] = square.reshape(-1, channels).mean(axis=0)
    return means


@given(
    pictures=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=7)),
    side=st.integers(1, 8),
    dtype=st.sampled_from([np.uint8, np.int64, np.float32, np.float64]),
)
def test_pictures_are_reduced_to_means_of_squares(pictures: Array, side: int, dtype: Any) -> None:
    found = reduced(pictures.astype(dtype), side)
    assert found.dtype == (np.float64 if dtype == np.float64 else np.float32)
    for one, picture in zip(found, pictures, strict=True):
        np.testing.assert_allclose(one, plain_means(picture, side), rtol=1e-6)


@given(epochs=st.integers(1, 100_000), limit=st.integers(2, 60))
def test_moments_are_spaced_like_a_logarithm(epochs: int, limit: int) -> None:
    found = recorded_epochs(epochs, limit)
    assert found == sorted(set(found))
    assert found[-1] == epochs
    assert len(found) <= limit - 1
    if limit > 2:
        assert found[0] == 1
        share = epochs ** (1 / (limit - 2))
        assert all(later <= share * earlier + share for earlier, later in itertools.pairwise(found))


def article(seed: int = 0, **settings: Any) -> Trainer:
    model = Sequential(Rescale(), Flatten(), *mlp([240, 5, 4, 1], rng=seed))
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), **{"learning_rate": 0.05, **settings}))


def convolutional() -> Trainer:
    model = Sequential(
        Rescale(), Conv2D(3, 4, 3, padding=1, rng=0), BatchNorm(4), ReLU(), MaxPool2D(2), Dropout(0.3, rng=1),
        GlobalAveragePool2D(), Dense(4, 1, rng=2), Sigmoid(),
    )  # fmt: skip
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))


def normalized() -> Trainer:
    layers = [Rescale(), Normalize(3).adapt(PIXELS / np.float32(255)), Flatten(), *mlp([240, 5, 1], rng=0)]
    model = Sequential(*layers)
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.01, momentum=0.9))


class Copies(Callback):
    """Keeps a copy of the network after each epoch, which pulls the weights."""

    def on_fit_begin(self, run: Run) -> None:
        self.models = {0: deepcopy(run.model)}

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.models[epoch + 1] = deepcopy(run.model)


def outputs(model: Module, x: Array) -> dict[str, Array]:
    """Return the outputs of the layers behind Rescale, Normalize and Flatten, one after the other."""
    found, constant = {}, True
    for i, layer in enumerate(model):  # type: ignore[arg-type, var-annotated]
        constant = constant and isinstance(layer, (Rescale, Normalize, Flatten))
        x = layer.predict(x)
        if not constant:
            found[str(i)] = x
    return found


def check(moment: Moment, model: Module, side: int) -> None:
    first = next(layer for layer in model if isinstance(layer, (Dense, Conv2D)))  # type: ignore[attr-defined]
    weight = first.weight.data
    pictures = weight.reshape(5, 10, 8, 3) if isinstance(first, Dense) else weight
    assert moment.weights is not None
    np.testing.assert_allclose(moment.weights, [plain_means(p, side) for p in pictures], rtol=1e-4, atol=1e-6)
    expected = outputs(model, PIXELS[:3])
    assert moment.activations.keys() == expected.keys()
    for path, output in expected.items():
        np.testing.assert_allclose(moment.activations[path], output, rtol=1e-4, atol=1e-5)
    relus = [str(i) for i, layer in enumerate(model) if isinstance(layer, ReLU)]  # type: ignore[arg-type, var-annotated]
    over_all = outputs(model, PIXELS)
    assert list(moment.dead) == relus
    for path in relus:
        axes = tuple(range(over_all[path].ndim - 1))
        np.testing.assert_array_equal(moment.dead[path], over_all[path].max(axis=axes) <= 0)
    if moment.epoch:
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            norm = np.sqrt(np.square(parameter.grad, dtype=np.float64).sum())
            np.testing.assert_allclose(moment.gradient_norms[name], norm, rtol=2e-3, atol=1e-7)
        assert moment.gradient_norms.keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"weight_decay": 0.1, "momentum": 0.5, "nesterov": True}])
def test_the_articles_network(dual: bool, settings: dict[str, Any]) -> None:
    trainer, recorder, copies = article(**settings), Recorder(PIXELS[:3], side=5), Copies()
    history = trainer.fit(PIXELS, Y, 8, dual=dual, print_every=None, callbacks=[recorder, copies])
    assert [moment.epoch for moment in recorder.moments] == list(range(9))
    for moment in recorder.moments:
        check(moment, copies.models[moment.epoch], 5)
        if moment.epoch:
            assert moment.cost == moment.metrics["loss"] == history["loss"][moment.epoch - 1]
            assert moment.metrics["accuracy"] == history["accuracy"][moment.epoch - 1]
    assert math.isnan(recorder.moments[0].cost)
    assert recorder.moments[0].gradient_norms == {}


@pytest.mark.parametrize("make", [convolutional, normalized])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_other_networks_and_mini_batches(make: Any, batch_size: int | None) -> None:
    trainer, recorder, copies = make(), Recorder(PIXELS[:3], side=10), Copies()
    trainer.fit(PIXELS, Y, 3, batch_size, print_every=None, rng=0, callbacks=[recorder, copies])
    assert trainer.history["loss"][-1] > 0
    for moment in recorder.moments:
        check(moment, copies.models[moment.epoch], 10)


@pytest.mark.parametrize("dual", [False, True])
def test_training_is_the_same_with_it_and_no_weight_is_pulled(dual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pulls: list[int] = []
    pull = DualWeights.pull

    def counted(self: DualWeights, *arguments: Any, **named: Any) -> None:
        pulls.append(len(weights))
        pull(self, *arguments, **named)

    monkeypatch.setattr(DualWeights, "pull", counted)
    weights: list[Mapping[str, Array]] = []
    for callbacks in ([], [Recorder(PIXELS[:2])]):
        trainer = article()
        trainer.fit(PIXELS, Y, 20, dual=dual, print_every=None, callbacks=callbacks)
        weights.append(trainer.model.state_dict())
    assert pulls == ([0, 1] if dual else [])  # at the end of each run
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])


def test_it_follows_weights_that_another_callback_changes() -> None:
    class Halve(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch in (1, 3):
                run.model.parameters()[0].data *= 0.5

    trainer, recorder, copies = article(momentum=0.5), Recorder(PIXELS[:3], side=5), Copies()
    trainer.fit(PIXELS, Y, 6, dual=True, print_every=None, callbacks=[Halve(), Recorder(), copies])
    twin = article(momentum=0.5)
    twin.fit(PIXELS, Y, 6, dual=True, print_every=None, callbacks=[recorder, Halve()])
    for moment in recorder.moments:
        if moment.epoch not in (2, 4):  # it stands before the change there
            check(moment, copies.models[moment.epoch], 5)


def same(one: Any, other: Any) -> None:
    assert [m.epoch for m in one.moments] == [m.epoch for m in other.moments]
    for a, b in zip(one.moments, other.moments, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)
        np.testing.assert_equal((a.cost, dict(a.metrics)), (b.cost, dict(b.metrics)))
        np.testing.assert_equal(dict(a.gradient_norms), dict(b.gradient_norms))
        for mine, others in ((a.activations, b.activations), (a.dead, b.dead)):
            assert mine.keys() == others.keys()
            for path in mine:
                np.testing.assert_array_equal(mine[path], others[path])


@pytest.mark.parametrize("make", [article, convolutional])
def test_a_resumed_run_has_the_same_moments(make: Any, tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        return [Recorder(PIXELS[:2], limit=6), Checkpoint(tmp_path / "run.ckpt", every=4)]

    whole, broken, resumed = callbacks(), callbacks(), callbacks()
    make().fit(PIXELS, Y, 9, print_every=None, callbacks=whole)

    class Fail(Checkpoint):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == 5:
                raise ZeroDivisionError
            super().on_epoch_end(run, epoch, metrics)

    Fail.__name__ = "Checkpoint"
    with pytest.raises(ZeroDivisionError):
        make().fit(PIXELS, Y, 9, print_every=None, callbacks=[broken[0], Fail(tmp_path / "run.ckpt", every=4)])
    trainer = make()
    trainer.resume(tmp_path / "run.ckpt")
    trainer.fit(PIXELS, Y, 9, print_every=None, callbacks=resumed)
    same(whole[0], resumed[0])
    same(pickle.loads(pickle.dumps(resumed[0])), resumed[0])


class EarlyStoppingAt(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if run.epoch == self.epoch:
            run.stop()


@pytest.mark.parametrize("order", [1, -1])
def test_the_last_moment_of_a_run_that_ends_early(order: int) -> None:
    trainer, recorder = article(), Recorder(PIXELS[:3], limit=4, side=5)
    trainer.fit(PIXELS, Y, 100, dual=True, print_every=None, callbacks=[recorder, EarlyStoppingAt(7)][::order])
    assert [moment.epoch for moment in recorder.moments] == [0, 1, 7]
    check(recorder.moments[-1], trainer.model, 5)


def test_a_run_that_fails_and_one_that_is_interrupted() -> None:
    trainer, recorder = article(learning_rate=1e30), Recorder(PIXELS[:3], side=5)
    with pytest.raises(NonFiniteError):
        trainer.fit(PIXELS, Y, 9, print_every=None, callbacks=[recorder])
    assert recorder.moments[-1].epoch == trainer.epoch

    class Interrupt(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == 4:
                raise KeyboardInterrupt

    trainer, recorder = article(), Recorder(PIXELS[:3], side=5, limit=3)
    trainer.fit(PIXELS, Y, 9, dual=True, print_every=None, callbacks=[recorder, Interrupt()])
    assert [moment.epoch for moment in recorder.moments] == [0, 1, 5]
    check(recorder.moments[-1], trainer.model, 5)


def test_what_it_keeps_is_bounded() -> None:
    layers = [Conv2D(3, 40, 3, rng=0), GlobalAveragePool2D(), Dense(40, 3000, rng=0), Dense(3000, 1)]
    model = Sequential(Rescale(), *layers)
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 1e-6))
    pixels = np.zeros((2, 64, 64, 3), np.uint8)
    recorder = Recorder(pixels, limit=2)
    trainer.fit(pixels, [0, 1], 2, print_every=None, callbacks=[recorder])
    assert [moment.epoch for moment in recorder.moments] == [0, 2]
    assert {path: a.shape for path, a in recorder.moments[1].activations.items()} == {
        "1": (2, 11, 11, 16), "2": (2, 40), "3": (2, 2048), "4": (2, 1),
    }  # fmt: skip


def test_tables_keep_their_weights_whole() -> None:
    model, recorder = mlp([4, 3, 1], rng=0), Recorder(np.ones((1, 4)))
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    trainer.fit(np.ones((5, 4)), [0, 1, 0, 1, 1], 3, print_every=None, callbacks=[recorder])
    np.testing.assert_array_equal(recorder.moments[-1].weights, model[0].weight.data)
    wide = mlp([4000, 2, 1], rng=0)
    trainer = Trainer(wide, BinaryCrossEntropy(), SGD(wide.parameters(), 0.1))
    trainer.fit(np.ones((5, 4000)), [0, 1, 0, 1, 1], 3, dual=True, print_every=None, callbacks=[recorder := Recorder()])
    assert recorder.moments[-1].weights is None


def test_a_new_run_begins_anew_and_a_longer_one_stays_bounded(tmp_path: Path) -> None:
    trainer, recorder = article(), Recorder(limit=5)
    for _ in range(2):
        trainer.fit(PIXELS, Y, 9, print_every=None, callbacks=[recorder])
        assert [moment.epoch for moment in recorder.moments] == [0, 1, 2, 4, 9]
    trainer.fit(PIXELS, Y, 9, print_every=None, callbacks=[recorder, Checkpoint(tmp_path / "run.ckpt", every=9)])
    again = Recorder(limit=5)
    trainer.resume(tmp_path / "run.ckpt")
    trainer.fit(PIXELS, Y, 81, print_every=None, callbacks=[again, Checkpoint(tmp_path / "run.ckpt", every=9)])
    epochs = [moment.epoch for moment in again.moments]
    assert (epochs[0], epochs[-1], len(epochs)) == (0, 81, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recorder(limit=1), "Recorder limit: expected a whole number of at least 2, received 1"),
        (lambda: Recorder(side=0), "Recorder side"),
        (lambda: Recorder(np.zeros(3)), r"Recorder photographs: expected from 1 to 16 samples.*\(3,\)"),
        (lambda: Recorder(np.zeros((17, 3))), r"expected from 1 to 16 samples.*\(17, 3\)"),
        (lambda: Recorder((np.zeros((2, 3)), np.zeros((2, 3)))), "expected one array, received a tuple of 2"),
        (lambda: Recorder([[np.nan]]), "Recorder photographs: expected finite numbers"),
        (lambda: Recorder().load_state_dict({"moments": 3}), "expected a list of moments, received 3"),
        (lambda: Recorder().load_state_dict({"moments": [{}]}), "expected a moment of"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("dual", [False, True])
def test_photographs_of_another_shape_are_refused_before_training(dual: bool) -> None:
    trainer = article()
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match=r"Recorder photographs: expected samples of shape \(10, 8, 3\)"):
        trainer.fit(PIXELS, Y, 3, dual=dual, print_every=None, callbacks=[Recorder(PIXELS[:2, :5])])
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_batches_from_a_generator_and_several_inputs() -> None:
    trainer, recorder = convolutional(), Recorder(PIXELS[:3], side=10)
    batches = [(PIXELS[:5], Y[:5]), (PIXELS[5:], Y[5:])]
    trainer.fit(lambda: iter(batches), epochs=3, print_every=None, callbacks=[recorder])
    expected = outputs(trainer.model, PIXELS[:3])
    np.testing.assert_allclose(recorder.moments[-1].activations["8"], expected["8"], rtol=1e-5)
    assert recorder.moments[-1].dead.keys() == {"3"}
    model = Sequential(Parallel(Dense(2, 3, rng=0), Dense(4, 3, rng=1)), ReLU(), Dense(3, 1, rng=2), Sigmoid())
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    x = np.ones((5, 2)), np.ones((5, 4))
    trainer.fit(x, [0, 1, 0, 1, 1], 3, print_every=None, callbacks=[recorder := Recorder()])
    assert recorder.moments[-1].dead["1"].shape == (3,)
    assert recorder.moments[-1].weights is None
    with pytest.raises(ValueError, match=r"Recorder photographs: expected samples of shape .* received \(1, 2\)"):
        trainer.fit(x, [0, 1, 0, 1, 1], 3, print_every=None, callbacks=[Recorder([[1.0, 1.0]])])


def test_early_stopping_beside_it() -> None:
    trainer, recorder = article(), Recorder(limit=4)
    trainer.fit(PIXELS, Y, 50, dual=True, print_every=None, callbacks=[recorder, EarlyStopping("loss", 1, 1e9)])
    assert recorder.moments[-1].epoch == trainer.epoch
