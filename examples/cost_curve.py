"""The cost curve: the cost of each iteration of a training, as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from minidl.reports.canvas import BLUE, FINE, GREY, GRID, INK, ORANGE, PAPER, RED, font, paint, save, shortened

Array: TypeAlias = npt.NDArray[Any]

WIDTH, HEIGHT = 1000, 600
MARGIN = 28
TOP, BOTTOM = 118, 528  # of the axes


class _Line(NamedTuple):
    """One line of the plot: a value an iteration."""

    name: str
    values: Array
    colour: str
    dashed: bool

    @property
    def drawable(self) -> Array:
        return np.abs(self.values) < 1e300  # false for NaN; nearer to the end of float64, axes would overflow


class _Axes(NamedTuple):
    """Where the axes lie in the picture, and which iterations and costs they span."""

    left: float
    right: float
    last: int
    low: float
    high: float

    def points(self, iterations: Array, values: Array) -> Array:
        x = self.left + iterations / self.last * (self.right - self.left)
        y = BOTTOM - (values - self.low) / (self.high - self.low) * (BOTTOM - TOP)
        return np.stack([x, y], axis=1)


def draw_cost_curve(
    costs: Sequence[float] | Array,
    path: str | os.PathLike[str],
    validation: Sequence[float] | Array | None = None,
    title: str = "Cost during training",
    unit: str = "iteration",
) -> None:
    """Draw the cost of each iteration, or other `unit`, as a PNG of 1,000 x 600 pixels, with the validation part's.

    The axis of costs begins at 0. Of many iterations each column of pixels shows first, least, greatest and last, so
    that no spike is lost. Values that are not finite leave a gap in the line, and a note under the title counts them.

    Raises: ValueError for no costs, or for another number of validation costs; OSError for a file that cannot be
    written, whose folder is then as it was.
    """
    lines = [_Line("training", _column(costs, "costs"), BLUE, False)]
    if validation is not None:
        lines.append(_Line("validation", _column(validation, "validation"), ORANGE, True))
        if len(lines[1].values) != len(lines[0].values):
            raise ValueError(f"validation: expected {len(lines[0].values)} costs, received {len(lines[1].values)}")
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 20), shortened(title, 24, WIDTH - 2 * MARGIN), INK, font(24))
    draw.text((MARGIN, 54), _note(lines, unit), RED, font(15))
    axes = _draw_axes(draw, lines, unit)
    for line in lines:
        paint(picture, (0, 0), picture.size, line.colour, partial(_draw_line, line=line, axes=axes))
    _draw_labels(draw, lines, axes)
    save(picture, path)


def _column(values: Sequence[float] | Array, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or column.size == 0:
        raise ValueError(f"{name}: expected a list of at least one number, received shape {column.shape}")
    return column


def _note(lines: list[_Line], unit: str) -> str:
    parts = []
    for line in lines:
        missing = np.flatnonzero(~line.drawable)
        if len(missing):
            parts.append(f"{line.name} {len(missing):,} of {len(line.values):,}, first at {unit} {missing[0]:,}")
    return f"Not finite, so not drawn: {'; '.join(parts)}" if parts else ""


def _draw_axes(draw: ImageDraw.ImageDraw, lines: list[_Line], unit: str) -> _Axes:
    """Draw grid, ticks and names of the axes, and return the axes."""
    values = np.concatenate([line.values[line.drawable] for line in lines])
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if high - low < 1e-300:
        high = low + 1
    step = _nice_step((high - low) / 5)
    levels = step * np.arange(math.floor(low / step), math.ceil(high / step) + 1)
    names = [_number(float(level), step, max(-low, high)) for level in levels]

    small = font(15)
    left = round(MARGIN + 10 + max(small.getlength(name) for name in [*names, "cost"]))
    right = round(WIDTH - MARGIN - 12 - max(font(16).getlength(label) for label in _labels(lines)))
    axes = _Axes(left, right, max(1, len(lines[0].values) - 1), levels[0], levels[-1])
    ticks = np.arange(0, axes.last + 1, max(1, round(_nice_step(axes.last / 7))))
    for tick, (x, _) in zip(ticks, axes.points(ticks, 0 * ticks).round(), strict=True):
        draw.line([(x, TOP), (x, BOTTOM)], GRID)
        draw.text((x, BOTTOM + 10), f"{tick:,}", GREY, small, anchor="ma")
    for name, (_, y) in zip(names, axes.points(0 * levels, levels).round(), strict=True):
        draw.line([(left, y), (right, y)], GRID)
        draw.text((left - 10, y), name, GREY, small, anchor="rm")
    draw.line([(left, BOTTOM), (right, BOTTOM)], GREY)
    draw.text((left - 10, TOP - 15), "cost", INK, small, anchor="rs")
    draw.text(((left + right) / 2, BOTTOM + 36), unit, INK, small, anchor="ma")
    return axes


def _nice_step(rough: float) -> float:
    """Return the least of 1, 2 and 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _number(value: float, step: float, largest: float) -> str:
    if step < 1e-5 or largest >= 1e7:
        return f"{value:.3g}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _draw_line(draw: ImageDraw.ImageDraw, line: _Line, axes: _Axes) -> None:
    """Draw one line, interrupted where values are missing, on a canvas FINE times as large as the picture.

    Dashes lie on a thin line, so that no spike is lost between two of them.
    """
    finite = np.flatnonzero(line.drawable)
    for run in np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1):
        shown = _thinned(run, line.values, (axes.right - axes.left) / axes.last)
        points = axes.points(shown, line.values[shown]) * FINE
        if len(points) == 1:
            draw.ellipse([*(points[0] - 3 * FINE), *(points[0] + 3 * FINE)], 255)
        elif len(points):
            _stroke(draw, points, 1 if line.dashed else 2.2)
            for dash in _dashes(points, 12 * FINE, 8 * FINE) if line.dashed else ():
                _stroke(draw, dash, 3.2)


def _stroke(draw: ImageDraw.ImageDraw, points: Array, width: float) -> None:
    draw.line([(float(x), float(y)) for x, y in points], 255, round(width * FINE), joint="curve")


def _thinned(run: Array, values: Array, pixels: float) -> Array:
    """Return those of consecutive iterations, each `pixels` wide, that show in their column of pixels."""
    columns = math.ceil(len(run) * pixels)
    if len(run) <= 4 * columns:
        return run
    kept = []
    for part in np.array_split(run, columns):
        kept += [part[0], part[values[part].argmin()], part[values[part].argmax()], part[-1]]
    return np.unique(kept)


def _dashes(points: Array, on: float, off: float) -> Iterator[Array]:
    """Yield dashes of a line, measured from left to right: along a line with many spikes they would be too short."""
    x, y = points.T
    for start in np.arange(x[0], x[-1], on + off):
        stop = min(start + on, x[-1])
        inside = points[np.searchsorted(x, start, "right") : np.searchsorted(x, stop, "left")]
        yield np.concatenate([[(start, np.interp(start, x, y))], inside, [(stop, np.interp(stop, x, y))]])


def _labels(lines: list[_Line]) -> list[str]:
    """Return the label at each line's end: its last value, after its name if there are two lines."""
    labels = []
    for line in lines:
        last = line.values[line.drawable][-1:]
        labels.append(" ".join([line.name] * (len(lines) > 1) + [_rounded(value) for value in last]))
    return labels


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:#.3g}".rstrip(".")


def _draw_labels(draw: ImageDraw.ImageDraw, lines: list[_Line], axes: _Axes) -> None:
    """Write the label beside each line's end, and move two labels apart that would overlap."""
    ends = []
    for line in lines:
        last = np.flatnonzero(line.drawable)[-1:]
        ends.append(axes.points(last, line.values[last]))
    places = [[float(x), float(y)] for end in ends for x, y in end]
    shown = [(line, label) for line, label, end in zip(lines, _labels(lines), ends, strict=True) if len(end)]
    if len(places) == 2 and abs(places[0][1] - places[1][1]) < 22:
        upper, lower = sorted(places, key=lambda place: place[1])
        middle = min((upper[1] + lower[1]) / 2, BOTTOM - 12)
        upper[1], lower[1] = middle - 11, middle + 11
    for (line, label), (x, y) in zip(shown, places, strict=True):
        draw.text((x + 12, y), label, line.colour, font(16), anchor="lm", stroke_width=3, stroke_fill=PAPER)
