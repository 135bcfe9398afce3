"""Disks that are full, and files that must not become larger."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, TextIO
from unittest import mock

import numpy as np

import minidl
from benchmarks.attacks.jobs import EPOCHS, After, Job, State, difference
from benchmarks.attacks.outcome import Outcome, told
from minidl import Checkpoint, History

Write = Callable[[Path], object]

MIDDLE = 6  # the epoch of the checkpoint


def run(count: int, seed: int) -> Outcome:
    """Write while no file may become larger than some bytes, while the disk fails, and print where nothing fits.

    Writers are `minidl.save`, a checkpoint in the middle of `fit`, `History.to_csv` and `to_json`. Lost: an error
    other than OSError, or one that does not name the path that was given; an old file that is not whole; a temporary
    file that is left; after a failed checkpoint, a state other than that of the last completed epoch; and, where only
    the display of training fails, a run that does not go on to the same bits, or that says nothing of a full disk.
    """
    outcome, rng = Outcome("disk"), Random(seed)
    right = _states()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            if i % 5 == 4:
                name = ("/dev/full", "a pipe without a reader", "none")[i // 5 % 3]
                outcome.settle(*_display_fails(name, right[EPOCHS]), f"attempt {i}, printing to {name}")
                continue
            name, write = list(_writers(right).items())[i % 5]
            path, is_there = Path(folder, name), rng.random() < 0.7
            write(path)
            before = path.read_bytes()
            if not is_there:
                path.unlink()
            what, failing = _failure(len(before), rng)
            kind, problems = _fails(write, path, failing)
            if kind != "written":
                problems += _trouble_with_files(path, before if is_there else None)
            outcome.settle(kind, problems, f"attempt {i}, {name}, {what}")
    return outcome


def _writers(right: list[State]) -> dict[str, Write]:
    history = History({"loss": np.random.default_rng(0).random(500).tolist()})
    model = Job("full batch").trainer.model
    return {
        "model.npz": lambda path: minidl.save(model, path),
        "run.ckpt": lambda path: _fit(path, right),
        "history.csv": history.to_csv,
        "history.json": history.to_json,
    }


def _states() -> list[State]:
    """Return the states after each number of epochs of a run whose checkpoints do not fail, and at its end."""
    job = Job("mini-batches")
    states = [job.state()]
    with tempfile.TemporaryDirectory() as folder:
        job.fit([After(lambda _: states.append(job.state())), Checkpoint(Path(folder, "c"), MIDDLE)])
    return [*states[:EPOCHS], job.state()]


def _fit(path: Path, right: list[State]) -> None:
    """Train with a checkpoint in the middle; an error of its writing must leave the state of that epoch."""
    job = Job("mini-batches")

    def stop(run: minidl.Run) -> None:
        if run.epoch == MIDDLE:
            run.stop()

    try:
        job.fit([After(stop), Checkpoint(path, MIDDLE)])
    finally:
        problems = difference(job.state(), right[MIDDLE])
        if job.trainer.epoch != MIDDLE or problems:
            raise AssertionError(f"after {job.trainer.epoch} epochs: {problems}")


def _failure(size: int, rng: Random) -> tuple[str, AbstractContextManager[Any]]:
    """Return what fails, and what makes it fail inside a `with` block."""
    kind = rng.choice(("limit", "limit", "fsync", "replace", "open"))
    if kind == "limit":
        limit = rng.choice((0, 1, rng.randrange(size), size - 1))
        return f"no file above {limit} bytes", _size_limit(limit)
    number = rng.choice((errno.ENOSPC, errno.EDQUOT, errno.EIO))

    def fail(*arguments: Any) -> None:  # as the system call does, which names files, but not by descriptors
        names = [str(name) for name in arguments if not isinstance(name, int)]
        raise OSError(number, os.strerror(number), *names[:1], *([None, names[1]] if kind == "replace" else []))

    name = {"open": "pathlib.Path.open"}.get(kind, f"os.{kind}")
    return f"{kind} fails with {errno.errorcode[number]}", mock.patch(name, fail)


@contextmanager
def _size_limit(limit: int) -> Iterator[None]:
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _fails(write: Write, path: Path, failing: AbstractContextManager[Any]) -> tuple[str, list[str]]:
    """Write where it fails; return how it ended, and what is wrong with that."""
    try:
        with failing:
            write(path)
    except OSError as error:
        named = str(path) in str(error) and ".tmp" not in str(error)
        return type(error).__name__, [] if named else [f"the error does not name {path.name}: {told(error)}"]
    except Exception as error:
        return "error", [told(error)]
    return "written", ["written, although it cannot be"]


def _trouble_with_files(path: Path, before: bytes | None) -> list[str]:
    """Return what is left behind or not whole, and tidy up."""
    problems = []
    for entry in path.parent.iterdir():
        if entry.name.startswith("."):
            problems.append(f"left behind: {entry.name}")
            entry.unlink()
    if before is None and path.exists():
        problems.append("there is a file where there was none")
    if before is not None and path.read_bytes() != before:
        problems.append("the old file has changed")
    return problems


def _display_fails(name: str, right: State) -> tuple[str, list[str]]:
    """Train while what is printed cannot be written; return how it ended, and what is wrong with that."""
    job, problems = Job("mini-batches"), []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as warned, _display(name):
        warnings.simplefilter("always")
        try:
            job.fit([After(lambda _: None), Checkpoint(Path(folder, "c"), MIDDLE)], print_every=1)
        except Exception as error:
            return "error", [told(error)]
    problems += difference(job.state(), right)
    if name == "/dev/full" and not any("progress" in str(entry.message) for entry in warned):
        problems.append("no warning")
    return "trained on", problems


@contextmanager
def _display(name: str) -> Iterator[None]:
    """Put something that cannot be written to in the place of standard output."""
    display: TextIO | None = None
    if name == "/dev/full":
        display = Path(name).open("w")  # noqa: SIM115 - closed below, where that may fail
    elif name != "none":
        read_end, write_end = os.pipe()
        os.close(read_end)
        display = open(write_end, "w")  # noqa: PTH123, SIM115 - a descriptor
    try:
        with mock.patch.object(sys, "stdout", display):
            yield
    finally:
        if display is not None:
            with suppress(OSError):  # what is still in its buffer
                display.close()
