"""The dual form is the same descent: held to the direct form over random problems, and in all that callbacks do."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
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
    NonFiniteError,
    Normalize,
    Parameter,
    ReLU,
    Rescale,
    Run,
    Sequential,
    Trainer,
    load,
    mlp,
    save,
)
from minidl._typing import Array
from minidl.data import Batches
from minidl.ops import tuning
from minidl.training import Problem
from minidl.training.rewrites import dual, through_logits
from minidl.training.rewrites.dual import dual_form, take_apart

SETTINGS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.8, "nesterov": True},
    {"weight_decay": 0.05},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
]
BATCHES: list[dict[str, Any]] = [
    {},
    {"class_weight": "balanced"},
    {"batch_size": 1},
    {"batch_size": 2},
    {"batch_size": 3, "class_weight": "balanced"},
    {"batch_size": 2, "drop_last": True},
    {"batch_size": 2, "accumulate": 2},
    {"batch_size": 20},
]


class Wide:
    """A random wide problem in pixels, and a fresh trainer for it as often as wanted."""

    def __init__(self, seed: int, options: dict[str, Any], batches: Mapping[str, Any] | None = None) -> None:
        self.seed, self.options, self.batches = seed, options, batches or {}
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
        arguments = {"rng": self.seed, **self.batches, **arguments}
        return trainer.fit(self.x, self.y, epochs, print_every=None, dual=dual, **arguments)

    def moments(self, epochs: int) -> int:
        """Return how many batches and epochs end in so many epochs."""
        size: int = self.batches.get("batch_size", self.n)
        whole, rest = divmod(self.n, size)
        return epochs * (whole + (rest > 0 and "drop_last" not in self.batches) + 1)


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


problems = st.builds(Wide, seeds, st.sampled_from(SETTINGS), st.sampled_from(BATCHES))


@given(problems)
def test_costs_and_parameters_are_those_of_the_direct_form(problem: Wide) -> None:
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


def weight_of(model: Module) -> Parameter:
    """Return the weight that is trained in the dual form."""
    return dict(model.named_parameters())["2.weight"]


class Watcher(Callback):
    """A user's callback that looks at weight and gradient, at every moment, through a reference of its own."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.states: list[Array] = []
        self.data: list[Array] = []
        self.gradients: list[Array] = []

    def look(self) -> None:
        weight = weight_of(self.model)
        self.data.append(weight.data.copy())
        assert weight.grad is not None
        assert weight.grad.shape == weight.shape
        assert weight.grad.dtype == weight.data.dtype
        self.gradients.append(weight.grad.copy())

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        self.look()

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.states.append(self.model.state_dict()["2.weight"])
        self.look()


class Meddler(Callback):
    """A user's callback that changes the weights now and then."""

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch % 3 == 1:
            weight_of(run.model).data *= 0.5


def assert_saw_the_same(one: Watcher, other: Watcher, *, moments: int) -> None:
    assert len(one.data) == len(one.gradients) == moments
    np.testing.assert_allclose(one.states, other.states, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(one.data, other.data, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(one.gradients, other.gradients, rtol=1e-9, atol=1e-11)


@given(problems)
def test_callbacks_see_the_weights_and_gradients_of_the_direct_form(problem: Wide) -> None:
    watchers = []
    for form in (False, True):
        trainer = problem.trainer()
        watchers.append(Watcher(trainer.model))
        problem.fit(trainer, form, 5, callbacks=[watchers[-1]])
    assert_saw_the_same(*watchers, moments=problem.moments(5))


@given(problems)
def test_callbacks_see_and_change_the_real_weights(problem: Wide) -> None:
    watchers = []
    trainers = problem.trainer(), problem.trainer()
    for trainer, form in zip(trainers, (False, True), strict=True):
        watchers.append(Watcher(trainer.model))
        schedule = LearningRateSchedule(lambda epoch: 0.1 / (1 + epoch))
        problem.fit(trainer, form, 8, callbacks=[watchers[-1], Meddler(), schedule])
    assert_saw_the_same(*watchers, moments=problem.moments(8))
    assert_same(*trainers)


@given(problems)
def test_early_stopping_keeps_the_best_weights(problem: Wide) -> None:
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
    tmp_path_factory: pytest.TempPathFactory, problem: Wide, stop_after: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    whole, broken, resumed = problem.trainer(), problem.trainer(), problem.trainer()
    complete = problem.fit(whole, True, callbacks=[Checkpoint(folder / "whole", every=2)])

    class Stop(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == stop_after:
                raise KeyboardInterrupt

    path = folder / "broken"
    history = problem.fit(broken, True, callbacks=[Stop(), Checkpoint(path, every=2)])
    assert history.interrupted
    assert history.epochs == stop_after + 1
    if not path.exists():  # stopped before the first checkpoint
        return
    resumed.resume(path)
    stop_after = 99
    rest = problem.fit(resumed, True, callbacks=[Stop(), Checkpoint(path, every=2)])
    for name in complete:
        if name != "seconds":
            assert complete[name] == rest[name]
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name])
    direct = problem.trainer()
    problem.fit(direct, False)
    assert_same(direct, resumed)


def test_ctrl_c_and_errors_leave_the_weights_of_the_last_epoch() -> None:
    problem = Wide(3, {"momentum": 0.9})
    reference = problem.trainer()
    problem.fit(reference, False, 5)

    class Break(Callback):
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
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
    problem = Wide(5, {})
    trainer = problem.trainer()
    before, weight = problem.x.copy(), dict(trainer.model.named_parameters())["2.weight"]
    data = weight.data
    problem.fit(trainer, True)
    np.testing.assert_array_equal(problem.x, before)
    assert weight.data is data


def test_columns_in_blocks_that_do_not_divide_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING._replace(gram_features=5))
    problem = Wide(8, {"momentum": 0.5, "weight_decay": 0.1})
    assert problem.features % 5
    trainers, watchers = (problem.trainer(), problem.trainer()), []
    for trainer, form in zip(trainers, (False, True), strict=True):
        watchers.append(Watcher(trainer.model))
        problem.fit(trainer, form, validation_data=(problem.x_val, problem.y_val), callbacks=[watchers[-1]])
    assert_saw_the_same(*watchers, moments=40)
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


class OwnParameter(Parameter):
    """A user's kind of Parameter."""


def own_parameter() -> Sequential:
    model = wide()
    model[0].weight = OwnParameter(model[0].weight.data)
    return model


CASES: list[tuple[Sequential, Any, str]] = [
    (wide(), Adam, "SGD without clipping, received Adam"),
    (wide(), lambda p: SGD(p, max_gradient_norm=1.0), "SGD without clipping"),
    (
        wide(Dropout(0.5)),
        SGD,
        "only Rescale, Normalize and Flatten may stand before the first .* received Dropout",
    ),
    (Sequential(Dense(3, 1)), SGD, r"wider than the set is long, received Dense\(3 -> 1\) for 4 samples"),
    (Sequential(Flatten()), None, "received None"),
    (own_parameter(), SGD, r"received Dense\(30 -> 2\)"),
    (wide(), frozen, r"the optimizer must move the weight of Dense\(30 -> 2\)"),
]


@pytest.mark.parametrize(("model", "make", "message"), CASES)
def test_where_it_cannot_be_done_it_says_why(model: Sequential, make: Any, message: str) -> None:
    x, y = np.ones((4, 3 if "3 ->" in repr(model[0]) else 30), np.float32), np.array([0, 1, 0, 1])
    loss = BinaryCrossEntropy(from_logits=True)
    if make is None:
        problem = Problem(model, loss, SGD(wide().parameters()), Batches(x, y))
        with pytest.raises(ValueError, match=message):
            take_apart(problem)
        assert dual_form(problem, "auto", 2) is problem
        return
    optimizer = make(model) if make is frozen else make(model.parameters())
    trainer = Trainer(model, loss, optimizer)
    with pytest.raises(ValueError, match=f"dual=True: .*{message}"):
        trainer.fit(x, y, 2, print_every=None, dual=True)
    trainer.fit(x, y, 2, print_every=None)  # by itself it takes the direct form


def test_samples_of_several_rows_are_trained_directly() -> None:
    x, y = np.random.default_rng(0).normal(size=(4, 2, 30)).astype(np.float32), np.array([0, 1, 0, 1])
    model = Sequential(Dense(30, 2, rng=0), Flatten(), Dense(4, 1, rng=1))
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()))
    with pytest.raises(ValueError, match=r"dual=True: a sample must be a row of numbers, received .*\(4, 2, 30\)"):
        trainer.fit(x, y, 500, print_every=None, dual=True)
    history = trainer.fit(x, y, 500, print_every=None)
    assert history["loss"][-1] < history["loss"][0]


def test_a_weight_of_two_layers_is_refused_before_any_form_is_chosen() -> None:
    model = Sequential(Dense(30, 30, rng=0), Dense(30, 30, rng=0), Dense(30, 1, rng=0))
    optimizer = SGD(model.parameters())
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match=r"1\.weight and 0\.weight are one Parameter"):
        Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)


def test_by_itself_it_is_chosen_when_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([49152, 20, 7, 5, 1], rng=0))
    batches = Batches(np.zeros((1321, 128, 128, 3), np.uint8), np.zeros((1321, 1)))
    problem = through_logits(Problem(model, BinaryCrossEntropy(), SGD(model.parameters()), batches))
    chosen = replace(problem)
    monkeypatch.setattr(dual, "in_dual_form", lambda problem, parts: chosen)
    assert dual_form(problem, "auto", 2500) is chosen
    assert dual_form(problem, "auto", 5) is problem
    assert dual_form(problem, True, 5) is chosen
    assert dual_form(problem, False, 2500) is problem


@pytest.mark.parametrize(
    ("shape", "samples", "batch_size", "weight_reads", "validated", "too_few"),
    [
        ((12288, 128), 1000, 32, 0, 0, 3),
        ((12288, 128), 1000, 32, 4, 0, 5),
        ((12288, 128), 1000, 32, 0, 1000, 5),
        ((12288, 20), 300, None, 0, 0, 4),
        ((784, 128), 480, 32, 0, 0, 5),
        ((784, 512), 480, None, 0, 0, 32),
        ((784, 512), 480, None, 0, 50, None),  # for which each epoch costs more than it saves
        ((784, 512), 480, 32, 0, 0, None),  # a row of the dual form has 1,505 numbers, about twice those of a sample
        ((784, 20), 480, None, 0, 0, 11),
        ((784, 20), 480, 32, 0, 0, None),  # what a step does besides takes longer than its products
    ],
)
def test_how_many_epochs_are_too_few_to_pay(
    shape: tuple[int, int], samples: int, batch_size: int | None, weight_reads: int, validated: int, too_few: int | None
) -> None:
    model = Sequential(Dense(*shape, rng=0), Dense(shape[1], 1, rng=0))
    batches = Batches(np.zeros((samples, shape[0]), np.float32), np.zeros((samples, 1)), batch_size)
    validation = (np.zeros((validated, shape[0]), np.float32), np.zeros((validated, 1))) if validated else None
    problem = Problem(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()), batches, validation)

    def pays(epochs: int) -> bool:
        return dual.saves_work(problem, take_apart(problem).dense, epochs, weight_reads)

    if too_few is None:
        assert not pays(10**9)
    else:
        assert pays(too_few + 1)
        assert not pays(too_few)


def test_a_frozen_weight_pays_later() -> None:
    """Its gradient is not computed: the direct form has half as many products with the samples."""
    model = Sequential(Dense(784, 128, rng=0), Dense(128, 1, rng=0))
    batches = Batches(np.zeros((480, 784), np.float32), np.zeros((480, 1)))
    problem = Problem(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()), batches)
    assert dual.pays(problem, take_apart(problem), 10, 0)
    model[0].freeze()
    assert not dual.pays(problem, take_apart(problem), 100, 0)
    assert dual.pays(problem, take_apart(problem), 100_000, 0)


@pytest.mark.parametrize(
    ("kind", "samples", "chosen"), [(np.uint8, 208, True), (np.uint8, 210, False), (np.float32, 500, True)]
)
def test_by_itself_it_takes_no_more_memory_than_the_samples(kind: Any, samples: int, chosen: bool) -> None:
    model = Sequential(Dense(1000, 20, rng=0), Dense(20, 1, rng=0))  # whose rows have n + 41 numbers of 4 bytes
    batches = Batches(np.zeros((samples, 1000), kind), np.zeros((samples, 1)))
    problem = Problem(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()), batches)
    assert (dual_form(problem, "auto", 2500) is not problem) is chosen
    assert dual_form(problem, True, 1) is not problem


def test_an_unknown_form() -> None:
    model = mlp([2, 1])
    with pytest.raises(ValueError, match="dual: expected 'auto', True or False, received 'yes'"):
        Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).fit([[1.0, 2.0]], [1], 1, dual="yes")  # type: ignore[arg-type]


def test_the_checkpoint_of_a_dual_run_can_go_on_directly(tmp_path: Path) -> None:
    problem = Wide(11, {"momentum": 0.9})
    first, second = problem.trainer(), problem.trainer()
    problem.fit(first, True, 10, callbacks=[Checkpoint(tmp_path / "c")])
    second.resume(tmp_path / "c")
    problem.fit(second, False, 20, callbacks=[Checkpoint(tmp_path / "c")])
    direct = problem.trainer()
    problem.fit(direct, False, 20)
    assert_same(direct, second)


# --- the weight while it is trained, and afterwards ------------------------------------------------------------------


class AtEpochEnd(Callback):
    """Calls a function after each epoch."""

    def __init__(self, function: Callable[[Run, int], object]) -> None:
        self.function = function

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.function(run, epoch)


MOMENTUM: dict[str, Any] = {"momentum": 0.9, "weight_decay": 0.05}


def test_copies_made_in_a_callback_hold_plain_parameters_with_the_weights_of_then(tmp_path: Path) -> None:
    kept: dict[bool, list[tuple[Module, dict[str, Array]]]] = {False: [], True: []}
    problem = Wide(3, MOMENTUM)
    for form, copies in kept.items():

        def keep(run: Run, epoch: int, copies: list[tuple[Module, dict[str, Array]]] = copies) -> None:
            save(run.model, tmp_path / "model.npz")
            made = [deepcopy(run.model), pickle.loads(pickle.dumps(run.model)), load(tmp_path / "model.npz")]
            copies += [(model, model.state_dict()) for model in made]

        problem.fit(problem.trainer(), form, 4, callbacks=[AtEpochEnd(keep)])
    assert len(kept[True]) == 12
    for (plain, state), (model, of_dual) in zip(*kept.values(), strict=True):
        for (name, parameter), (other_name, other) in zip(
            plain.named_parameters(), model.named_parameters(), strict=True
        ):
            assert name == other_name
            assert type(other) is Parameter
            assert vars(other).keys() == vars(parameter).keys()
            np.testing.assert_allclose(other.data, parameter.data, rtol=1e-9, atol=1e-11)
        for name, value in state.items():
            np.testing.assert_allclose(of_dual[name], value, rtol=1e-9, atol=1e-11)
            np.testing.assert_array_equal(model.state_dict()[name], of_dual[name])  # training went on without them


def test_copies_of_model_and_optimizer_belong_together_and_can_be_trained() -> None:
    problem, results = Wide(3, MOMENTUM), []
    for form in (False, True):
        copies: list[Trainer] = []

        def keep(run: Run, epoch: int, copies: list[Trainer] = copies) -> None:
            model, optimizer = deepcopy((run.model, run.optimizer))
            copies.append(Trainer(model, BinaryCrossEntropy(), optimizer))

        trainer = problem.trainer()
        problem.fit(trainer, form, 3, callbacks=[AtEpochEnd(keep)])
        problem.fit(copies[1], form, 1)
        results.append((copies[1], copies[2], trainer))
    (direct_1, direct_2, direct), (dual_1, dual_2, of_dual) = results
    assert_same(direct_1, dual_1)
    assert_same(direct_2, dual_2)
    assert_same(direct, of_dual)
    assert_same(of_dual, dual_1)  # one epoch more from the copy of epoch 1 ends where training did


@pytest.mark.parametrize("make", [deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_made_in_a_callback_hold_the_gradient_too(make: Callable[[Module], Module]) -> None:
    gradients: list[list[Array | None]] = []
    problem = Wide(3, MOMENTUM)
    for form in (False, True):
        gradients.append([])
        problem.fit(
            problem.trainer(), form, 3,
            callbacks=[AtEpochEnd(lambda run, epoch: gradients[-1].append(weight_of(make(run.model)).grad))],
        )  # fmt: skip
    for plain, of_dual in zip(*gradients, strict=True):
        assert plain is not None
        assert of_dual is not None
        np.testing.assert_allclose(of_dual, plain, rtol=1e-9, atol=1e-11)


class Raising(Callback):
    """Ends a run by an error, at one of its moments."""

    def __init__(self, moment: str, error: type[BaseException]) -> None:
        self.moment, self.error = moment, error

    def on_fit_begin(self, run: Run) -> None:
        self.raise_at("begin")

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        self.raise_at(f"batch {run.epoch}")

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.raise_at(f"epoch {epoch}")

    def on_fit_end(self, run: Run) -> None:
        self.raise_at("end")

    def raise_at(self, moment: str) -> None:
        if moment == self.moment:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError, ValueError])
@pytest.mark.parametrize(
    ("moment", "epochs"), [("begin", 0), ("batch 0", 0), ("epoch 0", 1), ("batch 3", 3), ("end", 6), ("never", 6)]
)
def test_after_fit_the_weight_is_a_plain_parameter_however_it_ended(
    error: type[BaseException], moment: str, epochs: int
) -> None:
    problem = Wide(3, MOMENTUM)
    trainer, reference = problem.trainer(), problem.trainer()
    weight = weight_of(trainer.model)
    data, attributes = weight.data, vars(weight).keys()
    kinds: list[type[Parameter]] = []
    watch = AtEpochEnd(lambda run, epoch: kinds.append(type(weight)))
    with suppress(error):
        problem.fit(trainer, True, 6, callbacks=[watch, Raising(moment, error)])
    assert all(kind is not Parameter and issubclass(kind, Parameter) for kind in kinds)
    assert len(kinds) == epochs
    assert type(weight) is Parameter
    assert vars(weight).keys() == attributes == vars(reference.model.parameters()[0]).keys()
    assert weight.data is data
    assert isinstance(weight, Parameter)
    if epochs:
        problem.fit(reference, False, epochs)
    if error is not SystemExit:  # which, as Python means it, ends a run without falling back
        assert_same(reference, trainer)
    weight.data = np.zeros_like(data)  # it can be set and read again as any other
    weight.grad = data
    assert weight.grad is data
    assert not trainer.model.state_dict()["2.weight"].any()


def test_after_numbers_that_are_not_finite_the_weight_is_a_plain_parameter_of_the_last_epoch() -> None:
    problem = Wide(3, {})
    trainer, reference = problem.trainer(), problem.trainer()

    def spoil(run: Run, epoch: int) -> None:
        if epoch == 2:
            weight_of(run.model).data.flat[0] = np.inf

    with pytest.raises(NonFiniteError, match="epoch 3: "):
        problem.fit(trainer, True, 6, callbacks=[AtEpochEnd(spoil)])
    assert type(weight_of(trainer.model)) is Parameter
    problem.fit(reference, False, 3)
    assert_same(reference, trainer)


def test_after_fit_the_weight_has_the_gradient_of_the_last_step() -> None:
    problem, gradients = Wide(3, MOMENTUM), []

    class AtEnd(Callback):
        def on_fit_end(self, run: Run) -> None:
            gradients.append(weight_of(run.model).grad)

    for form in (False, True):
        trainer = problem.trainer()
        problem.fit(trainer, form, 3, callbacks=[AtEnd()])
        gradients.append(weight_of(trainer.model).grad)
    assert gradients[0] is not None
    for gradient in gradients[1:]:
        assert gradient is not None
        np.testing.assert_allclose(gradient, gradients[0], rtol=1e-9, atol=1e-11)


def test_a_snapshot_stays_what_it_was_and_can_be_put_back() -> None:
    problem, results = Wide(3, MOMENTUM), []
    for form in (False, True):
        snapshots: list[Mapping[str, Mapping[str, Any]]] = []

        def act(run: Run, epoch: int, snapshots: list[Mapping[str, Mapping[str, Any]]] = snapshots) -> None:
            snapshots.append(run.snapshot())
            if epoch == 3:
                run.restore(snapshots[1])

        trainer = problem.trainer()
        problem.fit(trainer, form, 6, callbacks=[AtEpochEnd(act)])
        results.append((trainer, snapshots))
    (direct, of_direct), (trainer, of_dual) = results
    assert_same(direct, trainer)
    for one, other in zip(of_direct, of_dual, strict=True):
        assert one["model"].keys() == other["model"].keys()
        assert one["optimizer"].keys() == other["optimizer"].keys()
        for part in ("model", "optimizer"):
            for name, value in one[part].items():
                np.testing.assert_allclose(np.asarray(other[part][name]), value, rtol=1e-9, atol=1e-11)


def test_other_threads_may_predict_during_training() -> None:
    problem = Wide(4, {"momentum": 0.9})
    trainer, states, errors = problem.trainer(), list[Array](), list[BaseException]()
    predicted: list[Array] = []
    done = threading.Event()

    def predict() -> None:
        try:
            while not done.is_set():
                predicted.append(trainer.model.predict(problem.x_val))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()

    def keep(run: Run, epoch: int) -> None:
        states.append(run.model.predict(problem.x_val))
        while epoch == 100 and len(predicted) < 10 and not errors:
            time.sleep(0.001)  # training does not end before the other threads have begun

    problem.fit(trainer, True, 200, callbacks=[AtEpochEnd(keep)])
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert np.isfinite(predicted).all()
    reference = problem.trainer()
    expected: list[Array] = []
    look = AtEpochEnd(lambda run, epoch: expected.append(run.model.predict(problem.x_val)))
    problem.fit(reference, False, 200, callbacks=[look])
    np.testing.assert_allclose(states, expected, rtol=1e-8, atol=1e-10)
    assert_same(reference, trainer)


# --- what else a callback may do to the model ------------------------------------------------------------------------


def replace_the_data(problem: Wide, run: Run) -> None:
    weight = weight_of(run.model)
    weight.data = 0.5 * weight.data


def load_a_state(problem: Wide, run: Run) -> None:
    run.model.load_state_dict({name: 0.5 * value for name, value in run.model.state_dict().items()})


def restart_the_optimizer(problem: Wide, run: Run) -> None:
    state = run.optimizer.state_dict()
    run.optimizer.load_state_dict({
        name: np.zeros_like(value) if isinstance(value, np.ndarray) else value for name, value in state.items()
    })  # fmt: skip


def change_the_optimizer(problem: Wide, run: Run) -> None:
    assert isinstance(run.optimizer, SGD)
    run.optimizer.momentum, run.optimizer.weight_decay = 0.5, 0.1


def go_back_from(problem: Wide, run: Run) -> None:
    """Write all gradients for two other samples, as a look at their size does."""
    output = run.model(problem.x_val)
    run.model.backward(np.ones_like(output))


def step_once_more(problem: Wide, run: Run) -> None:
    go_back_from(problem, run)
    run.optimizer.step()


def scale_the_gradient_and_step(problem: Wide, run: Run) -> None:
    for parameter in run.model.parameters():
        assert parameter.grad is not None
        parameter.grad *= 0.5
    run.optimizer.step()


def fit_other_samples(problem: Wide, run: Run) -> None:
    other = Trainer(run.model, BinaryCrossEntropy(), SGD(run.model.parameters(), 0.05))
    other.fit(problem.x_val, problem.y_val, 2, print_every=None)


ACTS = [
    replace_the_data, load_a_state, restart_the_optimizer, change_the_optimizer, go_back_from, step_once_more,
    scale_the_gradient_and_step, fit_other_samples,
]  # fmt: skip


@pytest.mark.parametrize("moment", ["batch", "epoch"])
@pytest.mark.parametrize("act", ACTS)
def test_what_a_callback_does_has_the_effect_that_it_has_in_the_direct_form(
    act: Callable[[Wide, Run], None], moment: str
) -> None:
    problem = Wide(4, MOMENTUM)
    trainers, watchers, histories = (problem.trainer(), problem.trainer()), [], []

    class Act(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            if moment == "batch" and run.epoch == 1:
                act(problem, run)

        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if moment == "epoch" and epoch == 1:
                act(problem, run)

    for trainer, form in zip(trainers, (False, True), strict=True):
        watchers.append(Watcher(trainer.model))
        validation = (problem.x_val, problem.y_val)
        callbacks = [Act(), watchers[-1]]
        histories.append(problem.fit(trainer, form, 4, validation_data=validation, callbacks=callbacks))
    assert_same_history(*histories)
    assert_saw_the_same(*watchers, moments=8)
    assert_same(*trainers)


@pytest.mark.parametrize("read_again", [False, True])
def test_a_change_through_an_array_of_before_is_made_or_refused(read_again: bool) -> None:
    """It is not lost without a word."""
    problem = Wide(4, MOMENTUM)

    class Hold(Callback):
        def on_fit_begin(self, run: Run) -> None:
            self.data = weight_of(run.model).data

        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            self.data *= 0.5
            if read_again:
                weight_of(run.model).data  # noqa: B018 - reading it is what is tested

    direct, trainer = problem.trainer(), problem.trainer()
    problem.fit(direct, False, 3, callbacks=[Hold()])
    try:
        problem.fit(trainer, True, 3, callbacks=[Hold()])
    except RuntimeError as error:
        assert "changed through an array taken before this epoch; read parameter.data anew" in str(error)  # noqa: PT017
        assert type(weight_of(trainer.model)) is Parameter
        assert np.isfinite(weight_of(trainer.model).data).all()
    else:
        assert_same(direct, trainer)


class FreezesAndBreaks(Callback):
    """Freezes the first weight after the first epoch, unfreezes it after the second, and breaks off in the fourth."""

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        assert isinstance(run.model, Sequential)
        run.model[0].weight.frozen = epoch == 0
        run.model[2].bias.frozen = epoch == 2

    def on_batch_end(self, run: Run, *_: Any) -> None:
        if run.epoch == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("accumulate", [1, 2])
def test_frozen_steps_are_those_of_the_direct_form(accumulate: int) -> None:
    x, y = np.random.default_rng(0).standard_normal((8, 30)).astype(np.float32), np.arange(8) % 2
    for is_dual in (False, True):
        model = Sequential(Dense(30, 2, rng=0), ReLU(), Dense(2, 1, rng=1))
        trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), momentum=0.9))
        options: dict[str, Any] = {"dual": is_dual, "accumulate": accumulate, "print_every": None, "rng": 0}
        assert trainer.fit(x, y, 6, 2, callbacks=[FreezesAndBreaks()], **options).interrupted
        assert trainer.optimizer.frozen_steps == [4 // accumulate, 0, 0, 0]


@pytest.mark.parametrize("options", [{"dual": True, "batch_size": 2}, {"dual": True}, {"dual": False}])
@pytest.mark.parametrize("last", [False, True])
def test_constant_layers_that_a_callback_changes(options: dict[str, Any], last: bool) -> None:
    """The samples behind them are kept: training goes on with none that the network would not see."""
    x, y = np.random.default_rng(0).standard_normal((8, 30)).astype(np.float32), np.arange(8) % 2

    class Adapts(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if run.epoch == (3 if last else 2):
                assert isinstance(run.model, Sequential)
                run.model[0].adapt(3 * x + 1)

    def trained(*callbacks: Callback) -> Sequential:
        model = Sequential(Normalize(30).adapt(x), Dense(30, 2, rng=0), ReLU(), Dense(2, 1, rng=1))
        trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()))
        trainer.fit(x, y, 3, rng=0, print_every=None, callbacks=callbacks, **options)
        return model

    if last:
        assert np.array_equal(trained(Adapts())[1].weight.data, trained()[1].weight.data)
    else:
        with pytest.raises(RuntimeError, match="dual=False with a batch_size"):
            trained(Adapts())
