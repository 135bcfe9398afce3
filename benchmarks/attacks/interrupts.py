"""Ctrl-C, once and several times, at any moment of `fit`."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from random import Random
from subprocess import PIPE, Popen
from threading import Timer

from benchmarks.attacks.isolation import child, kill_group
from benchmarks.attacks.jobs import FORMS
from benchmarks.attacks.outcome import Outcome

SECONDS = 30.0  # for each run, above all
QUICK = 0.02  # seconds within which several signals come


def run(count: int, seed: int) -> Outcome:
    """Send SIGINT to a process that trains: while it prepares, trains, writes checkpoints, ends; once or 2 to 5 times.

    Lost: a KeyboardInterrupt out of `fit`, unless it came before `fit` began or after it was over; a signal during
    `fit` without effect; weights, optimizer state, generators or metrics other than those of a run of exactly
    `history.epochs` epochs; a checkpoint that, resumed, ends in other bits than a run without interruption; files left
    behind; no answer for half a minute.
    """
    outcome = Outcome("interrupts")
    for i, form in enumerate(FORMS):
        rng, due = Random(f"{seed} {form}"), len(range(i, count, len(FORMS)))
        while due:
            due -= _attack(form, due, rng, outcome)
    return outcome


def _attack(form: str, count: int, rng: Random, outcome: Outcome) -> int:
    """Interrupt so many runs of one process, fewer where it ends; return how many."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+") as errors,
        child("benchmarks.attacks.interrupted_child", form, folder, str(count), stdin=PIPE, stderr=errors) as process,
    ):
        timer = Timer(SECONDS + count, kill_group, (process.pid,))
        timer.start()
        for i in range(count):
            try:
                kind, problems = _interrupt(process, rng)
            except (OSError, ValueError):  # the process is gone, or says something else
                timer.cancel()
                status = process.wait()
                errors.seek(0)
                outcome.lose(f"{form}: fit ended with status {status}: {errors.read()[-1000:]}")
                return i + 1
            outcome.settle(kind, problems, f"{form}, run {i} of {count}")
        timer.cancel()
    return count


def _interrupt(process: Popen[str], rng: Random) -> tuple[str, list[str]]:
    """Press at random moments of one run, and return how it ended."""
    assert process.stdout is not None
    assert process.stdin is not None
    seconds = float(process.stdout.readline().removeprefix("ready "))
    presses = rng.choice((1, 1, 2, 3, 5))
    moments = sorted(rng.uniform(0, QUICK) for _ in range(presses - 1))
    time.sleep(rng.uniform(0, 1.1) * seconds)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    for moment in moments:
        time.sleep(max(0.0, start + moment - time.monotonic()))
        os.kill(process.pid, signal.SIGINT)
    process.stdin.write("sent\n")
    process.stdin.flush()
    kind, problems = json.loads(process.stdout.readline())
    return kind, problems
