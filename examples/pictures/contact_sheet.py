"""The contact sheet: photographs with the network's predictions, right and wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from pictures.canvas import FINE, GREEN, GREY, GRID, INK, PAPER, RED, font, paint, save, shortened, wrapped

Array: TypeAlias = npt.NDArray[Any]

COLUMNS = 8
SIDE = 132  # pixels a side of the square that a photograph is fitted into
GAP, MARGIN = 20, 32
LEADING = 22  # from line to line of the heading
CAPTION = 48  # height of the two lines under a photograph
NARROWEST = 4  # columns that even one photograph's sheet is wide, for its heading


def draw_predictions(
    images: Array,
    probabilities: Sequence[float] | Array,
    labels: Sequence[int] | Array,
    path: str | os.PathLike[str],
    class_names: Sequence[str] = ("not cat", "cat"),
    limit: int = 40,
) -> None:
    """Draw photographs with the network's probability and predicted class as a PNG, at most `limit` of them.

    Wrong ones come first, the most confident first, on half the places; then right ones, evenly chosen from the surest
    to the least sure. Where one kind has too few, the other takes the rest of the places. A wrong one has a thick
    frame, a cross and the word "wrong". As in `accuracy`, the prediction is class 1 for a probability above 0.5.

    Shapes: images uint8 (n, height, width, 3); probabilities, of class 1, and labels (n,) or (n, 1).

    Raises: ValueError for other shapes or values; OSError for a file that cannot be written, whose folder is then as
    it was.
    """
    images = np.asarray(images)
    p, truth = _checked(images, probabilities, labels)
    if len(class_names) != 2:
        raise ValueError(f"class_names: expected two names, received {list(class_names)}")
    if limit < 1:
        raise ValueError(f"limit: expected a whole number of at least 1, received {limit}")
    wrong, right = _choose(p, truth, limit)
    chosen = [*wrong, *right]
    columns = min(COLUMNS, max(NARROWEST, len(chosen)))
    width = 2 * MARGIN + columns * (SIDE + GAP) - GAP
    title, *heading = _heading(p, truth, (len(wrong), len(right)), class_names, width - 2 * MARGIN)
    top = MARGIN + 34 + LEADING * len(heading) + 24
    rows = -(-len(chosen) // columns)
    picture = Image.new("RGB", (width, top + rows * (SIDE + CAPTION + GAP) - GAP + MARGIN - 8), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN - 8), title, INK, font(24))
    for row, text in enumerate(heading):
        draw.text((MARGIN, MARGIN + 34 + LEADING * row), text, GREY, font(15))
    for place, i in enumerate(chosen):
        corner = (MARGIN + place % columns * (SIDE + GAP), top + place // columns * (SIDE + CAPTION + GAP))
        _draw_photograph(picture, corner, images[i], place < len(wrong))
        _draw_caption(picture, corner, float(p[i]), bool(truth[i]), class_names)
    save(picture, path)


def _checked(
    images: Array, probabilities: Sequence[float] | Array, labels: Sequence[int] | Array
) -> tuple[Array, Array]:
    """Return probabilities and labels as float (n,) and bool (n,)."""
    p, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or images.size == 0:
        raise ValueError(f"images: expected uint8 (n, height, width, 3), received {images.dtype} {images.shape}")
    for values, name in ((p, "probabilities"), (truth, "labels")):
        if values.shape not in ((len(images),), (len(images), 1)):
            raise ValueError(f"{name}: expected one for each of {len(images)} images, received shape {values.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities: expected numbers in [0, 1], received {p.min()} to {p.max()}")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"labels: expected 0 and 1, received {np.unique(truth).tolist()}")
    return p.ravel(), truth.ravel() == 1


def _choose(p: Array, truth: Array, limit: int) -> tuple[Array, Array]:
    """Return which wrong and which right ones to show, in order."""
    surest_first = np.argsort(-np.abs(p - 0.5), kind="stable")
    is_right = ((p > 0.5) == truth)[surest_first]
    wrong, right = surest_first[~is_right], surest_first[is_right]
    wrong = wrong[: max((limit + 1) // 2, limit - len(right))]
    places = min(limit - len(wrong), len(right))
    return wrong, right[np.linspace(0, len(right) - 1, places).round().astype(int)]


def _heading(p: Array, truth: Array, shown: tuple[int, int], class_names: Sequence[str], width: int) -> list[str]:
    """Return the heading's lines: how many are right, what the number means, and what is shown in which order."""
    right = int(((p > 0.5) == truth).sum())
    counts = len(p) - right, right
    other, name = (shortened(each, 15, width / 3) for each in class_names)
    meaning = f"The number is the network's probability of {name}: above 0.5 it says {name}, else {other}."
    ways = ("the most confident first", "from the surest to the least sure")
    parts = [
        f"the {kind} one"
        if count == 1
        else f"{'all' if some == count else f'{some:,} of the'} {count:,} {kind} ones, {way}"
        for some, count, kind, way in zip(shown, counts, ("wrong", "right"), ways, strict=True)
        if some
    ]
    order = f"Shown: {'; then '.join(parts)}."
    title = f"{right:,} of {len(p):,} test photographs right ({100 * right / len(p):.1f} %)"
    return [title, *wrapped(meaning, 15, width), *wrapped(order, 15, width)]


def _draw_photograph(picture: Image.Image, corner: tuple[int, int], pixels: Array, is_wrong: bool) -> None:
    """Draw a photograph, fitted into its square, and its frame: thick around a wrong one, thin around a right one."""
    (left, top), (height, width) = corner, pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    draw, thickness = ImageDraw.Draw(picture), 6 if is_wrong else 2
    frame = left - thickness, top - thickness, left + SIDE + thickness - 1, top + SIDE + thickness - 1
    draw.rectangle(frame, GRID, RED if is_wrong else GREEN, thickness)
    picture.paste(fitted, (left + (SIDE - size[0]) // 2, top + (SIDE - size[1]) // 2))


def _draw_caption(
    picture: Image.Image, corner: tuple[int, int], p: float, truth: bool, class_names: Sequence[str]
) -> None:
    """Write two lines under a photograph: right or wrong, and the probability; the predicted and the true class."""
    left, top = corner[0], corner[1] + SIDE
    says = p > 0.5
    is_wrong = says != truth
    colour, mark = (RED, _cross) if is_wrong else (GREEN, _check)
    paint(picture, (left, top + 11), (16, 16), colour, mark)
    draw = ImageDraw.Draw(picture)
    draw.text((left + 21, top + 24), "wrong" if is_wrong else "right", colour, font(15), anchor="ls")
    draw.text((left + SIDE, top + 24), f"{p:.3f}", INK, font(15), anchor="rs")
    text = f"says {class_names[says]}" + (f", is {class_names[truth]}" if is_wrong else "")
    draw.text((left, top + 43), shortened(text, 14, SIDE), INK, font(14), anchor="ls")


def _check(draw: ImageDraw.ImageDraw) -> None:
    draw.line([(2 * FINE, 8 * FINE), (6 * FINE, 12 * FINE), (14 * FINE, 3 * FINE)], 255, 3 * FINE, joint="curve")


def _cross(draw: ImageDraw.ImageDraw) -> None:
    for start, stop in ((3, 13), (13, 3)):
        draw.line([(3 * FINE, start * FINE), (13 * FINE, stop * FINE)], 255, 3 * FINE)
