"""A training during which somebody presses Ctrl-C, and how it must end."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.attacks.jobs import EPOCHS, After, Job, State, difference
from benchmarks.attacks.outcome import told
from minidl import Checkpoint, History

EVERY = 3  # epochs from one checkpoint to the next
# Functions that run where Ctrl-C ends the run in order; elsewhere `fit` has not begun or is over.
INSIDE = {"written_problem", "rewritten", "_train", "_begin"}


class Outside:
    """Counts the signals that come while `fit` does not run."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put the handler of before the block back at its end."""
        before = signal.getsignal(signal.SIGINT)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def start(self) -> None:
        """Count from now on."""
        signal.signal(signal.SIGINT, self._handle)

    def seen_within(self, seconds: float) -> bool:
        """Return whether one has come, or comes in this time."""
        deadline = time.monotonic() + seconds
        while not self.count and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.count > 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@dataclass
class Ended:
    """A run that has ended: with a history or an error, and with which handler of SIGINT."""

    job: Job
    history: History | None
    error: BaseException | None
    handler: Any


def fit(job: Job, path: Path, report: Callable[[], object] = int) -> History:
    """Train with checkpoints; `report` is called before one is written."""
    return job.fit([After(lambda _: report()), Checkpoint(path, EVERY)])


def _call(function: Callable[[], History]) -> History:
    return function()


def train(
    job: Job, path: Path, outside: Outside, report: Callable[[], object] = int, call: Callable[..., History] = _call
) -> Ended:
    """Train with Python's own handler of SIGINT in place, `fit` being called by `call`, and see how it ends."""
    path.unlink(missing_ok=True)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        history = call(lambda: fit(job, path, report))
        handler = signal.getsignal(signal.SIGINT)
        outside.start()
    except BaseException as error:
        handler = signal.getsignal(signal.SIGINT)
        outside.start()
        return Ended(job, None, error, handler)
    return Ended(job, history, None, handler)


def reference(form: str, path: Path) -> tuple[list[State], float]:
    """Return the states after each number of epochs of a run without interruption, and at its end; and its seconds."""
    job, start = Job(form), time.monotonic()
    fit(job, path)
    seconds, job = time.monotonic() - start, Job(form)
    states = [job.state()]
    fit(job, path, lambda: states.append(job.state()))
    return [*states, job.state()], seconds


def judged(ended: Ended, path: Path, right: list[State]) -> tuple[str, list[str]]:
    """Return how a run ended during which a signal came, and what was lost; `right` is as `reference` gives it."""
    if ended.error is not None:
        kind, problems = _escaped(ended.job, right, ended.error)
    else:
        assert ended.history is not None
        kind, problems = _returned(ended.job, ended.history, right)
    if ended.handler is not signal.default_int_handler:
        problems.append(f"the handler of SIGINT is {ended.handler}")
    for entry in path.parent.iterdir():
        if entry != path:
            problems.append(f"left behind: {entry.name}")
            entry.unlink()
    return kind, problems + _resumed(ended.job.form, path, right)


def _returned(job: Job, history: History, right: list[State]) -> tuple[str, list[str]]:
    problems = []
    if history.epochs < EPOCHS and not history.interrupted:
        problems.append(f"ended after {history.epochs} epochs, not as interrupted")
    problems += _trouble_with_state(job, right)
    if not history.interrupted:
        return "signal after fit", problems
    return "interrupted" if history.epochs else "interrupted in the first epoch", problems


def _trouble_with_state(job: Job, right: list[State]) -> list[str]:
    """Return what is not as after the completed epochs; a signal may come before or after the end's callbacks."""
    epochs, state = job.trainer.history.epochs, job.state()
    states = right[epochs:] if epochs == EPOCHS else [right[epochs]]
    return [] if state in states else difference(state, states[-1])


def _escaped(job: Job, right: list[State], error: BaseException) -> tuple[str, list[str]]:
    """Judge an error: KeyboardInterrupt may come where `fit` had not begun, or was over."""
    names = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if not isinstance(error, KeyboardInterrupt) or INSIDE & names:
        return "error", [told(error)]
    return "signal beside fit", _trouble_with_state(job, right)


def _resumed(form: str, path: Path, right: list[State]) -> list[str]:
    """Go on from the checkpoint to the end, with other first weights; return what is not as without interruption."""
    if not path.exists():
        return []
    job = Job(form, seed=1)
    try:
        job.trainer.resume(path)
        fit(job, path)
    except Exception as error:
        return [f"resumed: {told(error)}"]
    return [f"resumed: {line}" for line in difference(job.state(), right[-1])]
