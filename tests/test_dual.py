"""The dual form is the same descent: held to the direct form over random problems, and wherever somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    Adam,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    History,
    LearningRateSchedule,
    Module,
    ReLU,
    Rescale,
    Sequential,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.training import dual
from minidl.training.dual import choose_form, take_apart
from minidl.training.fusion import through_logits

SETTINGS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.8, "nesterov": True},
    {"weight_decay": 0.05},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
]


class Problem:
    """A random wide problem in pixels, and a fresh trainer for it as often as wanted."""

    def __init__(self, seed: int, options: dict[str, Any]) -> None:
        self.seed, self.options = seed, options
        rng = np.random.default_rng(seed)
        self.n = int(rng.integers(2, 9))
        side = int(rng.integers(2, 5))
        self.hidden = [int(units) for units in rng.integers(1, 6, size=rng.integers(0, 4))]
        self.x = rng.integers(0, 256, (self.n, side, side, 3), dtype=np.uint8)
        self.y = rng.integers(0, 2, self.n)
        self.x_val = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
        self.y_val = rng.integers(0, 2, 3)
        self.features = side * side * 3

    def trainer(self) -> Trainer:
        model = Sequential(
            Rescale(offset=-0.5, dtype=np.float64),
            Flatten(),
            *mlp([self.features, *self.hidden, 1], rng=self.seed, dtype=np.float64),
        )
        return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05, **self.options))

    def fit(self, trainer: Trainer, dual: bool, epochs: int = 20, **arguments: Any) -> History:
        return trainer.fit(self.x, self.y, epochs, print_every=None, dual=dual, **arguments)


def assert_same(one: Trainer, other: Trainer) -> None:
    for name, value in one.model.state_dict().items():
        np.testing.assert_allclose(value, other.model.state_dict()[name], rtol=1e-9, atol=1e-11)
    for name, number in one.optimizer.state_dict().items():
        np.testing.assert_allclose(number, other.optimizer.state_dict()[name], rtol=1e-9, atol=1e-11)


def assert_same_history(one: History, other: History) -> None:
    assert list(one) == list(other)
    for name in one:
        if name != "seconds":
            np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12)


problems = st.builds(Problem, seeds, st.sampled_from(SETTINGS))


@given(problems)
def test_costs_and_parameters_are_those_of_the_direct_form(problem: Problem) -> None:
    trainers = problem.trainer(), problem.trainer()
    validation = (problem.x_val, problem.y_val)
    histories = [
        problem.fit(trainer, form, validation_data=validation)
        for trainer, form in zip(trainers, (False, True), strict=True)
    ]
    assert_same_history(*histories)
    assert_same(*trainers)
    # A second run starts from weights, and with momentum from velocities, that the first one left.
    histories = [problem.fit(trainer, form) for trainer, form in zip(trainers, (False, True), strict=True)]
    assert_same_history(*histories)
    assert_same(*trainers)


class Watcher(Callback):
    """A user's callback that looks at the weights through a reference of its own."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.seen: list[Array] = []

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        self.seen.append(self.model.state_dict()["2.weight"])


class Meddler(Callback):
    """A user's callback that changes the weights now and then."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch % 3 == 1:
            dict(trainer.model.named_parameters())["2.weight"].data *= 0.5


@given(problems)
def test_callbacks_see_and_change_the_real_weights(problem: Problem) -> None:
    watchers = []
    trainers = problem.trainer(), problem.trainer()
    for trainer, form in zip(trainers, (False, True), strict=True):
        watchers.append(Watcher(trainer.model))
        schedule = LearningRateSchedule(lambda epoch: 0.1 / (1 + epoch))
        problem.fit(trainer, form, 8, callbacks=[watchers[-1], Meddler(), schedule])
    np.testing.assert_allclose(watchers[0].seen, watchers[1].seen, rtol=1e-9, atol=1e-11)
    assert_same(*trainers)


@given(problems)
def test_early_stopping_keeps_the_best_weights(problem: Problem) -> None:
    trainers = problem.trainer(), problem.trainer()
    validation = (problem.x_val, problem.y_val)
    epochs = []
    for trainer, form in zip(trainers, (False, True), strict=True):
        # Improvements below rounding would make the two forms choose different epochs.
        stopping = EarlyStopping(patience=3, min_delta=1e-6)
        epochs.append(problem.fit(trainer, form, validation_data=validation, callbacks=[stopping]).epochs)
    assert epochs[0] == epochs[1]
    for name, value in trainers[0].model.state_dict().items():
        np.testing.assert_allclose(value, trainers[1].model.state_dict()[name], rtol=1e-9, atol=1e-11)


@settings(max_examples=25)
@given(problems, st.integers(1, 19))
def test_resumed_in_the_middle_it_ends_in_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, problem: Problem, stop_after: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    whole, broken, resumed = problem.trainer(), problem.trainer(), problem.trainer()
    complete = problem.fit(whole, True, callbacks=[Checkpoint(folder / "whole", every=2)])

    class Stop(Callback):
        def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == stop_after:
                raise KeyboardInterrupt

    path = folder / "broken"
    history = broken.fit(
        problem.x, problem.y, 20, print_every=None, dual=True, callbacks=[Stop(), Checkpoint(path, every=2)]
    )
    assert history.interrupted
    assert history.epochs == stop_after + 1
    if not path.exists():  # stopped before the first checkpoint
        return
    resumed.resume(path)
    stop_after = 99
    rest = resumed.fit(
        problem.x, problem.y, 20, print_every=None, dual=True, callbacks=[Stop(), Checkpoint(path, every=2)]
    )
    for name in complete:
        if name != "seconds":
            assert complete[name] == rest[name]
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name])
    direct = problem.trainer()
    problem.fit(direct, False)
    assert_same(direct, resumed)


def test_ctrl_c_and_errors_leave_the_weights_of_the_last_epoch() -> None:
    problem = Problem(3, {"momentum": 0.9})
    reference = problem.trainer()
    problem.fit(reference, False, 5)

    class Break(Callback):
        reads_model = False

        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == 4:
                raise self.error

    for error in (KeyboardInterrupt, OSError):
        trainer = problem.trainer()
        try:
            problem.fit(trainer, True, callbacks=[Break(error)])
        except OSError:
            assert error is OSError
        assert_same(reference, trainer)


def test_the_callers_pixels_stay_as_they_are_and_weights_are_written_in_place() -> None:
    problem = Problem(5, {})
    trainer = problem.trainer()
    before, weight = problem.x.copy(), dict(trainer.model.named_parameters())["2.weight"]
    data = weight.data
    problem.fit(trainer, True)
    np.testing.assert_array_equal(problem.x, before)
    assert weight.data is data


def test_columns_in_blocks_that_do_not_divide_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dual, "COLUMNS", 5)
    problem = Problem(8, {"momentum": 0.5, "weight_decay": 0.1})
    trainers = problem.trainer(), problem.trainer()
    for trainer, form in zip(trainers, (False, True), strict=True):
        problem.fit(trainer, form, validation_data=(problem.x_val, problem.y_val))
    assert_same(*trainers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_samples_need_no_rescaling(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 40)).astype(dtype), rng.integers(0, 2, 6)
    states = []
    for form in (False, True):
        model = mlp([40, 3, 1], rng=0, dtype=dtype)
        Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1)).fit(x, y, 30, print_every=None, dual=form)
        states.append(model.state_dict())
        assert all(value.dtype == dtype for value in states[-1].values())
    for name in states[0]:
        np.testing.assert_allclose(states[0][name], states[1][name], rtol=1e-4, atol=1e-5)


def wide(*layers: Module) -> Sequential:
    return Sequential(*layers, Dense(30, 2, rng=0), ReLU(), Dense(2, 1, rng=1))


def frozen(model: Sequential) -> SGD:
    return SGD(model.parameters()[1:])


def tied() -> Sequential:
    model = Sequential(Dense(30, 30, rng=0), Dense(30, 30, rng=0), Dense(30, 1, rng=0))
    model[1].weight = model[0].weight  # type: ignore[attr-defined]
    return model


CASES: list[tuple[Sequential, Any, int | None, str]] = [
    (wide(), SGD, 2, "the batch must be the whole set, received batch_size=2"),
    (wide(), Adam, None, "SGD without clipping, received Adam"),
    (wide(), lambda p: SGD(p, max_gradient_norm=1.0), None, "SGD without clipping"),
    (wide(Dropout(0.5)), SGD, None, r"only Rescale and Flatten may stand before the first Dense, received Dropout"),
    (Sequential(Dense(3, 1)), SGD, None, r"wider than the set is long, received Dense\(3 -> 1\) for 4 samples"),
    (Sequential(Flatten()), None, None, "received None"),
    (tied(), SGD, None, "must be its own"),
    (wide(), frozen, None, r"the optimizer must move the weight of Dense\(30 -> 2\)"),
]


@pytest.mark.parametrize(("model", "make", "batch_size", "message"), CASES)
def test_where_it_cannot_be_done_it_says_why(
    model: Sequential, make: Any, batch_size: int | None, message: str
) -> None:
    x, y = np.ones((4, 3 if "3 ->" in repr(model[0]) else 30), np.float32), np.array([0, 1, 0, 1])
    owner = model if model.parameters() else wide()
    optimizer = make(model) if make is frozen else SGD(owner.parameters()) if make is None else make(model.parameters())
    if make is None:
        network = through_logits(model, BinaryCrossEntropy(from_logits=True))
        with pytest.raises(ValueError, match=message):
            take_apart(network, optimizer, _batches(x, y))
        return
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)
    with pytest.raises(ValueError, match=f"dual=True: .*{message}"):
        trainer.fit(x, y, 2, batch_size, print_every=None, dual=True)
    trainer.fit(x, y, 2, batch_size, print_every=None)  # by itself it takes the direct form


def _batches(x: Array, y: Array) -> Any:
    from minidl.data import Batches

    return Batches(x, y)


def test_by_itself_it_is_chosen_when_it_pays() -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([49152, 20, 7, 5, 1], rng=0))
    network = through_logits(model, BinaryCrossEntropy())
    optimizer = SGD(model.parameters())
    batches = _batches(np.zeros((1321, 128, 128, 3), np.uint8), np.zeros((1321, 1)))
    assert choose_form("auto", network, optimizer, batches, 2500) is not choose_form(
        False, network, optimizer, batches, 9
    )
    assert choose_form("auto", network, optimizer, batches, 5) is choose_form(False, network, optimizer, batches, 9)
    assert choose_form(True, network, optimizer, batches, 5) is not choose_form(False, network, optimizer, batches, 9)


def test_an_unknown_form() -> None:
    model = mlp([2, 1])
    with pytest.raises(ValueError, match="dual: expected 'auto', True or False, received 'yes'"):
        Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).fit([[1.0, 2.0]], [1], 1, dual="yes")  # type: ignore[arg-type]


def test_the_checkpoint_of_a_dual_run_can_go_on_directly(tmp_path: Path) -> None:
    problem = Problem(11, {"momentum": 0.9})
    first, second = problem.trainer(), problem.trainer()
    problem.fit(first, True, 10, callbacks=[Checkpoint(tmp_path / "c")])
    second.resume(tmp_path / "c")
    problem.fit(second, False, 20, callbacks=[Checkpoint(tmp_path / "c")])
    direct = problem.trainer()
    problem.fit(direct, False, 20)
    assert_same(direct, second)
