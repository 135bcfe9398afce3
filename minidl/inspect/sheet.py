"""Sheet: pictures in rows with captions, as one Pillow picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from minidl._typing import Array
from minidl._validation import as_array, check_finite, positive_int, shown
from minidl.inspect._colours import in_colours
from minidl.reports.canvas import GREY, GRID, INK, PAPER, font, shortened, wrapped

GAP, MARGIN = 16, 24
CAPTION, TITLE = 22, 34  # height of a line under a picture, and of the title's


def sheet(
    pictures: Any, captions: Sequence[str] | None = None, title: str = "", columns: int | None = None, side: int = 132
) -> Image.Image:
    """Return pictures side by side, each with a line under it, as one picture.

    Pictures of fewer pixels are enlarged without smoothing, so that each pixel is seen; larger ones are reduced.

    Shapes: `pictures` are uint8 (n, height, width, 3), as `weight_pictures` and `activation_maps` return them, or a
    list of pictures of any sizes, uint8 (height, width, 3) or Pillow's. Floating numbers are drawn from blue for the
    smallest below 0 over white to orange for the largest, on a scale of each picture's own: (height, width), as of
    `occlusion`, or (height, width, 3), as of `saliency`, of which the sum over the colours is drawn.

    Arguments: `captions` are as many lines; `columns` is how many pictures stand in a row, by default about as many
    as make a sheet twice as wide as high; `side` is the side of the square that each is fitted into, in pixels.

    Raises: ValueError for no pictures, other shapes, numbers that are not finite, and another number of captions.

    >>> from minidl import Dense
    >>> from minidl.inspect import weight_pictures
    >>> sheet(weight_pictures(Dense(192, 5, rng=0)).weights, [f"unit {i}" for i in range(5)], "first layer").size
    (624, 406)
    """
    drawn = [_picture(picture, i) for i, picture in enumerate(pictures)]
    if not drawn:
        raise ValueError("sheet pictures: expected at least one, received none")
    if captions is not None and (isinstance(captions, str) or len(captions) != len(drawn)):
        raise ValueError(f"sheet captions: expected {len(drawn)} lines or None, received {shown(captions)}")
    side = positive_int(side, "sheet side")
    columns = math.ceil(math.sqrt(2 * len(drawn))) if columns is None else positive_int(columns, "sheet columns")
    columns = min(columns, len(drawn))
    rows = -(-len(drawn) // columns)
    width = 2 * MARGIN + columns * (side + GAP) - GAP
    heading = wrapped(title, 20, width - 2 * MARGIN) if title else []
    top = MARGIN + TITLE * len(heading)
    cell = side + GAP + (CAPTION if captions is not None else 0)
    picture = Image.new("RGB", (width, top + rows * cell - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(heading):
        draw.text((MARGIN, MARGIN - 6 + TITLE * row), line, INK, font(20))
    for i, one in enumerate(drawn):
        left, upper = MARGIN + i % columns * (side + GAP), top + i // columns * cell
        fitted = _fitted(one, side)
        corner = left + (side - fitted.width) // 2, upper + (side - fitted.height) // 2
        draw.rectangle((corner[0] - 1, corner[1] - 1, corner[0] + fitted.width, corner[1] + fitted.height), GRID)
        picture.paste(fitted, corner)
        if captions is not None:
            text = shortened(str(captions[i]), 14, side)
            draw.text((left + side / 2, upper + side + CAPTION - 6), text, GREY, font(14), anchor="ms")
    return picture


def _picture(given: Any, number: int) -> Image.Image:
    """Return one picture in colours."""
    if isinstance(given, Image.Image):
        return given.convert("RGB")
    name = f"sheet pictures[{number}]"
    pixels = as_array(given, name)
    if pixels.dtype.kind == "f":
        pixels = _in_colours(pixels, name)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(
            f"{name}: expected uint8 (height, width, 3), or floating numbers (height, width) or (height, width, 3), "
            f"received {pixels.dtype} {pixels.shape}"
        )
    return Image.fromarray(pixels)


def _in_colours(values: Array, name: str) -> Array:
    check_finite(np.atleast_1d(values), name)
    values = values.astype(np.float64)
    if values.ndim == 3 and values.shape[2] == 3:
        with np.errstate(over="ignore", under="ignore"):
            values = values.sum(axis=2)
        check_finite(values, f"{name}, summed over the colours")
    if values.ndim != 2 or values.size == 0:
        return values  # which the caller refuses
    return in_colours(values[:, :, None], np.abs(values).max())


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """Return a picture whose longer side has so many pixels."""
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
