"""Augmentation: pictures changed at random, a little and anew each epoch, in ways that leave their labels true."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from minidl._typing import Array, Seed
from minidl._validation import as_generator, flag, shown


class Augment:
    """Random flip, shift, rotation, crop, brightness and contrast, drawn for each picture by itself.

    Formula: an output pixel at p is the input's colour at `c + s R(a) (p - c) + d`, between four pixels bilinearly,
    beyond the edge that of the edge: c is the centre, a the angle, s <= 1 the share of the picture that is kept, and d
    the shift. Then, with m the picture's mean, its values v become `m + contrast * (v - m) + brightness`, rounded and
    clipped to 0 ... 255.

    Arguments: `flip` mirrors half of the pictures left to right; `shift` is the largest shift, a share of height and
    width, by whole pixels where there is neither rotation nor crop, so that pictures stay sharp; `rotation` the largest
    angle in degrees, either way; `crop` the largest share of a side that is cut away, the rest being enlarged to the
    size of the whole; `brightness` the largest change of it, a share of 255; `contrast` the largest change of the
    contrast factor from 1. Zero turns each off. `rng` is a seed or a generator.

    Shapes: uint8 (n, height, width, channels) in, a new array of the same shape out.

    Raises: ValueError for a share outside [0, 1), an angle outside [0, 180], a `flip` that is neither True nor False,
    and pictures of another shape or type; TypeError for pictures that are no array.

    >>> x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    >>> Augment(flip=True, shift=0.1, rotation=10, brightness=0.2, rng=0)(x).shape
    (2, 4, 4, 3)
    """

    works_ahead = True  # of its turn, on another thread: it depends on the samples and its own generator alone

    def __init__(
        self,
        flip: bool = False,
        shift: float = 0.0,
        rotation: float = 0.0,
        crop: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        rng: Seed = None,
    ) -> None:
        self.flip = flag(flip, "Augment flip")
        self.shift = _share(shift, "shift")
        self.crop = _share(crop, "crop")
        self.brightness = _share(brightness, "brightness")
        self.contrast = _share(contrast, "contrast")
        self.rotation = _degrees(rotation, "rotation")
        self.rng = as_generator(rng)

    def __call__(self, images: Array) -> Array:
        """Return changed copies of the pictures."""
        check_pictures(images, "Augment")
        n = len(images)
        mirrored = self.rng.random(n) < (0.5 if self.flip else 0.0)
        x = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        if self.shift or self.rotation or self.crop:
            rows, columns = self._positions(n, images.shape[1], images.shape[2])
            # Picture by picture, because one fits into the processor's cache and a batch does not.
            moved = np.empty(x.shape, np.float32)
            for i in range(n):
                moved[i] = resample(x[i], rows[i], columns[i])
            x = moved
        if self.brightness or self.contrast:
            factor = 1 + self._uniform(self.contrast, n)
            offset = 255 * self._uniform(self.brightness, n)
            x = recolour(x, factor, offset)
        if x.dtype == np.uint8:
            return x
        np.rint(x, out=x)
        return x.clip(0, 255, out=x).astype(np.uint8, order="C")

    def _uniform(self, bound: float, *shape: int) -> Array:
        return self.rng.uniform(-bound, bound, shape).astype(np.float32)

    def _positions(self, n: int, height: int, width: int) -> tuple[Array, Array]:
        """Return the row and the column (n, height, width) of the input that each output pixel shows."""
        angle = np.radians(self._uniform(self.rotation, n))[:, None, None]
        kept = (1 - self.rng.uniform(0, self.crop, n).astype(np.float32))[:, None, None]
        # A crop stands anywhere inside the picture, so its centre may move by half of what is cut away.
        free = (1 - kept) / 2
        down = (self._uniform(1, n, 1, 1) * free + self._uniform(self.shift, n, 1, 1)) * (height - 1)
        right = (self._uniform(1, n, 1, 1) * free + self._uniform(self.shift, n, 1, 1)) * (width - 1)
        if not (self.rotation or self.crop):
            # Between pixels lies a blur, by which a network would tell the pictures that it trains on from all others.
            down, right = np.rint(down), np.rint(right)
        row = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
        column = np.arange(width, dtype=np.float32) - (width - 1) / 2
        cos, sin = kept * np.cos(angle), kept * np.sin(angle)
        return (
            cos * row - sin * column + down + (height - 1) / 2,
            sin * row + cos * column + right + (width - 1) / 2,
        )


def check_pictures(images: Any, name: str) -> None:
    """Raise TypeError or ValueError, with the name of the augmentation, for anything but an array of pictures."""
    if not isinstance(images, np.ndarray):
        hint = "; of a tuple change one: lambda x: (augment(x[0]), x[1])" if isinstance(images, tuple) else ""
        raise TypeError(f"{name}: expected an array of pictures, received {shown(images)}{hint}")
    if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape[1:]:
        raise ValueError(
            f"{name}: expected uint8 pictures (n, height, width, channels), "
            f"received {images.dtype} {images.shape}; augmentation stands before Rescale"
        )


def resample(image: Array, row: Array, column: Array) -> Array:
    """Return a float32 picture whose pixels are the input's at `row` and `column` (height, width), bilinearly.

    Formula: with i, j the whole parts of row and column and u, v the rest,
    `(1 - u) ((1 - v) x[i, j] + v x[i, j + 1]) + u ((1 - v) x[i + 1, j] + v x[i + 1, j + 1])`, positions beyond the
    edge being moved to it.
    """
    height, width, channels = image.shape
    row, column = row.clip(0, height - 1), column.clip(0, width - 1)
    top, left = row.astype(np.intp), column.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    u, v = row - np.floor(row), column - np.floor(column)
    # One plane a channel: then the loops over pixels, not those over three channels, are the innermost ones.
    planes = image.reshape(-1, channels).T.astype(np.float32, order="C")
    above = _between(planes.take(top * width + left, axis=1), planes.take(top * width + right, axis=1), v)
    below = _between(planes.take(bottom * width + left, axis=1), planes.take(bottom * width + right, axis=1), v)
    return np.moveaxis(_between(above, below, u), 0, -1)


def recolour(images: Array, factor: Array, offset: Array) -> Array:
    """Return float32 `m + factor * (images - m) + offset`, with m each picture's mean; `factor`, `offset` are (n,)."""
    mean = images.mean(axis=(1, 2, 3), dtype=np.float32)
    constant = mean * (1 - factor) + offset
    result: Array = images * factor[:, None, None, None] + constant[:, None, None, None]
    return result


def _between(first: Array, second: Array, share: Array) -> Array:
    """Return `first + share * (second - first)`, in the memory of both."""
    second -= first
    second *= share
    first += second
    return first


def _share(value: Any, name: str) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        raise ValueError(f"Augment {name}: expected a share in [0, 1), received {shown(value)}")
    return float(value)


def _degrees(value: Any, name: str) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 180:
        raise ValueError(f"Augment {name}: expected degrees from 0 to 180, received {shown(value)}")
    return float(value)
