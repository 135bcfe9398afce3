"""SIGKILL while a run trains and writes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from random import Random
from subprocess import Popen
from threading import Timer

import minidl
from benchmarks.attacks.isolation import child, kill_group
from benchmarks.attacks.jobs import EPOCHS, FORMS, Job, Noise, State, difference
from benchmarks.attacks.killed_child import CHECKPOINT, MODEL, WEAPONS, run_job
from benchmarks.attacks.outcome import Outcome, told
from minidl._files import atomic_write

TIMEOUT = 60.0
CHAIN = 4  # kills before a run is brought to its end
LONG_AGO = 3600  # seconds; what is younger than a minute may belong to somebody


def run(count: int, seed: int) -> Outcome:
    """Kill a process that trains with a checkpoint after each epoch and saves its model: at any time, inside writes.

    Lost: a checkpoint or model file that was there before and is missing or not whole; a run that, resumed after some
    kills, ends in other bits than one without; temporary files that are left after the next save, when they are an
    hour old; the temporary file of a writer that is alive, removed by another's save.
    """
    outcome, rng = Outcome("kills"), Random(seed)
    right = {form: _undisturbed(form) for form in FORMS}
    with tempfile.TemporaryDirectory() as root:
        for i in range(count):
            form = FORMS[i % len(FORMS)]
            folder, is_last = Path(root, form), i // len(FORMS) % CHAIN == CHAIN - 1 or i + len(FORMS) >= count
            folder.mkdir(exist_ok=True)
            weapon = rng.choice(WEAPONS)
            number = rng.randint(1, 12)  # of a write, or milliseconds
            kind, problems = _killed(form, folder, f"{weapon}:{number}", rng)
            problems += _trouble_with_files(form, folder)
            if is_last or problems:
                problems += _trouble_at_the_end(form, folder, right[form])
                shutil.rmtree(folder)
            outcome.settle(kind, problems, f"attempt {i}, {form}, {weapon}:{number}")
    return outcome


def _undisturbed(form: str) -> State:
    job = Job(form)
    with tempfile.TemporaryDirectory() as folder:
        run_job(job, Path(folder))
    return job.state()


def _killed(form: str, folder: Path, weapon: str, rng: Random) -> tuple[str, list[str]]:
    """Start the training and kill it if it does not do so itself; return how it ended, and what went wrong."""
    before, start = {path.name for path in folder.iterdir()}, time.monotonic()
    epochs, delay, problems = rng.randint(0, 5), rng.uniform(0, 0.03), []
    with child("benchmarks.attacks.killed_child", form, str(folder), weapon) as process:
        timer = Timer(TIMEOUT, kill_group, (process.pid,))
        timer.start()
        if _lines(process, epochs)[-1:] == ["waiting"]:
            problems = _trouble_with_two_writers(folder, before)
        else:
            time.sleep(delay)
        process.kill()
        process.wait()
        timer.cancel()
    if time.monotonic() - start > TIMEOUT:
        problems.append(f"no answer within {TIMEOUT:g} s")
    if process.returncode not in (0, -signal.SIGKILL):
        problems.append(f"status {process.returncode}")
    problems += [f"{name} is gone" for name in (CHECKPOINT, MODEL) if name in before and not (folder / name).exists()]
    kind = weapon.partition(":")[0]
    return "ended first" if process.returncode == 0 else f"killed {kind}".removesuffix(" none"), problems


def _lines(process: Popen[str], count: int) -> list[str]:
    """Read so many lines, or fewer where the process ends or waits."""
    lines: list[str] = []
    assert process.stdout is not None
    while len(lines) < count or not lines:
        line = process.stdout.readline().strip()
        lines.append(line)
        if line in ("", "waiting"):
            break
    return lines


def _temporary(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in (CHECKPOINT, MODEL)]


def _make_old(folder: Path) -> None:
    for path in _temporary(folder):
        os.utime(path, (time.time() - LONG_AGO,) * 2)


def _trouble_with_two_writers(folder: Path, before: set[str]) -> list[str]:
    """Write to the same paths while another process stands before the renaming of its own file, which looks old."""
    _make_old(folder)
    alive = [path for path in _temporary(folder) if path.name not in before]
    for name in (MODEL, CHECKPOINT):
        if (folder / name).exists():
            content = (folder / name).read_bytes()
            with atomic_write(folder / name) as file:
                file.write(content)
    gone = [path.name for path in alive if not path.exists()]
    return [f"the file of a writer that is alive was removed: {gone}"] if gone else []


def _trouble_with_files(form: str, folder: Path) -> list[str]:
    """Return what is not whole."""
    problems = []
    for name in (CHECKPOINT, MODEL):
        if (folder / name).exists():
            try:
                minidl.load(folder / name, {"Noise": Noise}) if name == MODEL else Job(form, 2).trainer.resume(
                    folder / name
                )
            except Exception as error:
                problems.append(f"{name}: {told(error)}")
    return problems


def _trouble_at_the_end(form: str, folder: Path, right: State) -> list[str]:
    """Resume, train to the end, and return what is not as it would be without kills."""
    _make_old(folder)
    job = Job(form, seed=3 if (folder / CHECKPOINT).exists() else 0)
    try:
        run_job(job, folder)
    except Exception as error:
        return [f"resume and fit: {told(error)}"]
    problems = difference(job.state(), right)
    if job.trainer.history.epochs != EPOCHS:
        problems.append(f"{job.trainer.history.epochs} epochs instead of {EPOCHS}")
    assert job.trainer.run is not None
    job.trainer.run.save(folder / CHECKPOINT)
    minidl.save(job.trainer.model, folder / MODEL)
    left = [path.name for path in _temporary(folder)]
    return problems + ([f"left behind: {left}"] if left else [])
