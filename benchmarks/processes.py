"""Measurements that need a fresh process: what a job adds to an old one says little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.comparison import Measurement

# On Linux VmHWM, the peak of this process alone; ru_maxrss starts from that of the process that started it.
PEAK = """
from pathlib import Path
status = Path("/proc/self/status")
if status.exists():
    print(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1], "1024")
else:
    import resource, sys
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 1 if sys.platform == "darwin" else 1024)
"""


def output_of(code: str, *arguments: str) -> str:
    """Run Python code in a fresh process, this checkout's packages in reach, and return what it prints."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", code, *arguments]
    # As an installed package is: its bytecode written once, not compiled at every start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def peak_memory(module: str, call: str) -> Measurement:
    """Return what measures the peak resident memory, in MB, of a fresh process that makes this call of a module."""
    return lambda: _peaks(module, call)[0]


def added_memory(module: str, before: str, call: str) -> Measurement:
    """Return what measures how much, in MB, a call of a module adds to the peak of a process that has made another."""

    def measure() -> float:
        first, second = _peaks(module, before, call)
        return second - first

    return measure


def _peaks(module: str, *calls: str) -> list[float]:
    """Return the peak resident memory of a fresh process, in MB, after each of the calls."""
    code = "\n".join(f"{module}.{call}\n{PEAK}" for call in calls)
    lines = output_of(f"import {module}\n{code}").splitlines()[-len(calls) :]
    return [int(number) * int(factor) / 1e6 for number, factor in map(str.split, lines)]
