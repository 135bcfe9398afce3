"""Batches: a set of samples cut into pieces, in a new random order each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minidl._samples import Samples
from minidl._typing import Array, Seed
from minidl._validation import as_generator, positive_int
from minidl.ops.buffers import empty


class Batches:
    """The samples `(x, y)` in batches; each iteration over it is one epoch.

    Without a `batch_size` the one batch is the whole set, untouched and in order. With one, every epoch permutes the
    samples anew and the last batch may be smaller. `x` and `y` are arrays, or give their rows like arrays
    (`numpy.memmap`, `LazyImages`): of those, memory holds one batch. `augment` is called on the samples of each batch,
    as `minidl.data.Augment` is, and returns what stands for them in this epoch.

    Raises: ValueError for no samples, x and y of different lengths, or a `batch_size` below 1.

    >>> import numpy as np
    >>> [len(x) for x, y in Batches(np.zeros((5, 3)), np.zeros(5), batch_size=2, rng=0)]
    [2, 2, 1]
    """

    def __init__(
        self,
        x: Samples,
        y: Samples,
        batch_size: int | None = None,
        rng: Seed = None,
        augment: Callable[[Array], Array] | None = None,
    ) -> None:
        if not x.shape or not y.shape or len(x) != len(y) or len(x) == 0:
            raise ValueError(
                "x and y: expected at least one sample and one target for each, "
                f"received shapes {x.shape} and {y.shape}"
            )
        self.x, self.y = x, y
        self.batch_size = None if batch_size is None else positive_int(batch_size, "batch_size")
        self.rng = as_generator(rng)
        self.augment = augment

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for x, y in self._plain():
            yield (x if self.augment is None else self.augment(x)), y

    def _plain(self) -> Iterator[tuple[Array, Array]]:
        if self.batch_size is None:
            yield _whole(self.x), _whole(self.y)
            return
        order = self.rng.permutation(len(self.x))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield _taken(self.x, rows), self.y[rows]


def _taken(samples: Samples, rows: Array) -> Array:
    """Return the samples of these numbers, inside a buffer pool in memory that is used again."""
    if type(samples) is not np.ndarray or not samples.flags.c_contiguous:  # of which `take` would copy the whole
        read: Array = samples[rows]
        return read
    taken = empty((len(rows), *samples.shape[1:]), samples.dtype)
    np.take(samples, rows, axis=0, out=taken, mode="clip")  # "raise" would copy them twice
    return taken


def _whole(samples: Samples) -> Array:
    return samples if isinstance(samples, np.ndarray) else np.asarray(samples[:])
