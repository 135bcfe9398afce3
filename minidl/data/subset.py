"""Subset: some of the samples of a set that need not be in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._prefetch import may_be_read_ahead
from minidl._samples import Samples
from minidl._typing import Array
from minidl.data._rows import take


class Subset:
    """Some of the samples in an order of their own, read when they are asked for.

    Index the first axis as an array's: `subset[index]` is `samples[rows[index]]`.

    Raises: IndexError for rows that `samples` has not.

    >>> even = Subset(np.arange(10), [8, 6, 4, 2, 0])
    >>> len(even), even[:2]
    (5, array([8, 6]))
    """

    def __init__(self, samples: Samples, rows: Any) -> None:
        self.samples = samples
        self.rows = np.arange(len(samples))[rows]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that the samples together would be."""
        return (len(self.rows), *self.samples.shape[1:])

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""
        return self.samples.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def prefetch(self) -> bool:
        """Whether the samples may be read on another thread."""
        return may_be_read_ahead(self.samples)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Array:
        rows = self.rows[index]
        return take(self.samples, rows) if np.ndim(rows) == 1 else np.asarray(self.samples[rows])

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {len(self.samples)} samples, shape {self.shape}, {self.dtype})"
