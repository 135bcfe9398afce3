"""Timing of rivals side by side, so that a machine's drift meets them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(rivals: Mapping[str, Callable[[], object]], repetitions: int, warmup: int = 1) -> dict[str, list[float]]:
    """Run the rivals in turn, A B A B ..., and return the seconds of each run after the warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for repetition in range(warmup + repetitions):
        for name, run in rivals.items():
            start = time.perf_counter()
            run()
            if repetition >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table(seconds: Mapping[str, list[float]]) -> str:
    """Return lines of median, fastest and slowest in milliseconds, and each median's ratio to the first rival's."""
    first = statistics.median(next(iter(seconds.values())))
    lines = [f"{'':28}{'median':>10}{'fastest':>10}{'slowest':>10}{'ratio':>8}"]
    for name, values in seconds.items():
        median = statistics.median(values)
        numbers = "".join(f"{1e3 * value:7.2f} ms" for value in (median, min(values), max(values)))
        lines.append(f"{name:28}{numbers}{median / first:8.2f}")
    return "\n".join(lines)
