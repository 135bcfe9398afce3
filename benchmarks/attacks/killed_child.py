"""A training that is to be killed: it writes a checkpoint and a model after each epoch, and resumes if it can.

    python -m benchmarks.attacks.killed_child FORM FOLDER WEAPON

It prints a line after each epoch. The weapon is one of WEAPONS with a number behind a colon: the write at which the
process kills itself or waits, or the milliseconds that every write takes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minidl
from benchmarks.attacks.jobs import After, Job
from minidl import Checkpoint, Run

WEAPONS = ("none", "before fsync", "after fsync", "before replace", "after replace", "slow", "waiting")
CHECKPOINT, MODEL = "run.ckpt", "model.npz"


def run_job(job: Job, folder: Path, report: Callable[[int], object] = id) -> None:
    """Train to the end, from the checkpoint if there is one, and report each epoch."""
    if (folder / CHECKPOINT).exists():
        job.trainer.resume(folder / CHECKPOINT)

    def save(run: Run) -> None:
        minidl.save(run.model, folder / MODEL, epoch=run.epoch)
        report(run.epoch)

    job.fit([After(save), Checkpoint(folder / CHECKPOINT)])


def arm(weapon: str, number: int) -> None:
    """Change `os.fsync` and `os.replace` so that the process dies, or is slow, inside of a write."""
    writes = 0

    def armed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal writes
            writes += name == "replace"
            due = writes == number
            if due and weapon == f"before {name}":
                os.kill(os.getpid(), signal.SIGKILL)
            if weapon == "slow":
                time.sleep(number / 1000)
            if due and weapon == "waiting" and name == "replace":
                print("waiting", flush=True)
                time.sleep(60)
            result = function(*arguments)
            if due and weapon == f"after {name}":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    os.fsync, os.replace = armed("fsync", os.fsync), armed("replace", os.replace)


def main(form: str, folder: str, weapon: str) -> None:
    kind, _, number = weapon.partition(":")
    arm(kind, int(number))
    seed = 1 if Path(folder, CHECKPOINT).exists() else 0  # what is resumed must not depend on the first weights
    run_job(Job(form, seed), Path(folder), lambda epoch: print(epoch, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
