"""The operations of RandAugment: each changes one picture by a magnitude from -1 to 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from minidl._typing import Array
from minidl.data.augment import resample

Operation: TypeAlias = Callable[[Array, float, Array], Array]
"""A function of a uint8 picture (height, width, channels), a magnitude, and a place (2,) in [0, 1), whose result is of
the picture's shape and type."""


def mirror(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001 - every operation has these
    """Mirror the picture left to right, whatever the magnitude."""
    return image[:, ::-1]


def rotate(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Turn the picture by `30 magnitude` degrees about its centre."""
    angle = np.radians(30 * magnitude)
    return _moved(image, np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))


def shear_rows(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Push rows sideways by `0.3 magnitude` pixels for each one from the middle."""
    return _moved(image, np.array([[1, 0], [0.3 * magnitude, 1]]))


def shear_columns(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Push columns up or down by `0.3 magnitude` pixels for each one from the middle."""
    return _moved(image, np.array([[1, 0.3 * magnitude], [0, 1]]))


def shift_down(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Shift the picture by `0.3 magnitude` of its height, to whole pixels; beyond its edge goes on the edge."""
    return image[_shifted(len(image), magnitude)]


def shift_right(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Shift the picture by `0.3 magnitude` of its width, to whole pixels; beyond its edge goes on the edge."""
    return image[:, _shifted(image.shape[1], magnitude)]


def brightness(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Multiply the picture by `1 + 0.9 magnitude`."""
    return _away_from(np.zeros(1, np.float32), image, magnitude)


def contrast(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Multiply the differences from the picture's mean by `1 + 0.9 magnitude`."""
    return _away_from(image.mean(dtype=np.float32, keepdims=True), image, magnitude)


def colour(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Multiply the differences from each pixel's mean over the channels by `1 + 0.9 magnitude`."""
    return _away_from(image.mean(axis=2, dtype=np.float32, keepdims=True), image, magnitude)


def sharpness(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Multiply the differences from the mean of each pixel and its eight neighbours by `1 + 0.9 magnitude`."""
    padded = np.pad(image.astype(np.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return _away_from((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9, image, magnitude)


def posterize(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Set the last `4 |magnitude|` bits of each value, rounded to whole ones, to 0."""
    return image & np.uint8(256 - 2 ** round(4 * abs(magnitude)))


def solarize(image: Array, magnitude: float, place: Array) -> Array:  # noqa: ARG001
    """Turn values v of at least `256 (1 - |magnitude|)` into `255 - v`."""
    return np.where(image >= 256 * (1 - abs(magnitude)), 255 - image, image)


def cutout(image: Array, magnitude: float, place: Array) -> Array:
    """Fill a box with half the sides times `|magnitude|`, about any pixel, with the picture's mean colour."""
    changed, box = image.copy(), []
    for side, share in zip(image.shape[:2], place.tolist(), strict=True):
        length = round(abs(magnitude) / 2 * side)
        first = int(share * side) - length // 2
        box.append(slice(max(first, 0), first + length))
    changed[box[0], box[1]] = np.rint(image.mean(axis=(0, 1), dtype=np.float32))
    return changed


OPERATIONS: tuple[Operation, ...] = (
    mirror, rotate, shear_rows, shear_columns, shift_down, shift_right, brightness, contrast, colour, sharpness,
    posterize, solarize, cutout,
)  # fmt: skip


def _away_from(base: Array, image: Array, magnitude: float) -> Array:
    """Return `base + (1 + 0.9 magnitude) * (image - base)`, rounded and clipped."""
    changed = image - base
    changed *= np.float32(1 + 0.9 * magnitude)
    changed += base
    np.rint(changed, out=changed)
    return changed.clip(0, 255, out=changed).astype(np.uint8)


def _shifted(side: int, magnitude: float) -> Array:
    """Return the positions of one side that are shown along it."""
    return (np.arange(side) - round(0.3 * magnitude * side)).clip(0, side - 1)


def _moved(image: Array, matrix: Array) -> Array:
    """Return a picture whose pixel at p from the centre is the input's at `matrix p` from it, bilinearly."""
    height, width, _ = image.shape
    row, column = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    (a, b), (c, d) = matrix.tolist()
    rows = (a * row + b * column + (height - 1) / 2).astype(np.float32)
    columns = (c * row + d * column + (width - 1) / 2).astype(np.float32)
    return np.rint(resample(image, rows, columns)).astype(np.uint8)
