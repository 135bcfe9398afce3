"""CheckedSlices: samples outside memory, checked as they are read."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from minidl._prefetch import is_read_ahead
from minidl._samples import Samples
from minidl._typing import Array
from minidl._validation import check_finite, is_finite
from minidl.data.subset import Subset


class CheckedSlices:
    """Samples that are read as they are sliced, each slice an array that is checked then.

    This is how data larger than memory reaches a network: a `numpy.memmap`, or any array-like that slices by index.

    Attributes: `name` is what messages call the samples; `gives_columns` says whether `columns` reads a few columns
    without the others, as it does of a mapped file; `is_constant` says whether a row is known to be the same whenever
    it is read, as it is in a file, and may not be in an object of the user's that changes its samples at random.

    >>> slices = CheckedSlices(np.arange(12.0).reshape(3, 2, 2), "x")
    >>> slices[1:2].tolist(), slices.columns(slice(1, 3)).tolist()
    ([[[4.0, 5.0], [6.0, 7.0]]], [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]])
    """

    def __init__(self, samples: Samples, name: str) -> None:
        self._samples, self.name = samples, name
        self.shape: tuple[int, ...] = samples.shape
        self.dtype = samples.dtype
        self.prefetch = is_read_ahead(samples)
        self._table = _as_table(samples)
        self.gives_columns = self._table is not None
        self.is_constant = _is_of_files(samples)

    @cached_property
    def itemsize(self) -> int:
        """The bytes of a number as it is read; the `dtype` of other libraries' arrays does not say."""
        return self[:1].itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Array) -> Array:
        part = np.asarray(self._samples[rows])
        if not is_finite(part):
            check_finite(part, self.name, np.arange(len(self))[rows])
        return part

    def columns(self, columns: slice) -> Array:
        """Return these columns of all samples, each of them a row of numbers, in memory of their own.

        Raises: ValueError for NaN or infinity, with the first row that has any; TypeError without `gives_columns`.
        """
        if self._table is None:
            raise TypeError(f"{self.name}: expected samples of a mapped file, received {type(self._samples).__name__}")
        table, rows = self._table
        part = np.array(table[:, columns]) if rows is None else table[:, columns][rows]
        if not is_finite(part):
            for row in range(len(self)):
                self[row : row + 1]
            check_finite(part, self.name)  # of a file that has changed since
        return part


def _as_table(samples: Samples) -> tuple[Array, Array | None] | None:
    """Return an array (n, features) over the same memory, and which of its rows are the samples, if not all.

    None is returned for what is no array, or of a user's own kind, and for one whose samples are no rows of its memory.
    """
    if type(samples) is Subset:
        table = _as_table(samples.samples)
        if table is None:
            return None
        array, rows = table
        return array, samples.rows if rows is None else rows[samples.rows]
    if not isinstance(samples, np.ndarray) or type(samples) not in (np.ndarray, np.memmap):
        return None
    if samples.ndim != 2 and not samples.flags.c_contiguous:
        return None
    return np.asarray(samples).reshape(len(samples), math.prod(samples.shape[1:])), None


def _is_of_files(samples: Samples) -> bool:
    """Return whether samples are read from files, by no code of the user's."""
    if type(samples) is Subset:
        return _is_of_files(samples.samples)
    from minidl.data.lazy_images import LazyImages  # here, as `import minidl` need not wait for Pillow

    return type(samples) in (np.ndarray, np.memmap, LazyImages)
