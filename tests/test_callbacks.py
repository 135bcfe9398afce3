"""Callbacks: when they are called, what they may do, and how a run ends early."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Dense,
    EarlyStopping,
    History,
    LearningRateSchedule,
    Module,
    Optimizer,
    ReLU,
    Run,
    Sequential,
    Sigmoid,
    Trainer,
)
from minidl._typing import Array
from minidl.schedules import cosine, step_decay, warm_up
from minidl.training.rewrites.layers import layers_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 20)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
DUAL = pytest.mark.parametrize("dual", [False, True])
STEPS = pytest.mark.parametrize(
    "options",
    [{**batches, "dual": dual} for batches in ({}, {"batch_size": 5, "rng": 1}) for dual in (False, True)],
    ids=["full batch", "dual", "mini-batches", "dual mini-batches"],
)


def make(learning_rate: float = 0.1, momentum: float = 0.5) -> Trainer:
    model = Sequential(Dense(20, 4, rng=0), BatchNorm(4), ReLU(), Dense(4, 1, rng=1), Sigmoid())
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate, momentum))


def fit(trainer: Trainer, epochs: int, *callbacks: Callback, **options: Any) -> History:
    return trainer.fit(X, Y, epochs, print_every=None, callbacks=callbacks, **options)


def assert_equal_states(first: Mapping[str, Array], second: Mapping[str, Array]) -> None:
    assert list(first) == list(second)
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


def without_seconds(history: History) -> dict[str, list[float]]:
    return {name: values for name, values in history.items() if name != "seconds"}


class AtEpochEnd(Callback):
    def __init__(self, function: Callable[[Run, int], object]) -> None:
        self.function = function

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.function(run, epoch)


def interrupt_after(epoch: int) -> Callback:
    def interrupt(run: Run, now: int) -> None:
        if now == epoch:
            raise KeyboardInterrupt

    return AtEpochEnd(interrupt)


class Recorder(Callback):
    def __init__(self, log: list[Any], name: str) -> None:
        self.log, self.name = log, name

    def on_fit_begin(self, run: Run) -> None:
        assert isinstance(run, Run)
        self.log.append((self.name, "begin", run.epoch, run.metric_names))

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        assert run.history.epochs == run.epoch
        self.log.append((self.name, f"{run.epoch}.{batch}", tuple(record)))

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        assert metrics is run.metrics
        assert dict(metrics) == {name: values[-1] for name, values in run.history.items()}
        assert run.history.epochs == run.epoch == epoch + 1
        self.log.append((self.name, epoch, tuple(metrics)))

    def on_fit_end(self, run: Run) -> None:
        self.log.append((self.name, "end", run.epoch))


def epochs_of(log: list[Any]) -> list[Any]:
    """Return the entries of a log but those of batches."""
    return [entry for entry in log if not isinstance(entry[1], str) or "." not in entry[1]]


@STEPS
def test_the_hooks_their_order_and_arguments(options: dict[str, Any]) -> None:
    log: list[Any] = []
    trainer = make()
    fit(trainer, 2, Recorder(log, "a"), Recorder(log, "b"), validation_data=(X, Y), **options)
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    steps = 3 if "batch_size" in options else 1
    expected: list[Any] = [("a", "begin", 0, names), ("b", "begin", 0, names)]
    for epoch in range(2):
        expected += [(name, f"{epoch}.{batch}", ("loss", "accuracy")) for batch in range(steps) for name in "ab"]
        expected += [(name, epoch, names) for name in "ab"]
    assert log == [*expected, ("a", "end", 2), ("b", "end", 2)]
    assert trainer.run is not None
    assert (trainer.run.epochs, trainer.run.epoch, trainer.run.metric_names) == (2, 2, names)
    assert trainer.run.model is trainer.model
    assert trainer.run.optimizer is trainer.optimizer


@STEPS
def test_what_is_measured_of_each_batch(options: dict[str, Any]) -> None:
    """The costs of the batches, weighed by their sizes, are the cost of the epoch."""
    sizes = [5, 5, 2] if "batch_size" in options else [12]
    costs: list[float] = []

    class Batches(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            assert batch == len(costs) % len(sizes)
            costs.append(record["loss"])

    history = fit(make(), 3, Batches(), **options)
    epochs = np.array(costs).reshape(3, len(sizes))
    np.testing.assert_allclose(epochs @ sizes / 12, history["loss"], rtol=1e-12)


@STEPS
def test_what_a_callback_writes_after_a_batch_is_what_the_next_one_starts_from(options: dict[str, Any]) -> None:
    class Freeze(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            run.model.load_state_dict(start)

    trainer = make(momentum=0.0)
    start = trainer.model.state_dict()
    history = fit(trainer, 3, Freeze(), **{**options, "validation_data": (X, Y)})
    assert_equal_states(trainer.model.state_dict(), start)
    assert history["val_loss"] == pytest.approx([trainer.evaluate(X, Y)["loss"]] * 3, rel=1e-5)


class Raising(Callback):
    """Raises an error at one moment."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def on_fit_begin(self, run: Run) -> None:
        if self.moment == "begin":
            raise OSError("begin")

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        if self.moment == "batch" and run.epoch == 1:
            raise OSError("batch")

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if self.moment == "epoch" and epoch == 1:
            raise OSError("epoch")


@pytest.mark.parametrize(("moment", "epochs"), [("batch", 1), ("epoch", 2)])
@STEPS
def test_on_fit_end_runs_after_an_error_too(moment: str, epochs: int, options: dict[str, Any]) -> None:
    log: list[Any] = []
    trainer, shorter = make(), make()
    with pytest.raises(OSError, match=moment):
        fit(trainer, 5, Recorder(log, "a"), Raising(moment), Recorder(log, "b"), **options)
    assert log[-2:] == [("a", "end", epochs), ("b", "end", epochs)]
    assert not trainer.history.interrupted
    fit(shorter, epochs, Recorder([], ""), **options)
    assert without_seconds(trainer.history) == without_seconds(shorter.history)
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


def test_an_error_at_the_beginning_begins_no_run() -> None:
    log: list[Any] = []
    trainer = make()
    first = fit(trainer, 2, Recorder(log, "a"))
    log.clear()
    run, before = trainer.run, trainer.model.state_dict()
    with pytest.raises(OSError, match="begin"):
        fit(trainer, 5, LearningRateSchedule(lambda epoch: 7.0), Raising("begin"), Recorder(log, "a"))
    assert log == []
    assert trainer.run is run
    assert trainer.history is first
    assert trainer.epoch == 2
    assert trainer.optimizer.learning_rate == 0.1
    assert_equal_states(trainer.model.state_dict(), before)


def test_a_trainer_that_has_not_run() -> None:
    trainer = make()
    assert trainer.run is None
    assert (trainer.epoch, trainer.history.epochs, len(trainer.history)) == (0, 0, 0)


def test_directions_of_metrics() -> None:
    trainer = make()
    fit(trainer, 1, validation_data=(X, Y))
    assert trainer.run is not None
    directions = {name: trainer.run.higher_is_better(name) for name in trainer.run.metric_names}
    assert directions == {
        "loss": False, "accuracy": True, "val_loss": False, "val_accuracy": True, "seconds": False,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"^expected one of loss, .*, seconds, received 'val_seconds'$"):
        trainer.run.higher_is_better("val_seconds")


def assert_snapshot_is(snapshot: Mapping[str, Mapping[str, Any]], model: Module, optimizer: Optimizer) -> None:
    for part, state in (("model", model.state_dict()), ("optimizer", optimizer.state_dict())):
        assert_equal_states(arrays_of(snapshot[part]), arrays_of(state))


def arrays_of(state: Mapping[str, Any]) -> dict[str, Array]:
    return {name: np.asarray(value) for name, value in state.items()}


@STEPS
def test_a_callback_that_only_looks_changes_nothing_but_rounding(options: dict[str, Any]) -> None:
    looked, plain = make(), make()
    seen: list[dict[str, float]] = []

    def look(run: Run, epoch: int) -> None:
        seen.append(looked.evaluate(X, Y))
        assert np.isfinite(run.model.predict(X)).all()
        assert_snapshot_is(run.snapshot(), run.model, run.optimizer)

    history = fit(looked, 5, AtEpochEnd(look), validation_data=(X, Y), **options)
    fit(plain, 5, **options)
    assert [metrics["loss"] for metrics in seen] == pytest.approx(history["val_loss"], rel=1e-5)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_allclose(looked.model.state_dict()[name], array, rtol=1e-4, atol=1e-6)


@DUAL
def test_a_snapshot_stays_as_it_was(dual: bool) -> None:
    trainer, snapshots = make(), []
    states: list[tuple[dict[str, Array], dict[str, Array]]] = []

    def take(run: Run, epoch: int) -> None:
        snapshots.append(run.snapshot())
        states.append((run.model.state_dict(), arrays_of(run.optimizer.state_dict())))

    fit(trainer, 4, AtEpochEnd(take), dual=dual)
    for snapshot, (model, optimizer) in zip(snapshots, states, strict=True):
        assert_equal_states(arrays_of(snapshot["model"]), model)
        assert_equal_states(arrays_of(snapshot["optimizer"]), optimizer)


@STEPS
def test_a_snapshot_that_is_put_back_during_training_is_where_it_goes_on(options: dict[str, Any]) -> None:
    """Weights, running means and velocities of epoch 1 again after epoch 3; the learning rate stays."""
    snapshots: list[Mapping[str, Mapping[str, Any]]] = []
    costs: list[list[float]] = []

    def act(run: Run, epoch: int) -> None:
        snapshots.append(run.snapshot())
        run.optimizer.learning_rate = 0.05
        if epoch == 3:
            run.restore(snapshots[1])
            assert run.optimizer.learning_rate == 0.05
            assert run.optimizer.steps == snapshots[1]["optimizer"]["steps"]

    options = {name: value for name, value in options.items() if name != "rng"}
    if "batch_size" in options:
        options["batch_size"] = 12  # the order of the samples must not matter
    trainer = make()
    costs.append(fit(trainer, 6, AtEpochEnd(act), **options)["loss"])
    assert costs[0][4:] == pytest.approx(costs[0][2:4], rel=1e-5)
    assert trainer.optimizer.steps == 4


@STEPS
def test_stop_ends_the_run_after_the_epoch(options: dict[str, Any]) -> None:
    log: list[Any] = []

    def stop(run: Run, epoch: int) -> None:
        if epoch == 2:
            assert not run.is_stopping
            run.stop()
            assert run.is_stopping

    trainer, shorter = make(), make()
    history = fit(trainer, 10, AtEpochEnd(stop), Recorder(log, "after"), **options)
    fit(shorter, 3, AtEpochEnd(lambda run, epoch: None), Recorder([], ""), **options)
    assert history.epochs == trainer.epoch == 3
    assert not history.interrupted
    assert log[-2:] == [("after", 2, ("loss", "accuracy", "seconds")), ("after", "end", 3)]
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


@STEPS
def test_stop_in_the_middle_of_an_epoch_ends_the_run_after_it(options: dict[str, Any]) -> None:
    class Stop(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            if run.epoch == 2:
                run.stop()

    trainer, shorter = make(), make()
    assert fit(trainer, 10, Stop(), **options).epochs == 3
    fit(shorter, 3, **options)
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


@STEPS
def test_training_goes_on_from_what_a_callback_has_written(options: dict[str, Any]) -> None:
    """Halving all weights after epoch 1 is the same as fitting twice and halving in between."""

    def halve(model: Module) -> None:
        for parameter in model.parameters():
            parameter.data *= 0.5

    with_callback, by_hand = make(momentum=0.0), make(momentum=0.0)
    rng, other_rng = np.random.default_rng(3), np.random.default_rng(3)
    options = {name: value for name, value in options.items() if name != "rng"}
    callback = AtEpochEnd(lambda run, epoch: halve(run.model) if epoch == 1 else None)
    history = fit(with_callback, 4, callback, rng=rng, **options)
    fit(by_hand, 2, rng=other_rng, **options)
    halve(by_hand.model)
    rest = fit(by_hand, 2, rng=other_rng, **options)
    assert history["loss"][2:] == pytest.approx(rest["loss"], rel=1e-5)
    for name, array in by_hand.model.state_dict().items():
        np.testing.assert_allclose(with_callback.model.state_dict()[name], array, rtol=1e-4, atol=1e-6)


# --- EarlyStopping ---------------------------------------------------------------------------------------------------


class SetMetric(Callback):
    """Replaces a metric by values that the test sets, for callbacks after it."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        assert isinstance(metrics, dict)
        metrics[self.name] = self.values[epoch]


@pytest.mark.parametrize(
    ("monitor", "values", "options", "epochs", "best"),
    [
        ("val_loss", [5, 4, 3, 3, 3, 3, 3], {"patience": 3}, 6, 2),
        ("val_loss", [5, 4, 6, 3, 7, 2, 9], {"patience": 2}, 7, 5),
        ("val_loss", [5, 6, 1, 1, 1, 1, 1], {"patience": 1}, 2, 0),
        ("val_loss", [5, 4.6, 4.4, 4.2, 3, 3, 3], {"patience": 2, "min_delta": 0.5}, 7, 4),
        ("val_loss", [5, 4.5, 4, 4, 4, 4, 4], {"patience": 2, "min_delta": 0.5}, 5, 2),
        ("loss", [5, 6, 7, 8, 9, 9, 9], {"patience": 4}, 5, 0),
        ("val_accuracy", [0.1, 0.2, 0.3, 0.2, 0.1, 0.9, 1], {"patience": 2}, 5, 2),
        ("accuracy", [0.9, 0.8, 0.7, 0.95, 0.9, 0.9, 0.9], {"patience": 3}, 7, 3),
    ],
)
@pytest.mark.parametrize("restore_best", [False, True])
@DUAL
def test_early_stopping_ends_at_the_right_epoch_with_the_right_weights(
    monitor: str, values: list[float], options: dict[str, Any], epochs: int, best: int, restore_best: bool, dual: bool
) -> None:
    stopping = EarlyStopping(monitor, restore_best=restore_best, **options)
    states: list[dict[str, Array]] = []
    keep = AtEpochEnd(lambda run, epoch: states.append(run.model.state_dict()))
    trainer = make()
    start = trainer.model.state_dict()
    history = fit(trainer, 7, keep, SetMetric(monitor, values), stopping, validation_data=(X, Y), dual=dual)
    assert (history.epochs, stopping.best_epoch) == (epochs, best)
    # A full batch measures its training samples before the update, the validation samples after it.
    had_the_best = [start, *states][best + monitor.startswith("val_")]
    assert_equal_states(trainer.model.state_dict(), had_the_best if restore_best else states[epochs - 1])


def test_a_metric_that_is_never_a_number_stops_too() -> None:
    stopping = EarlyStopping(patience=3)
    assert fit(make(), 7, SetMetric("val_loss", [float("nan")] * 7), stopping, validation_data=(X, Y)).epochs == 3


def test_early_stopping_forgets_the_run_before() -> None:
    stopping = EarlyStopping("loss", patience=2)
    fit(make(), 3, SetMetric("loss", [1, 0, 0]), stopping)
    trainer = make()
    assert fit(trainer, 5, SetMetric("loss", [5, 4, 5, 5, 5]), stopping).epochs == 4
    assert stopping.best == 4


@pytest.mark.parametrize("monitor", ["val_loss", "accuracy_of_something", ""])
def test_an_unknown_monitor_is_refused_before_anything_has_changed(monitor: str) -> None:
    trainer, log = make(), list[Any]()
    before = trainer.model.state_dict()
    hint = "; pass validation_data to fit" if monitor == "val_loss" else ""
    message = f"EarlyStopping monitor: expected one of loss, accuracy, seconds, received {monitor!r}{hint}$"
    with pytest.raises(ValueError, match=message):
        fit(trainer, 3, LearningRateSchedule(lambda epoch: 7.0), EarlyStopping(monitor), Recorder(log, "after"))
    assert_equal_states(trainer.model.state_dict(), before)
    assert (trainer.optimizer.learning_rate, trainer.optimizer.steps, log) == (0.1, 0, [])


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="EarlyStopping patience: expected a whole number of at least 1, received 0"):
        EarlyStopping(patience=0)
    with pytest.raises(
        ValueError, match="EarlyStopping min_delta: expected a finite number of at least 0, received -1"
    ):
        EarlyStopping(min_delta=-1)


# --- LearningRateSchedule --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [step_decay(0.5, 0.5, 2), cosine(0.5, 0.1, 7), warm_up(step_decay(1, 0.1, 2), 2)])
@STEPS
def test_each_epoch_trains_with_its_own_rate(function: Callable[[int], float], options: dict[str, Any]) -> None:
    rates: list[float] = []

    class Watched(SGD):
        def step(self) -> None:
            rates.append(self.learning_rate)
            super().step()

    trainer, by_hand = make(9.0), make(9.0)
    if not options.get("dual"):
        trainer.optimizer = Watched(trainer.model.parameters(), 9.0, 0.5)
    fit(trainer, 6, LearningRateSchedule(function), **options)
    steps = 3 if "batch_size" in options else 1
    assert rates == ([] if options.get("dual") else [function(epoch) for epoch in range(6) for _ in range(steps)])
    assert trainer.optimizer.learning_rate == function(5) != function(6)
    by_hand.optimizer.learning_rate = function(0)

    def set_next(run: Run, epoch: int) -> None:
        run.optimizer.learning_rate = function(epoch + 1)

    fit(by_hand, 6, AtEpochEnd(set_next), **options)
    assert_equal_states(trainer.model.state_dict(), by_hand.model.state_dict())


def test_a_rate_that_is_none_is_refused_before_the_first_epoch() -> None:
    trainer = make()
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match=r"SGD learning_rate: expected a finite number of at least 0, received -0\.5"):
        fit(trainer, 3, LearningRateSchedule(lambda epoch: -0.5))
    assert_equal_states(trainer.model.state_dict(), before)
    assert trainer.optimizer.learning_rate == 0.1


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


class InterruptedForward(Module):
    """Passes everything on, and is interrupted the first time it is asked for the given training pass."""

    def __init__(self, at_pass: int) -> None:
        self.at_pass, self.passes = at_pass, 0

    def forward(self, x: Array) -> Array:
        if self.training:
            self.passes += 1
            if self.passes == self.at_pass:
                raise KeyboardInterrupt
        self.save_for_backward()
        return x

    def backward(self, grad_output: Array) -> Array:
        return grad_output


def make_interrupted(at_pass: int) -> Trainer:
    layers = layers_of(make().model)
    model = Sequential(*layers[:3], InterruptedForward(at_pass), *layers[3:])
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, 0.5))


def assert_it_ended_as_the_shorter_run(trainer: Trainer, shorter: Trainer, epochs: int) -> None:
    assert trainer.history.interrupted
    assert trainer.epoch == trainer.history.epochs == epochs
    assert {len(values) for values in trainer.history.values()} <= {epochs}
    if epochs:
        assert without_seconds(trainer.history) == without_seconds(shorter.history)
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


@STEPS
def test_ctrl_c_between_epochs(options: dict[str, Any]) -> None:
    log: list[Any] = []
    trainer, shorter = make(), make()
    history = fit(trainer, 10, interrupt_after(3), Recorder(log, "a"), validation_data=(X, Y), **options)
    fit(shorter, 4, interrupt_after(99), validation_data=(X, Y), **options)
    assert history is trainer.history
    assert_it_ended_as_the_shorter_run(trainer, shorter, 4)
    assert [entry[1] for entry in epochs_of(log)] == ["begin", 0, 1, 2, "end"]
    assert trainer.model.training


@DUAL
@pytest.mark.parametrize(("at_pass", "epochs"), [(1, 0), (2, 0), (3, 0), (4, 1), (6, 1), (8, 2), (12, 3)])
def test_ctrl_c_in_the_middle_of_a_mini_batch_epoch(at_pass: int, epochs: int, dual: bool) -> None:
    trainer, shorter = make_interrupted(at_pass), make_interrupted(99)
    fit(trainer, 10, batch_size=5, rng=2, dual=dual)
    if epochs:
        fit(shorter, epochs, batch_size=5, rng=2, dual=dual)
    assert_it_ended_as_the_shorter_run(trainer, shorter, epochs)


@DUAL
def test_ctrl_c_in_the_middle_of_a_full_batch_epoch(dual: bool) -> None:
    trainer, shorter = make_interrupted(4), make_interrupted(99)
    fit(trainer, 10, dual=dual)
    fit(shorter, 3, dual=dual)
    assert_it_ended_as_the_shorter_run(trainer, shorter, 3)


@STEPS
def test_ctrl_c_keeps_what_a_callback_made_of_the_last_epoch(options: dict[str, Any]) -> None:
    def clamp(run: Run, epoch: int) -> None:
        for parameter in run.model.parameters():
            np.clip(parameter.data, -0.1, 0.1, out=parameter.data)

    batches = 3 if "batch_size" in options else 1
    trainer, shorter = make_interrupted(2 * batches + 1), make_interrupted(99)
    fit(trainer, 10, AtEpochEnd(clamp), **options)
    fit(shorter, 2, AtEpochEnd(clamp), **options)
    assert_it_ended_as_the_shorter_run(trainer, shorter, 2)
    assert max(abs(parameter.data).max() for parameter in trainer.model.parameters()) <= np.float32(0.1)


def test_after_ctrl_c_the_weights_are_not_those_of_the_best_epoch() -> None:
    trainer, shorter = make(), make()
    stopping = EarlyStopping("loss", patience=9)
    fit(trainer, 10, SetMetric("loss", [1, 2, 3, 4]), stopping, interrupt_after(3))
    fit(shorter, 4)
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


@STEPS
def test_another_error_in_the_middle_of_an_epoch_leaves_the_last_one_too(options: dict[str, Any]) -> None:
    class Broken(InterruptedForward):
        def forward(self, x: Array) -> Array:
            try:
                return super().forward(x)
            except KeyboardInterrupt:
                raise OSError("no such picture") from None

    batches = 3 if "batch_size" in options else 1
    trainer, shorter = make_interrupted(99), make_interrupted(99)
    assert isinstance(trainer.model, Sequential)
    trainer.model.layers[3] = Broken(3 * batches)
    with pytest.raises(OSError, match="no such picture"):
        fit(trainer, 10, **options)
    fit(shorter, 2, **options)
    assert trainer.epoch == trainer.history.epochs == 2
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


SIGINT_PROGRAM = """
import sys
from test_callbacks import X, Y, make
from minidl.training.history import History

trainer = make()
history = trainer.fit(X, Y, 10**8, print_every=1, **eval(sys.argv[1]))
assert history.interrupted
shorter = make()
shorter.fit(X, Y, history.epochs, print_every=None, **eval(sys.argv[1]))
same = all(a.tobytes() == shorter.model.state_dict()[n].tobytes() for n, a in trainer.model.state_dict().items())
print("ended", history.epochs == trainer.epoch > 3, same)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
@STEPS
def test_a_real_ctrl_c(options: dict[str, Any], request: pytest.FixtureRequest) -> None:
    command = [sys.executable, "-c", SIGINT_PROGRAM, repr(options)]
    here, pipe = request.path.parent, subprocess.PIPE
    with subprocess.Popen(command, cwd=here, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Cost after") and " 5:" in line:
                process.send_signal(signal.SIGINT)
                break
        printed, errors = process.communicate()
    assert printed.splitlines()[-1:] == ["ended True True"], f"exit status {process.returncode}:\n{printed}{errors}"
