"""Parts of wide samples: as much of those outside memory as is read at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from minidl._typing import Array
from minidl.ops import tuning
from minidl.training.checked_slices import CheckedSlices

Source: TypeAlias = "Array | CheckedSlices"
"""Samples: rows of numbers in memory, or whatever has its rows outside."""


class Part(NamedTuple):
    """Numbers of samples as they were given: these rows, and of each of them these columns."""

    rows: slice
    columns: slice
    numbers: Array

    def some(self, columns: slice) -> Array:
        """Return the numbers of some of the part's columns, of which slices have the numbers in the whole samples."""
        return self.numbers[:, columns.start - self.columns.start : columns.stop - self.columns.start]


def parts_of(x: Source, columns: slice, first: int = 0) -> Iterator[Part]:
    """Yield parts that together have these columns of all samples from row `first` on, the end of another part.

    An array is one part. A mapped file is read some columns of all rows at a time, so that the products of all samples
    with each other need one pass over it. Others are read some rows at a time. A part outside memory takes at most
    `part_bytes`, as it was given, or what one row, or `gram_features` columns of all rows, take.

    >>> import numpy as np
    >>> parts = list(parts_of(np.arange(6).reshape(2, 3), slice(1, 3)))
    >>> [(part.rows, part.columns, part.numbers.tolist()) for part in parts]
    [(slice(0, 2, None), slice(1, 3, None), [[1, 2], [4, 5]])]
    """
    n = len(x)
    if isinstance(x, CheckedSlices) and not x.gives_columns:
        for start in range(first, n, step := rows_at_once(x)):
            rows = slice(start, min(start + step, n))
            yield Part(rows, columns, x[rows].reshape(rows.stop - start, -1)[:, columns])
    elif first == 0:
        for some in pieces(columns, columns_at_once(x)) if isinstance(x, CheckedSlices) else [columns]:
            yield Part(slice(0, n), some, x.columns(some) if isinstance(x, CheckedSlices) else x[:, some])


def pieces(columns: slice, width: int) -> Iterator[slice]:
    """Yield slices of so many columns, the last one of what is left.

    >>> list(pieces(slice(2, 7), 3))
    [slice(2, 5, None), slice(5, 7, None)]
    """
    for start in range(columns.start, columns.stop, width):
        yield slice(start, min(start + width, columns.stop))


def rows_at_once(x: CheckedSlices) -> int:
    """Return how many rows go into one part."""
    return max(1, tuning.TUNING.part_bytes // (x.itemsize * math.prod(x.shape[1:])))


def columns_at_once(x: CheckedSlices) -> int:
    """Return how many columns of all rows go into one part, a multiple of those that are multiplied at a time."""
    width = tuning.TUNING.gram_features
    return max(1, tuning.TUNING.part_bytes // (x.itemsize * len(x) * width)) * width


def passes_over(x: Source) -> float:
    """Return how many times all products of the samples with each other read each number, on average.

    >>> import numpy as np
    >>> passes_over(np.zeros((2, 3)))
    1.0
    """
    if not isinstance(x, CheckedSlices) or x.gives_columns:
        return 1.0
    return (math.ceil(len(x) / rows_at_once(x)) + 1) / 2
