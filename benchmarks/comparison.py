"""Comparing rivals side by side, in turn, so that a machine's drift meets them alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

BEST_PEER = "best peer"  # under this name a target bounds the ratio of the fastest of the others
PAUSE = 0.05  # seconds after each run, in which the waiting threads of its matrix library go to sleep
SLOW = 10.0  # seconds of one run

Measurement: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Target:
    """The bounds that a figure is held to."""

    at_least: float = -math.inf
    at_most: float = math.inf

    def met_by(self, value: float) -> bool:
        """Return whether `value` is within the bounds."""
        return self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{name} {bound:.4g}" for name, bound in bounds if math.isfinite(bound))


@dataclass(frozen=True)
class Limit:
    """The least time, in seconds, that the machine allows for a job, and what sets it."""

    seconds: float
    cause: str


@dataclass(frozen=True)
class Comparison:
    """One job and what was measured of each rival, minidl before the others.

    Attributes: `unit` is "s" or "MB"; `values` are of the same repetitions for all rivals, of the first alone for a
    slow one, empty for one that is not installed; `targets` bound, under minidl's name, its median, under another's,
    the ratio to minidl, and under `BEST_PEER` the lowest of these ratios; `limit` is the machine's.
    """

    job: str
    unit: str
    values: Mapping[str, Sequence[float]]
    targets: Mapping[str, Target] = field(default_factory=dict)
    limit: Limit | None = None

    @property
    def first(self) -> str:
        """The name of the rival that the others are compared with."""
        return next(iter(self.values))

    @property
    def best_peer(self) -> str | None:
        """The name of the rival, minidl apart, with the lowest ratio; None where none is installed."""
        peers = [name for name, values in self.values.items() if values and name != self.first]
        return min(peers, key=self.ratio, default=None)

    def ratio(self, name: str) -> float:
        """Return how many times minidl's figure the rival's is: the median over the repetitions."""
        pairs = zip(self.values[name], self.values[self.first], strict=False)  # a slow rival has one value only
        return statistics.median(value / own for value, own in pairs)

    def figure(self, name: str) -> float:
        """Return the figure that a target of this rival is about."""
        return statistics.median(self.values[name]) if name == self.first else self.ratio(name)


def compare(
    job: str,
    rivals: Mapping[str, Measurement | None],
    repetitions: int,
    *,
    targets: Mapping[str, Target] | None = None,
    unit: str = "s",
    warmup: int = 1,
    limit: Limit | None = None,
) -> Comparison:
    """Measure the rivals in turn, A B A B ..., leaving out the first so many rounds; None is one not installed.

    A rival, minidl apart, of which one run takes longer than `SLOW` is measured once.
    """
    values: dict[str, list[float]] = {name: [] for name in rivals}
    first, slow = next(iter(rivals)), set[str]()
    for repetition in range(warmup + repetitions):
        for name, measure in rivals.items():
            if measure is None or (name in slow and values[name]):
                continue
            start = time.perf_counter()
            value = measure()
            if name != first and time.perf_counter() - start > SLOW:
                slow.add(name)
            time.sleep(PAUSE)
            if repetition >= warmup:
                values[name].append(value)
    return Comparison(job, unit, values, targets or {}, limit)


def timed(run: Callable[[], object], per: float = 1) -> Measurement:
    """Return what measures the seconds that `run` takes, divided by the number of steps `per` that it makes."""

    def measure() -> float:
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) / per

    return measure
