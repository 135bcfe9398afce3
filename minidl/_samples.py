"""Samples that need not be in memory: arrays, and objects that return rows by their numbers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from minidl._validation import as_array


class Samples(Protocol):
    """An array, or an object that returns rows like one: `numpy.memmap`, `LazyImages`, an HDF5 data set, ..."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of samples, then the shape of one."""

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


def as_samples(x: Any, name: str = "x") -> Samples:
    """Return `x` itself where it is an array or stays outside memory, else an array of it.

    Raises: ValueError for what is no rectangular array of numbers, and for masked numbers.

    >>> as_samples([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    return x if type(x) is np.ndarray or is_outside_memory(x) else as_array(x, name)


def is_outside_memory(x: Any) -> bool:
    """Return whether `x` reads its rows when they are asked for, as `numpy.memmap` does."""
    if isinstance(x, np.ndarray):
        return isinstance(x, np.memmap)
    # One axis is not worth it, and is how a pandas Series looks, which is indexed by label.
    return len(getattr(x, "shape", ())) > 1 and hasattr(x, "dtype") and hasattr(x, "__getitem__")
