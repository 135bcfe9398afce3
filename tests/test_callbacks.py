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
    ReLU,
    Sequential,
    Sigmoid,
    Trainer,
)
from minidl._typing import Array
from minidl.schedules import cosine, step_decay, warm_up

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 20)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
DUAL = pytest.mark.parametrize("dual", [False, True])
STEPS = pytest.mark.parametrize(
    "options",
    [{"dual": False}, {"dual": True}, {"batch_size": 5, "rng": 1}],
    ids=["full batch", "dual", "mini-batches"],
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
    def __init__(self, function: Callable[[Trainer, int], object]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        self.function(trainer, epoch)


def interrupt_after(epoch: int) -> Callback:
    def interrupt(trainer: Trainer, now: int) -> None:
        if now == epoch:
            raise KeyboardInterrupt

    return AtEpochEnd(interrupt)


class Recorder(Callback):
    def __init__(self, log: list[Any], name: str) -> None:
        self.log, self.name = log, name

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.log.append((self.name, "begin", trainer.epoch, trainer.metric_names))

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        assert dict(metrics) == {name: values[-1] for name, values in trainer.history.items()}
        assert trainer.history.epochs == trainer.epoch == epoch + 1
        self.log.append((self.name, epoch, tuple(metrics)))

    def on_fit_end(self, trainer: Trainer) -> None:
        self.log.append((self.name, "end", trainer.epoch))


@STEPS
def test_the_hooks_their_order_and_arguments(options: dict[str, Any]) -> None:
    log: list[Any] = []
    fit(make(), 2, Recorder(log, "a"), Recorder(log, "b"), validation_data=(X, Y), **options)
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    assert log == [
        ("a", "begin", 0, names), ("b", "begin", 0, names),
        ("a", 0, names), ("b", 0, names), ("a", 1, names), ("b", 1, names),
        ("a", "end", 2), ("b", "end", 2),
    ]  # fmt: skip


@STEPS
def test_a_callback_that_only_looks_changes_nothing_but_rounding(options: dict[str, Any]) -> None:
    looked, plain = make(), make()
    seen: list[dict[str, float]] = []

    def look(trainer: Trainer, epoch: int) -> None:
        seen.append(trainer.evaluate(X, Y))
        assert isinstance(trainer.model, Sequential)
        assert np.isfinite(trainer.model.predict(X)).all()
        assert_equal_states(trainer.snapshot()(), trainer.model.state_dict())

    history = fit(looked, 5, AtEpochEnd(look), validation_data=(X, Y), **options)
    fit(plain, 5, **options)
    assert [metrics["loss"] for metrics in seen] == pytest.approx(history["val_loss"], rel=1e-5)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_allclose(looked.model.state_dict()[name], array, rtol=1e-4, atol=1e-6)


@DUAL
def test_a_snapshot_stays_as_it_was(dual: bool) -> None:
    trainer, snapshots, states = make(), [], []

    def take(trainer: Trainer, epoch: int) -> None:
        snapshots.append(trainer.snapshot())
        states.append(trainer.model.state_dict())

    fit(trainer, 4, AtEpochEnd(take), dual=dual)
    for snapshot, state in zip(snapshots, states, strict=True):
        assert_equal_states(snapshot(), state)


@STEPS
def test_stop_ends_the_run_after_the_epoch(options: dict[str, Any]) -> None:
    log: list[Any] = []

    def stop(trainer: Trainer, epoch: int) -> None:
        if epoch == 2:
            trainer.stop()

    trainer, shorter = make(), make()
    history = fit(trainer, 10, AtEpochEnd(stop), Recorder(log, "after"), **options)
    fit(shorter, 3, AtEpochEnd(lambda trainer, epoch: None), Recorder([], ""), **options)
    assert history.epochs == trainer.epoch == 3
    assert not history.interrupted
    assert log[-2:] == [("after", 2, ("loss", "accuracy", "seconds")), ("after", "end", 3)]
    assert_equal_states(trainer.model.state_dict(), shorter.model.state_dict())


@STEPS
def test_training_goes_on_from_what_a_callback_has_written(options: dict[str, Any]) -> None:
    """Halving all weights after epoch 1 is the same as fitting twice and halving in between."""

    def halve(trainer: Trainer, epoch: int) -> None:
        if epoch == 1:
            for parameter in trainer.model.parameters():
                parameter.data *= 0.5

    with_callback, by_hand = make(momentum=0.0), make(momentum=0.0)
    rng, other_rng = np.random.default_rng(3), np.random.default_rng(3)
    options = {name: value for name, value in options.items() if name != "rng"}
    history = fit(with_callback, 4, AtEpochEnd(halve), rng=rng, **options)
    fit(by_hand, 2, rng=other_rng, **options)
    halve(by_hand, 1)
    rest = fit(by_hand, 2, rng=other_rng, **options)
    assert history["loss"][2:] == pytest.approx(rest["loss"], rel=1e-5)
    for name, array in by_hand.model.state_dict().items():
        np.testing.assert_allclose(with_callback.model.state_dict()[name], array, rtol=1e-4, atol=1e-6)


# --- EarlyStopping ---------------------------------------------------------------------------------------------------


class Told(Callback):
    """Replaces a metric by values that the test sets, for callbacks after it."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
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
    keep = AtEpochEnd(lambda trainer, epoch: states.append(trainer.model.state_dict()))
    trainer = make()
    history = fit(trainer, 7, keep, Told(monitor, values), stopping, validation_data=(X, Y), dual=dual)
    assert (history.epochs, stopping.best_epoch) == (epochs, best)
    assert_equal_states(trainer.model.state_dict(), states[best if restore_best else epochs - 1])


def test_a_metric_that_is_never_a_number_stops_too() -> None:
    stopping = EarlyStopping(patience=3)
    assert fit(make(), 7, Told("val_loss", [float("nan")] * 7), stopping, validation_data=(X, Y)).epochs == 3


def test_early_stopping_forgets_the_run_before() -> None:
    stopping = EarlyStopping("loss", patience=2)
    fit(make(), 3, Told("loss", [1, 0, 0]), stopping)
    trainer = make()
    assert fit(trainer, 5, Told("loss", [5, 4, 5, 5, 5]), stopping).epochs == 4
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

    def set_next(trainer: Trainer, epoch: int) -> None:
        trainer.optimizer.learning_rate = function(epoch + 1)

    fit(by_hand, 6, AtEpochEnd(set_next), **options)
    assert_equal_states(trainer.model.state_dict(), by_hand.model.state_dict())


def test_a_rate_that_is_none_is_refused_before_the_first_epoch() -> None:
    trainer = make()
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match=r"SGD learning_rate: expected a finite number above 0, received 0\.0"):
        fit(trainer, 3, LearningRateSchedule(lambda epoch: 0.0))
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
    layers = list(make().model)  # type: ignore[call-overload]
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
    assert [entry[1] for entry in log] == ["begin", 0, 1, 2, "end"]
    assert trainer.model.training


@pytest.mark.parametrize(("at_pass", "epochs"), [(1, 0), (2, 0), (3, 0), (4, 1), (6, 1), (8, 2), (12, 3)])
def test_ctrl_c_in_the_middle_of_a_mini_batch_epoch(at_pass: int, epochs: int) -> None:
    trainer, shorter = make_interrupted(at_pass), make_interrupted(99)
    fit(trainer, 10, batch_size=5, rng=2)
    if epochs:
        fit(shorter, epochs, batch_size=5, rng=2)
    assert_it_ended_as_the_shorter_run(trainer, shorter, epochs)


@DUAL
def test_ctrl_c_in_the_middle_of_a_full_batch_epoch(dual: bool) -> None:
    trainer, shorter = make_interrupted(4), make_interrupted(99)
    fit(trainer, 10, dual=dual)
    fit(shorter, 3, dual=dual)
    assert_it_ended_as_the_shorter_run(trainer, shorter, 3)


@STEPS
def test_ctrl_c_keeps_what_a_callback_made_of_the_last_epoch(options: dict[str, Any]) -> None:
    def clamp(trainer: Trainer, epoch: int) -> None:
        for parameter in trainer.model.parameters():
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
    fit(trainer, 10, Told("loss", [1, 2, 3, 4]), stopping, interrupt_after(3))
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
    trainer.model.layers[3] = Broken(3 * batches)  # type: ignore[attr-defined]
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
