"""Ctrl-C at a certain line: what a signal at a random moment hits too rarely."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from benchmarks.attacks.interrupted_run import Outside, fit, judged, reference, train
from benchmarks.attacks.jobs import FORMS, Job
from benchmarks.attacks.outcome import Outcome

Line = tuple[str, int]


def run(count: int, seed: int) -> Outcome:
    """Raise SIGINT where `fit` comes to a certain line of Python, of minidl or of what it calls.

    The lines are those of an undisturbed run, in random order, each at its first, second, ... or last execution; every
    third time another signal comes a few lines later.

    Lost: as in `interrupts`, and a signal during `fit` of which the history says nothing.
    """
    outcome, rng, outside = Outcome("lines"), Random(seed), Outside()
    with tempfile.TemporaryDirectory() as folder, outside.restored():
        path = Path(folder, "run.ckpt")
        for i, form in enumerate(FORMS):
            right, _ = reference(form, path)
            path.unlink()
            found, job = _Lines(), Job(form)
            found.watch(partial(fit, job, path))
            lines = sorted(found.executed)
            rng.shuffle(lines)
            for n in range(len(range(i, count, len(FORMS)))):
                line = lines[n % len(lines)]
                which = rng.choice((1, rng.randint(1, found.executed[line]), found.executed[line]))
                second = rng.randint(1, 40) if n % 3 == 0 else 0
                kind, problems = _interrupted(Job(form), path, right, outside, Press(line, which, second))
                name = f"{line[0].rpartition('/')[2]}:{line[1]}"
                outcome.settle(kind, problems, f"{form}, {name}, execution {which} of {found.executed[line]}")
    return outcome


@dataclass
class Press:
    """Where signals come: at this execution of a line, and so many lines later, 0 for never."""

    line: Line
    which: int
    second: int


@dataclass
class _Lines:
    """Which lines are executed, and how often; at one of them SIGINT is raised."""

    press: Press | None = None
    executed: dict[Line, int] = field(default_factory=dict)
    after: int = 0  # lines since the signal

    def watch(self, call: Callable[[], Any]) -> Any:
        """Call, and trace all that is called."""
        sys.settrace(self._trace)
        try:
            return call()
        finally:
            sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            self.executed[line] = self.executed.get(line, 0) + 1
            if self.press is not None:
                self._press(self.press, line)
        return self._trace

    def _press(self, press: Press, line: Line) -> None:
        self.after += self.after > 0
        if line == press.line and self.executed[line] == press.which:
            self.after = 1
            signal.raise_signal(signal.SIGINT)
        elif press.second and self.after == press.second + 1:
            signal.raise_signal(signal.SIGINT)


def _interrupted(job: Job, path: Path, right: list[Any], outside: Outside, press: Press) -> tuple[str, list[str]]:
    """Train with a signal at this line; return how it ended, and what was lost."""
    found, later = _Lines(press), list[int]()

    def report() -> None:
        if found.after:
            later.append(1)

    ended = train(job, path, outside, report, found.watch)
    kind, problems = judged(ended, path, right)
    if len(later) > 1:
        problems.append(f"{len(later)} epochs were completed after the signal")
    if not found.after:
        return "not reached", problems
    if kind == "signal after fit":
        problems.append("the history does not say that it was interrupted")
    return kind, problems
