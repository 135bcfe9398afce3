"""How time and memory of training grow with samples, features, width, depth and batch, and where 24 GB end.

    python -m benchmarks.growth [--quick] [--out FILE]

The network is [features, width, ..., width, 1] with `depth` hidden layers, trained directly (`dual=False`) in shuffled
mini-batches; one of the five sizes doubles at a time. Time is that of a `fit` of one epoch. Memory is what a fresh
process, after a tiny `fit`, adds to its peak by making the samples and the network and training for an epoch. Each
exponent p is that of `size ** p`, by least squares through the logarithms of the upper half of the sizes. Where memory
is full is extrapolated on that line, not tried; an exponent that still rises, as the width's to 2, ends too far out.
`--out` draws all in a file, by matplotlib (the extra `plot`), and `--quick` takes two tiny sizes of each, which shows
that the program runs and nothing else.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.comparison import Comparison, compare, timed
from benchmarks.fitting import Line, fitted
from benchmarks.growth_picture import draw
from benchmarks.machine import description, peer
from benchmarks.processes import added_memory, peak_memory
from benchmarks.report import quantity, show
from minidl import SGD, BinaryCrossEntropy, Trainer, mlp

FULL = 24_000.0  # MB, what the machine has
FARTHEST = 1e6  # times the largest size that was measured: no line is believed beyond
LEAST = 0.1  # MB; what a process adds below this is noise, which has no logarithm where it is 0


class Size(NamedTuple):
    """A network, its samples and its mini-batches."""

    samples: int
    features: int
    width: int
    depth: int
    batch: int


Axes = Mapping[str, tuple[Size, int]]
# Of each size: all sizes at its first value, and how often it doubles.
AXES: Axes = {
    "samples": (Size(4096, 512, 64, 2, 256), 5),
    "features": (Size(2048, 1024, 64, 2, 256), 5),
    "width": (Size(256, 64, 256, 2, 64), 5),
    "depth": (Size(256, 256, 512, 2, 256), 5),
    "batch": (Size(65536, 16, 256, 2, 2048), 5),
}
TINY = Size(samples=64, features=8, width=8, depth=1, batch=16)
QUICK: Axes = dict.fromkeys(Size._fields, (TINY, 1))


@dataclass(frozen=True)
class Growth:
    """How time and memory grow with one size.

    Attributes: `base` is the memory of the process before, in MB; `time` and `memory` have one rival for each of the
    `sizes`.
    """

    name: str
    sizes: Sequence[int]
    base: float
    time: Comparison
    memory: Comparison

    @property
    def times(self) -> list[float]:
        """The median seconds at each size."""
        return medians(self.time)

    @property
    def megabytes(self) -> list[float]:
        """The memory added at each size."""
        return medians(self.memory)

    @property
    def time_line(self) -> Line:
        """The line of the times."""
        return fitted(self.sizes, self.times)

    @property
    def memory_line(self) -> Line:
        """The line of the memory added."""
        return fitted(self.sizes, self.megabytes)

    @property
    def end(self) -> float:
        """The size at which the memory of the machine is full, infinity where the line hardly rises."""
        end = self.memory_line.reaches(FULL - self.base)
        return end if end < FARTHEST * self.sizes[-1] else math.inf

    def labelled(self) -> Iterable[Comparison]:
        """Yield both comparisons with their exponents in their names."""
        yield replace(self.time, job=f"{self.time.job} ~ {self.name}^{self.time_line.exponent:.2f}")
        line = f"{self.memory.job} ~ {self.name}^{self.memory_line.exponent:.2f}"
        end = (
            "it does not grow" if math.isinf(self.end) else f"{FULL / 1000:.0f} GB are full at about {about(self.end)}"
        )
        yield replace(self.memory, job=f"{line}; {end}")


def medians(comparison: Comparison) -> list[float]:
    """Return the median of each rival."""
    return [statistics.median(values) for values in comparison.values.values()]


def about(number: float) -> str:
    """Return a number to two digits.

    >>> about(11_512_000.0), about(math.inf)
    ('12,000,000', '-')
    """
    if math.isinf(number):
        return "-"
    return f"{float(f'{number:.1e}'):,.0f}"


def epoch(size: Size) -> Callable[[], object]:
    """Return what trains for one epoch more."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((size.samples, size.features), dtype=np.float32)
    y = rng.integers(0, 2, size.samples)
    model = mlp([size.features, *[size.width] * size.depth, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.01))
    return lambda: trainer.fit(x, y, 1, size.batch, print_every=None, rng=0, dual=False)


def call_of_epoch(size: Size) -> str:
    """Return the call that another process makes of this module."""
    return f"epoch(benchmarks.growth.{size})()"


def growth(name: str, first: Size, doublings: int, base: float) -> Growth:
    """Measure at one size's values."""
    sizes = [getattr(first, name) << i for i in range(doublings + 1)]
    at = {f"{name} {size:,}": first._replace(**{name: size}) for size in sizes}
    others = ", ".join(f"{other} {value:,}" for other, value in first._asdict().items() if other != name)

    def added(size: Size) -> Callable[[], float]:
        measure = added_memory("benchmarks.growth", call_of_epoch(TINY), call_of_epoch(size))
        return lambda: max(measure(), LEAST)

    time = compare(f"epoch at {others}: time", {key: timed(epoch(size)) for key, size in at.items()}, repetitions=3)
    rivals = {key: added(size) for key, size in at.items()}
    memory = compare("memory that it adds", rivals, repetitions=1, unit="MB", warmup=0)
    return Growth(name, sizes, base, time, memory)


def growths(axes: Axes) -> Iterable[Growth]:
    """Measure along all axes."""
    base = peak_memory("benchmarks.growth", call_of_epoch(TINY))()
    for name, (first, doublings) in axes.items():
        yield growth(name, first, doublings, base)


def measure(axes: Axes = AXES) -> Iterable[Comparison]:
    for found in growths(axes):
        yield from found.labelled()


def summary(found: Iterable[Growth]) -> str:
    """Return a table of the exponents and of where memory is full.

    The time there is not given for the batch, as no epoch has so many samples.
    """
    lines = [f"{'':<12}{'time':>8}{'memory':>8}   {FULL / 1000:.0f} GB are full at, extrapolated   an epoch there"]
    for one in found:
        times = "" if one.name == "batch" or math.isinf(one.end) else quantity(one.time_line.at(one.end), "s")
        exponents = f"{one.time_line.exponent:>8.2f}{one.memory_line.exponent:>8.2f}"
        lines.append(f"{'~ ' + one.name + '^':<12}{exponents}   {about(one.end):>31}   {times:>14}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description="How the cost of training grows.")
    parser.add_argument("--quick", action="store_true", help="two tiny sizes of each, to show that it runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="draw time and memory in this file (needs matplotlib)")
    options = parser.parse_args(arguments)
    if options.out is not None and (obstacle := obstacle_to_drawing(options.out)):
        parser.error(f"--out: {obstacle}")
    print(description(), end="\n\n", flush=True)
    found = []
    for one in growths(QUICK if options.quick else AXES):
        show(one.labelled())
        found.append(one)
    print(summary(found))
    if options.out is not None:
        draw(options.out, found, FULL)


def obstacle_to_drawing(path: Path) -> str | None:
    """Return why the file could not be drawn after all that is measured, None where it can."""
    if peer("matplotlib") is None:
        return "needs matplotlib: pip install 'minidl[plot]'"
    kinds = peer("matplotlib.figure").Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        return f"expected a name that ends in one of {', '.join(f'.{kind}' for kind in kinds)}, received {path}"
    return None if path.parent.is_dir() else f"expected an existing folder, received {path.parent}"


if __name__ == "__main__":
    main()
