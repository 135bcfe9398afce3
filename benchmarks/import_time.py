"""What importing and installing minidl costs.

    python -m benchmarks.import_time

Every import is that of a fresh process, the start of Python itself not counted. An installed size is that of all files
of a framework and of everything that it requires.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import minidl
from benchmarks.comparison import Comparison, Measurement, Target, compare
from benchmarks.machine import peer
from benchmarks.processes import output_of
from benchmarks.report import show

TIMED = """
import importlib, sys, time
*before, module = sys.argv[1:]
for name in before:
    importlib.import_module(name)
start = time.perf_counter()
importlib.import_module(module)
print(time.perf_counter() - start)
"""


def measure() -> Iterable[Comparison]:
    pytorch, sklearn = peer("torch") is not None, peer("sklearn") is not None
    yield compare(
        "import, NumPy's share included",
        {
            "minidl": import_of("minidl"),
            "NumPy": import_of("numpy"),
            "PyTorch": import_of("torch") if pytorch else None,
            "scikit-learn": import_of("sklearn.neural_network") if sklearn else None,
        },
        repetitions=5,
    )
    yield compare(
        "import after NumPy's", {"minidl": import_of("numpy", "minidl")}, 15, targets={"minidl": Target(at_most=0.030)}
    )
    own = sum(path.stat().st_size for path in Path(minidl.__file__).parent.rglob("*.py")) / 1e6
    yield compare(
        "installed size",
        {
            "minidl": lambda: own + installed_size("numpy", "pillow"),
            "PyTorch": (lambda: installed_size("torch", "numpy")) if pytorch else None,
            "scikit-learn": (lambda: installed_size("scikit-learn")) if sklearn else None,
        },
        repetitions=1,
        unit="MB",
        warmup=0,
    )


def import_of(*modules: str) -> Measurement:
    """Return what measures the import of the last module after those before it."""
    return lambda: float(output_of(TIMED, *modules))


def installed_size(*names: str) -> float:
    """Return the size in MB of distributions with all that they require, as far as it is installed."""
    waiting, seen, size = list(names), set[str](), 0
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # required elsewhere, on another system
            continue
        paths = [Path(str(file.locate())) for file in distribution.files or ()]
        size += sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())
        required = [line for line in distribution.requires or () if "extra ==" not in line]
        waiting += [match[0] for line in required if (match := re.match(r"[\w.-]+", line))]
    return size / 1e6


if __name__ == "__main__":
    show(measure())
