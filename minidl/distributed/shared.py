"""Shared: a set of samples that processes share."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._samples import as_samples
from minidl._typing import Array
from minidl.data.split import rows_of
from minidl.training.checked_data import CheckedData


class Shared(NamedTuple):
    """A set that the processes share: the samples that are here, and the targets of all, with their weights or None.

    `numbers` are those of the samples here in the whole set, and `shape` is that of the predictions for all of it.
    """

    x: Any
    y: Array
    shape: tuple[int, ...]
    weight: Array | None
    numbers: Array

    @property
    def whole(self) -> CheckedData:
        """The whole set, of which no samples are needed any more."""
        return CheckedData(None, self.y, self.shape)

    def cut(self, rows: Array, y: Array, weight: Array | None) -> Shared:
        """Return the set of these rows of the whole one, in their order, of which y and weight are given."""
        start, stop = self.numbers[0], self.numbers[-1] + 1
        numbers = np.flatnonzero((rows >= start) & (rows < stop))
        x = as_samples(rows_of(self.x, rows[numbers] - start))
        return Shared(x, y, (len(y), *self.shape[1:]), weight, numbers)
