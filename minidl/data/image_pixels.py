"""Pixels of any kind as grey or RGB without transparency, strip by strip, so that no second picture fills memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageCms

Convert: TypeAlias = Callable[[Image.Image], Image.Image]
Box: TypeAlias = tuple[float, float, float, float]

STRIP = 2**20
"""Pixels that are converted at once."""

LONG_SIDE = 2**16
"""Longer sides are averaged before they are filtered: the filter takes 32 bytes for each of their pixels."""

TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")


def resized(picture: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    """Return a loaded picture, or the `box` of it, as RGB of `size` = (width, height), antialiased.

    Memory: beside the picture, at most 4 bytes for each of its pixels, in rows that are no longer than `size` wants.
    """
    left, top, right, bottom = box or (0, 0, *picture.size)
    is_plain = picture.mode in ("L", "RGB") and "transparency" not in picture.info
    if is_plain or picture.width * picture.height <= STRIP:
        flat = next(flat_strips(picture, rows=picture.height))
    elif size[0] >= picture.width:
        flat = _joined(flat_strips(picture), picture.size)
    else:  # the filter goes along rows and columns one after the other, so that strips of rows can go ahead
        short = (
            _filtered(strip, (size[0], strip.height), (left, 0, right, strip.height)) for strip in flat_strips(picture)
        )
        flat = _joined(short, (size[0], picture.height))
        left, right = 0, size[0]
    if size[0] > flat.width and size[1] < flat.height:  # along the rows first would make it larger than it is
        flat = _filtered(flat, (flat.width, size[1]), (0, top, flat.width, bottom))
        top, bottom = 0, size[1]
    small = _filtered(flat, size, (left, top, right, bottom))
    return small if small.mode == "RGB" else small.convert("RGB")


def flat_strips(picture: Image.Image, rows: int | None = None) -> Iterator[Image.Image]:
    """Yield a loaded picture from top to bottom in strips of mode L or RGB, its transparency laid on white."""
    convert = _conversion(picture)
    for strip in _strips(picture, rows):
        if strip.width <= STRIP:
            yield convert(strip)
        else:
            pieces = ((left, 0, min(left + STRIP, strip.width), strip.height) for left in range(0, strip.width, STRIP))
            yield _joined((convert(strip.crop(piece)) for piece in pieces), strip.size)


def _filtered(picture: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    gap = 3.0 if max(picture.size) > LONG_SIDE else None
    return picture.resize(size, Image.Resampling.BICUBIC, box, gap)


def _strips(picture: Image.Image, rows: int | None = None) -> Iterator[Image.Image]:
    rows = rows or max(1, STRIP // picture.width)
    if rows >= picture.height:
        yield picture
        return
    for top in range(0, picture.height, rows):
        yield picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _joined(parts: Iterator[Image.Image], size: tuple[int, int]) -> Image.Image:
    """Return parts as one picture: rows of them one below the other, or, where they are shorter, side by side."""
    first = next(parts)
    whole = Image.new(first.mode, size)
    left = top = 0
    for part in chain((first,), parts):
        whole.paste(part, (left, top))
        left, top = (left + part.width, top) if part.width < size[0] else (left, top + part.height)
    return whole


def _conversion(picture: Image.Image) -> Convert:
    """Return what makes strips of a picture L or RGB without transparency."""
    mode, transparent = picture.mode, picture.info.get("transparency")
    if mode in ("L", "RGB") and transparent is None:
        return lambda strip: strip
    if mode.startswith("I"):
        return lambda strip: _from_integers(strip, transparent)
    if mode == "F":
        factor = _factor(picture)
        return lambda strip: _grey(np.asarray(strip).astype(np.float64) * factor)
    if mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, rgb, "LAB", "RGB")
        return lambda strip: ImageCms.applyTransform(strip, transform) or strip
    if mode in TRANSPARENT or transparent is not None:
        return _on_white
    return lambda strip: strip.convert("L" if mode == "1" else "RGB")


def _from_integers(strip: Image.Image, transparent: Any) -> Image.Image:
    """Return 16-bit grey, which convert() would clip at 255 instead of scaling, divided by 257 and rounded."""
    values = np.asarray(strip).astype(np.int32)
    grey = (values.clip(0, 65535) + 128) // 257
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _factor(picture: Image.Image) -> int:
    """Return 255 for floating grey from 0 to 1, and 1 for grey from 0 to 255: there is no rule for it."""
    largest = 0.0
    for strip in _strips(picture):
        values = np.asarray(strip)
        if not np.isfinite(values).all():
            raise ValueError("floating pixels that are NaN or infinite")
        largest = max(largest, float(values.max()))
    return 255 if largest <= 1 else 1


def _grey(values: Any) -> Image.Image:
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _on_white(strip: Image.Image) -> Image.Image:
    layer = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
