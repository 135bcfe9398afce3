"""An attack in a process of its own: a crash, a hang or a changed setting stays there.

    python -m benchmarks.attacks.isolation NAME COUNT SEED

prints the outcome as its last line, in JSON.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.attacks.outcome import Outcome

ROOT = Path(__file__).parents[2]


def run_apart(name: str, count: int, seed: int, timeout: float) -> Outcome:
    """Run an attack in a fresh process; a crash or no answer in time is a loss as well."""
    with child("benchmarks.attacks.isolation", name, str(count), str(seed), stderr=subprocess.PIPE) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            outcome = Outcome(name)
            outcome.lose(f"no end within {timeout:g} s")
            return outcome
    if process.returncode != 0:
        outcome = Outcome(name)
        outcome.lose(f"ended with status {process.returncode}: {errors[-1500:]}")
        return outcome
    return Outcome.from_json(output.splitlines()[-1])


@contextmanager
def child(module: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a module as a program, this checkout's packages in reach; at the end it is killed with all it started."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **options.pop("environment", {})}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        **{"stdout": subprocess.PIPE, "cwd": ROOT, "env": environment, "text": True, **options},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill_group(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):  # by what has not been read
                    stream.close()


def kill_group(group: int) -> None:
    """Kill the processes of a session that `child` started, as far as there are any left."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def attack(name: str, count: int, seed: int) -> Outcome:
    """Run an attack in this process."""
    outcome: Outcome = importlib.import_module(f"benchmarks.attacks.{name}").run(count, seed)
    return outcome


if __name__ == "__main__":
    print(f"\n{attack(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])).to_json()}", flush=True)
