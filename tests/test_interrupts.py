"""Ctrl-C: at any moment, any number of times, what is left is the state of one completed epoch, and `fit` returns."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside_memory import Noise, Rows, prefetching_threads

from minidl import (
    SGD,
    Adam,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    GlobalAveragePool1D,
    History,
    Masked,
    ReLU,
    Run,
    Sequential,
    Sigmoid,
    Trainer,
    archive,
)
from minidl._context import _variables
from minidl._typing import Array
from minidl.training.interrupts import Interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")

X = np.random.default_rng(0).normal(size=(12, 20)).astype(np.float32)
Y = X[:, 0] > 0
FORMS: dict[str, dict[str, Any]] = {
    "full batch": {"dual": False},
    "dual": {"dual": True},
    "mini-batches": {"batch_size": 5},
    "read ahead": {"batch_size": 5},
}
form = pytest.mark.parametrize("form", FORMS)


def trainer_of(form: str) -> Trainer:
    layers = [Dense(20, 4, rng=0), ReLU(), Dropout(0.3, rng=1), Dense(4, 1, rng=2), Sigmoid()]
    model = Sequential(*layers)
    kind = Adam if form == "mini-batches" else SGD
    return Trainer(model, BinaryCrossEntropy(), kind(model.parameters(), 0.05))


def everything(trainer: Trainer, rng: np.random.Generator) -> dict[str, Any]:
    """Return all that a later run depends on, as bytes."""
    state = {f"model.{name}": array.tobytes() for name, array in trainer.model.state_dict().items()}
    state |= {f"optimizer.{name}": np.asarray(v).tobytes() for name, v in trainer.optimizer.state_dict().items()}
    dropout: Any = trainer.model
    return state | {"dropout": dropout[2].rng.bit_generator.state, "batches": rng.bit_generator.state}


def fit(trainer: Trainer, form: str, epochs: int, rng: np.random.Generator, *callbacks: Callback) -> History:
    is_ahead = form == "read ahead"
    x, augment = (Rows(X), Noise(rng)) if is_ahead else (X, None)
    options = {"print_every": None, "rng": rng, "callbacks": callbacks, "augment": augment, **FORMS[form]}
    return trainer.fit(x, Y, epochs, validation_data=(x, Y) if is_ahead else None, **options)


def pressing(at: int, times: int, only: Collection[str] = ()) -> Callable[[Any, str, Any], Any]:
    """Return a trace function that presses Ctrl-C at the `at`-th line run in the package, and at the next ones.

    Lines count from where `fit` handles Ctrl-C to where it no longer does; in `only` these files, if there are any.
    """
    lines = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        name = frame.f_code.co_filename
        if "minidl" not in name or "interrupts" in name:
            return None
        if only and Path(name).stem not in only:
            return None
        if event == "line" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            lines += 1
            if at <= lines < at + times:
                signal.raise_signal(signal.SIGINT)
        return trace

    return trace


@contextmanager
def traced(trace: Callable[[Any, str, Any], Any]) -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.settrace(trace)
        yield
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, before)


@form
@settings(max_examples=60)
@given(at=st.integers(1, 8000), times=st.integers(1, 5))
def test_at_any_line_any_number_of_times(form: str, at: int, times: int) -> None:
    trainer, rng = trainer_of(form), np.random.default_rng(7)
    with traced(pressing(at, times)):
        history = fit(trainer, form, 6, rng, EarlyStopping("loss", patience=99, restore_best=False))
    assert not prefetching_threads()
    same, same_rng = trainer_of(form), np.random.default_rng(7)
    if history.epochs:
        fit(same, form, history.epochs, same_rng)
    assert history.interrupted or history.epochs == 6
    assert everything(trainer, rng) == everything(same, same_rng)
    # A later run goes on in the same bits.
    fit(trainer, form, 3, rng)
    fit(same, form, 3, same_rng)
    assert everything(trainer, rng) == everything(same, same_rng)


def test_nothing_that_belongs_to_a_call_is_left_when_it_is_over() -> None:
    """At each line of the files that set context variables: the mode, the mask, the buffer pool."""
    files = ["_context", "_calls", "_false_alarms", "masked", "buffers", "trainer"]
    x, expected = X.reshape(12, 5, 4), [each.get() for each in _variables]
    for at in itertools.count(1):
        model = Sequential(Masked(Dense(4, 2, rng=0), GlobalAveragePool1D()), Dense(2, 1, rng=1), Sigmoid())
        trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()))
        with traced(pressing(at, 1, files)):
            history = trainer.fit(x, Y, 1, batch_size=8, validation_data=(x, Y), print_every=None)
        assert [each.get() for each in _variables] == expected
        if not history.interrupted:
            break
    assert at > 100


@form
def test_while_a_checkpoint_is_written(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of the third checkpoint: the second one is whole, and a run that takes it up ends alike."""
    whole, broken, resumed = (trainer_of(form) for _ in range(3))
    complete = fit(whole, form, 8, np.random.default_rng(7), Checkpoint(tmp_path / "whole", every=2))
    written = 0

    def write(path: Any, *arguments: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise KeyboardInterrupt
        original(path, *arguments)

    original = archive.write_archive
    monkeypatch.setattr("minidl.training.checkpoint_file.write_archive", write)
    path = tmp_path / "broken"
    history = fit(broken, form, 8, np.random.default_rng(7), Checkpoint(path, every=2))
    assert (history.interrupted, history.epochs) == (True, 6)
    resumed.resume(path)
    rest = fit(resumed, form, 8, np.random.default_rng(0), Checkpoint(path, every=2))
    for name in complete:
        assert name == "seconds" or complete[name] == rest[name]
    for name, array in whole.model.state_dict().items():
        assert array.tobytes() == resumed.model.state_dict()[name].tobytes()


def test_before_anything_has_changed_the_run_before_stays() -> None:
    trainer = trainer_of("full batch")
    first = fit(trainer, "full batch", 3, np.random.default_rng(0))

    class Pressing:
        shape, dtype = X.shape, X.dtype

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, rows: Any) -> Array:
            raise KeyboardInterrupt

    history = trainer.fit(Pressing(), Y, 5, print_every=None)
    assert (history.interrupted, history.epochs) == (True, 0)
    assert trainer.history is first


def test_the_handler_of_a_program_is_left_alone() -> None:
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))

    class Press(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            signal.raise_signal(signal.SIGINT)

    try:
        history = fit(trainer_of("full batch"), "full batch", 3, np.random.default_rng(0), Press())
        assert not history.interrupted
        assert len(pressed) == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_end_of_a_run_is_not_broken_off() -> None:
    """Presses while the best weights are put back are counted, and the history says so."""
    restored: list[str] = []

    class Pressing(Callback):
        def on_fit_end(self, run: Run) -> None:
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            restored.append("end")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        trainer, stopping = trainer_of("full batch"), EarlyStopping("loss", patience=99)
        history = fit(trainer, "full batch", 4, np.random.default_rng(0), Pressing(), stopping, Pressing())
    finally:
        signal.signal(signal.SIGINT, before)
    assert restored == ["end", "end"]
    assert history.interrupted
    assert history.epochs == 4


def test_what_is_deferred_is_raised_once_at_the_end_of_the_block() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    guard, steps = Interrupts(), list[str]()
    try:
        with guard.handled():
            try:
                with guard.allowed():
                    with guard.deferred():
                        with guard.deferred():
                            signal.raise_signal(signal.SIGINT)
                            signal.raise_signal(signal.SIGINT)
                            steps.append("inner")
                        steps.append("outer")
                    steps.append("never")
            except KeyboardInterrupt:
                steps.append("raised")
            signal.raise_signal(signal.SIGINT)
            with guard.allowed():
                signal.raise_signal(signal.SIGINT)
            steps.append("after")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["inner", "outer", "raised", "after"]
    assert guard.pressed == 4


def test_an_error_in_a_deferred_block_is_raised_and_ctrl_c_works_on() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    guard = Interrupts()
    try:
        with guard.handled(), guard.allowed():
            with pytest.raises(OSError, match="disk"), guard.deferred():
                raise OSError("disk")
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        guard = Interrupts()

        def fail_after_ctrl_c() -> None:
            with guard.deferred():
                signal.raise_signal(signal.SIGINT)
                raise OSError("disk")

        with guard.handled(), guard.allowed(), pytest.raises((OSError, KeyboardInterrupt)) as raised:
            fail_after_ctrl_c()
        assert raised.type is OSError
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_allowed_ctrl_c_waits() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    guard, steps = Interrupts(), list[str]()
    try:
        with guard.handled():
            signal.raise_signal(signal.SIGINT)
            steps.append("waits")
            with pytest.raises(KeyboardInterrupt), guard.allowed():
                steps.append("never")
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["waits"]


def test_other_threads_leave_signals_alone() -> None:
    handlers: list[Any] = []

    def run() -> None:
        with Interrupts().handled():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]
