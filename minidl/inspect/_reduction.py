"""Reduction: pictures with fewer pixels, each the mean of a square of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl.ops.parallel import in_blocks


def reduced(pictures: Array, side: int) -> Array:
    """Return the means of squares of pixels of pictures (n, height, width, channels), at most `side` of them a side.

    The squares are as small as that allows; those at the right and lower edges may be narrower. float64 stays float64,
    all else becomes float32.

    >>> reduced(np.array([[[[1], [3]], [[5], [7]], [[9], [11]]]], np.uint8), side=2).squeeze().tolist()
    [4.0, 10.0]
    """
    height, width = pictures.shape[1:3]
    factor = factor_of(height, width, side)
    dtype = np.float64 if pictures.dtype == np.float64 else np.float32
    if factor == 1:
        return pictures.astype(dtype)
    total: Any = dtype
    if pictures.dtype == np.uint8:
        total = np.uint16 if 255 * factor * factor < 1 << 16 else np.uint32
    counts = np.outer(_counts(height, factor), _counts(width, factor))[:, :, None].astype(dtype)

    def means(block: slice) -> Array:
        sums = _sums(_sums(pictures[block], 1, factor, total), 2, factor, total)
        found: Array = np.divide(sums, counts, dtype=dtype)
        return found

    return np.concatenate(in_blocks(means, len(pictures), pictures.size))


def factor_of(height: int, width: int, side: int) -> int:
    """Return how many pixels a side a square has.

    >>> factor_of(128, 100, 32), factor_of(20, 20, 32)
    (4, 1)
    """
    return max(1, math.ceil(max(height, width) / side))


def _counts(length: int, factor: int) -> Array:
    """Return how many pixels each square has along an axis of this length.

    >>> _counts(5, 2).tolist()
    [2, 2, 1]
    """
    starts = np.arange(0, length, factor)
    return np.minimum(factor, length - starts)


def _sums(x: Array, axis: int, factor: int, dtype: Any) -> Array:
    """Return the sums of so many neighbours each along one axis."""
    along = (slice(None),) * axis
    first: Array = x[(*along, slice(0, None, factor))].astype(dtype)
    for offset in range(1, factor):
        part = x[(*along, slice(offset, None, factor))]
        first[(*along, slice(0, part.shape[axis]))] += part
    return first
