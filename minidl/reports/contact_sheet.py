"""The contact sheet: photographs with a network's predictions, right and wrong; drawn by Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from minidl._files import FilePath
from minidl._samples import as_samples
from minidl._typing import Array
from minidl._validation import positive_int, shown
from minidl.reports.canvas import FINE, GREEN, GREY, GRID, INK, PAPER, RED, font, paint, save, shortened, wrapped

COLUMNS = 8
SIDE = 132  # pixels a side of the square that a photograph is fitted into
GAP, MARGIN = 20, 32
LEADING = 22  # from line to line of the heading
CAPTION = 48  # height of the two lines under a photograph
LINE = 18  # height of the third one, under wrong ones
NARROWEST = 4  # columns that even one photograph's sheet is wide, for its heading


class _Answers(NamedTuple):
    """For each photograph the class that the network says, the true one, how sure it is, and the number to show."""

    says: Array
    truth: Array
    sureness: Array
    number: Array

    @property
    def is_right(self) -> Array:
        right: Array = self.says == self.truth
        return right


def draw_contact_sheet(
    images: Any,
    probabilities: Any,
    labels: Any,
    path: FilePath,
    class_names: Sequence[str] | None = None,
    limit: int = 40,
) -> None:
    """Draw photographs with the network's probability and predicted class as a PNG, at most `limit` of them.

    Wrong ones come first, the most confident first, on half the places; then right ones, evenly chosen from the surest
    to the least sure. Where one kind has too few, the other takes the rest of the places. A wrong one has a thick
    frame, a cross and the word "wrong". As in `accuracy`, the prediction is class 1 for a probability above 0.5, or
    that of the largest of several.

    Shapes: images uint8 (n, height, width, 3), in memory or decoded when they are read, which is done for the ones
    shown alone; probabilities, of class 1, (n,) or (n, 1), or of all classes (n, classes); labels (n,) or (n, 1).

    Arguments: `class_names`, one for each class, are their numbers if not given.

    Raises: ValueError for other shapes or values; OSError for a file that cannot be written, whose folder is then as
    it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_contact_sheet(np.zeros((2, 8, 8, 3), np.uint8), [0.9, 0.2], [1, 1], f"{folder}/sheet.png")
    """
    images = as_samples(images, "images")
    answers, classes = _checked(images, probabilities, labels)
    names = [str(name) for name in (range(classes) if class_names is None else class_names)]
    if isinstance(class_names, str) or len(names) != classes:
        raise ValueError(f"class_names: expected {classes} names, received {shown(class_names)}")
    wrong, right = _choose(answers, positive_int(limit, "limit"))
    chosen = np.concatenate([wrong, right])
    columns = min(COLUMNS, max(NARROWEST, len(chosen)))
    width = 2 * MARGIN + columns * (SIDE + GAP) - GAP
    of_class_1 = names if np.size(probabilities) == len(images) else None
    title, *heading = _heading(answers, (len(wrong), len(right)), of_class_1, width - 2 * MARGIN)
    top = MARGIN + 34 + LEADING * len(heading) + 24
    rows = -(-len(chosen) // columns)
    pitch = SIDE + CAPTION + (LINE if len(wrong) else 0) + GAP  # from row to row
    picture = Image.new("RGB", (width, top + rows * pitch - GAP + MARGIN - 8), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN - 8), title, INK, font(24))
    for row, text in enumerate(heading):
        draw.text((MARGIN, MARGIN + 34 + LEADING * row), text, GREY, font(15))
    for place, i in enumerate(chosen):
        corner = (MARGIN + place % columns * (SIDE + GAP), top + place // columns * pitch)
        _draw_photograph(picture, corner, np.asarray(images[i : i + 1])[0], place < len(wrong))
        _draw_caption(picture, corner, answers, i, names)
    save(picture, path)


def _checked(images: Any, probabilities: Any, labels: Any) -> tuple[_Answers, int]:
    """Return what is predicted of each image and what is true, and the number of classes."""
    p, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    n, shape = len(images), tuple(images.shape)
    if len(shape) != 4 or shape[3] != 3 or images.dtype != np.uint8 or 0 in shape:
        raise ValueError(f"images: expected uint8 (n, height, width, 3), received {images.dtype} {shape}")
    if p.shape != (n,) and (p.ndim != 2 or len(p) != n or p.size == 0):
        raise ValueError(f"probabilities: expected one for each of {n} images, received shape {p.shape}")
    if truth.shape not in ((n,), (n, 1)):
        raise ValueError(f"labels: expected one for each of {n} images, received shape {truth.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities: expected numbers in [0, 1], received {p.min()} to {p.max()}")
    classes = 2 if p.size == n else p.shape[1]
    if not np.isin(truth, range(classes)).all():
        expected = "0 and 1" if classes == 2 else f"class numbers below {classes}"
        raise ValueError(f"labels: expected {expected}, received {np.unique(truth).tolist()}")
    truth = truth.ravel().astype(int)
    if p.size == n:
        p = p.ravel()
        return _Answers((p > 0.5).astype(int), truth, np.abs(p - 0.5), p), classes
    largest = p.max(axis=1)
    return _Answers(p.argmax(axis=1), truth, largest, largest), classes


def _choose(answers: _Answers, limit: int) -> tuple[Array, Array]:
    """Return which wrong and which right ones to show, in order."""
    surest_first = np.argsort(-answers.sureness, kind="stable")
    is_right = answers.is_right[surest_first]
    wrong, right = surest_first[~is_right], surest_first[is_right]
    wrong = wrong[: max((limit + 1) // 2, limit - len(right))]
    places = min(limit - len(wrong), len(right))
    return wrong, right[np.linspace(0, len(right) - 1, places).round().astype(int)]


def _heading(answers: _Answers, shown: tuple[int, int], names: Sequence[str] | None, width: int) -> list[str]:
    """Return the heading's lines: how many are right, what the number means, and what is shown in which order.

    Arguments: `names` are those of two classes where the number is the probability of the second, else None.
    """
    total, right = len(answers.says), int(answers.is_right.sum())
    counts = total - right, right
    meaning = "The number is the network's probability of the class that it says."
    if names is not None:
        other, name = (shortened(each, 15, width / 3) for each in names)
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
    title = f"{right:,} of {total:,} test photographs right ({100 * right / total:.1f} %)"
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
    picture: Image.Image, corner: tuple[int, int], answers: _Answers, i: int, class_names: Sequence[str]
) -> None:
    """Write under a photograph: right or wrong, and the probability; the predicted class; the true one, if another."""
    left, top = corner[0], corner[1] + SIDE
    says, truth, p = answers.says[i], answers.truth[i], answers.number[i]
    is_wrong = says != truth
    colour, mark = (RED, _cross) if is_wrong else (GREEN, _check)
    paint(picture, (left, top + 11), (16, 16), colour, mark)
    draw = ImageDraw.Draw(picture)
    draw.text((left + 21, top + 24), "wrong" if is_wrong else "right", colour, font(15), anchor="ls")
    draw.text((left + SIDE, top + 24), f"{p:.3f}", INK, font(15), anchor="rs")
    lines = [f"says {class_names[says]}"] + ([f"is {class_names[truth]}"] if is_wrong else [])
    for row, text in enumerate(lines):
        draw.text((left, top + 43 + LINE * row), shortened(text, 14, SIDE), INK, font(14), anchor="ls")


def _check(draw: ImageDraw.ImageDraw) -> None:
    draw.line([(2 * FINE, 8 * FINE), (6 * FINE, 12 * FINE), (14 * FINE, 3 * FINE)], 255, 3 * FINE, joint="curve")


def _cross(draw: ImageDraw.ImageDraw) -> None:
    for start, stop in ((3, 13), (13, 3)):
        draw.line([(3 * FINE, start * FINE), (13 * FINE, stop * FINE)], 255, 3 * FINE)
