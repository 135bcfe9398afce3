"""Pictures for the page: files small enough to stand in it as base64, and sheets of many small pictures in one file."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, features

from minidl._typing import Array
from minidl.inspect._colours import in_colours, largest_of_each

COLUMNS = 32
"""Pictures beside each other on a sheet: browsers and formats limit a picture's sides to 16,383 pixels."""


SIDE = 48
"""Pixels a side of small pictures: about 550 bytes each, a fiftieth of the exact file of 128 pixels a side."""


def picture_file(pixels: Array, quality: int | None = None) -> str:
    """Return pixels uint8 (height, width, 3) as the `data:` address of a picture file.

    Arguments: `quality` is that of a lossy file, 0 to 100; None keeps every pixel exactly.

    >>> picture_file(np.zeros((1, 1, 3), np.uint8)).partition(";")[0] in ("data:image/webp", "data:image/png")
    True
    """
    file, picture = io.BytesIO(), Image.fromarray(pixels)
    if features.check("webp"):
        kind = "webp"
        if quality is None:
            picture.save(file, "WEBP", lossless=True, quality=80, method=4)
        else:
            picture.save(file, "WEBP", quality=quality, method=4)
    elif quality is None:
        kind = "png"
        picture.save(file, "PNG", optimize=True)
    else:
        kind = "jpeg"
        picture.save(file, "JPEG", quality=quality)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode('ascii')}"


def sheet_of(pictures: Iterable[Array], count: int, quality: int) -> dict[str, Any]:
    """Return so many pictures uint8 (height, width, 3) of one size as one file, with what finds each on it.

    >>> sheet = sheet_of(np.zeros((3, 4, 5, 3), np.uint8), 3, quality=50)
    >>> sheet["width"], sheet["height"], sheet["columns"], sheet["count"]
    (5, 4, 3, 3)
    """
    columns = max(1, min(COLUMNS, count))
    whole = np.zeros((0, 0, 3), np.uint8)
    height = width = 1
    for i, picture in enumerate(pictures):
        if i == 0:
            height, width = picture.shape[:2]
            whole = np.full((-(-count // columns) * height, columns * width, 3), 128, np.uint8)
        top, left = i // columns * height, i % columns * width
        whole[top : top + height, left : left + width] = picture
    return {
        "file": picture_file(whole, quality) if count else "",
        "width": width, "height": height, "columns": columns, "count": count,
    }  # fmt: skip


def small(pixels: Array, side: int) -> Array:
    """Return a picture uint8 (height, width, 3) at most `side` pixels a side.

    >>> small(np.zeros((100, 50, 3), np.uint8), 10).shape
    (10, 5, 3)
    """
    height, width = pixels.shape[:2]
    share = min(1.0, side / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def as_picture(sample: Array) -> Array:
    """Return a sample of any shape as pixels uint8 (height, width, 3).

    Pixels stay; other numbers of one or three channels are grey or coloured where none is negative; everything else is
    in colours from blue, negative, to orange, positive, and a row of numbers is broken into lines of about a square.

    >>> as_picture(np.array([-1.0, 1.0, 0.0, 0.5, 1.0])).shape
    (2, 3, 3)
    """
    if sample.ndim == 3 and sample.shape[2] in (1, 3):
        if sample.dtype == np.uint8:
            return np.repeat(sample, 3 // sample.shape[2], axis=2)
        if sample.min() >= 0:
            largest = float(sample.max()) or 1.0
            return np.repeat(np.rint(sample / largest * 255).astype(np.uint8), 3 // sample.shape[2], axis=2)
    values = sample.astype(np.float64)
    if values.ndim == 2:
        rows = values
    else:
        width = max(1, math.isqrt(max(0, values.size - 1)) + 1)
        rows = np.zeros(-(-values.size // width) * width)
        rows[: values.size] = values.ravel()
        rows = rows.reshape(-1, width)
    return in_colours(rows[:, :, None], largest_of_each(rows[:, :, None], axes=3))
