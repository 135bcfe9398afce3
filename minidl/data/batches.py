"""Batches: a set of samples cut into pieces, in a new random order each epoch."""

from __future__ import annotations

from collections.abc import Iterator

from minidl._typing import Array, Seed
from minidl._validation import as_generator, positive_int


class Batches:
    """The samples `(x, y)` in batches; each iteration over it is one epoch.

    Without a `batch_size` the one batch is the whole set, untouched and in order. With one, every epoch permutes the
    samples anew and the last batch may be smaller.

    Raises: ValueError for no samples, x and y of different lengths, or a `batch_size` below 1.

    >>> import numpy as np
    >>> [len(x) for x, y in Batches(np.zeros((5, 3)), np.zeros(5), batch_size=2, rng=0)]
    [2, 2, 1]
    """

    def __init__(self, x: Array, y: Array, batch_size: int | None = None, rng: Seed = None) -> None:
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
            raise ValueError(
                "x and y: expected at least one sample and one target for each, "
                f"received shapes {x.shape} and {y.shape}"
            )
        self.x, self.y = x, y
        self.batch_size = None if batch_size is None else positive_int(batch_size, "batch_size")
        self.rng = as_generator(rng)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        if self.batch_size is None:
            yield self.x, self.y
            return
        order = self.rng.permutation(len(self.x))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield self.x[rows], self.y[rows]
