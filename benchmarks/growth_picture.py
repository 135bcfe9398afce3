"""The picture of how costs grow: time above, memory below, one column for each size that was doubled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.growth import Growth


def draw(path: Path, found: Sequence[Growth], full: float) -> None:
    """Write the measured points, and the fitted lines as far as to where memory is full, at so many MB."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(found), 6.4))
    panels = figure.subplots(2, len(found), squeeze=False, sharex="col")
    figure.subplots_adjust(left=0.06, right=0.98, wspace=0.3, hspace=0.2)
    for one, (time, memory) in zip(found, panels.T, strict=True):
        points_and_line(time, one, one.times, one.time_line, "tab:blue")
        points_and_line(memory, one, one.megabytes, one.memory_line, "tab:orange")
        memory.axhline(full, color="grey", linewidth=1)
        memory.set_xlabel(one.name)
    panels[0, 0].set_ylabel("seconds an epoch")
    panels[1, 0].set_ylabel(f"MB added; grey: {full / 1000:.0f} GB")
    figure.suptitle("measured (points), and the line of the upper half, extrapolated to where memory is full (dashed)")
    figure.savefig(path)


def points_and_line(axes: Any, one: Growth, values: Sequence[float], line: Any, colour: str) -> None:
    """Draw one cost against one size, both logarithmic."""
    end = one.end if math.isfinite(one.end) else one.sizes[-1]
    ends = one.sizes[0], max(end, one.sizes[-1])
    heights = [*values, *(line.at(size) for size in ends)]
    axes.set(xscale="log", yscale="log")
    axes.set_ylim(min(heights) / 2, max(heights) * 2)  # first, as limits that are found for equal numbers meet
    axes.plot(one.sizes, values, "o", color=colour)
    axes.plot(ends, [line.at(size) for size in ends], "--", color=colour, linewidth=1)
    axes.set_title(f"~ {one.name}^{line.exponent:.2f}")
