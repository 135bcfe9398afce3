"""Batches: a set of samples cut into pieces, in a new random order each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import closing
from copy import copy
from typing import Any, TypeAlias

import numpy as np

from minidl._prefetch import Prefetched, is_read_ahead, slices
from minidl._samples import each, leaves, of_each, part_names
from minidl._typing import Array, Seed
from minidl._validation import as_generator, flag, positive_int, shown
from minidl.data._rows import samples_of, take
from minidl.data.compose import takes_targets

Epoch: TypeAlias = Generator[tuple[Any, Any], None, None] | Prefetched[tuple[Any, Any]]
"""The batches of one epoch, (x, y), read as they are asked for or ahead; `close` ends it early."""


class Batches:
    """The samples `(x, y)` in batches; each iteration over it is one epoch.

    Without a `batch_size` the one batch is the whole set, untouched and in order. With one, every epoch permutes the
    samples anew and the last batch may be smaller. `x` and `y` are array-likes, or give their rows like arrays
    (`numpy.memmap`, `LazyImages`, an HDF5 data set): of those, memory holds one batch. `x` may be a tuple of such
    inputs of the same samples, and is one in each batch, too. `augment` is called on the samples of each batch, as
    `minidl.data.Augment` is, and returns what stands for them in this epoch: an array, or a tuple like the batch's.
    One that says `takes_targets = True`, as `minidl.data.MixUp` does, is given the targets, too, and returns both.
    With `drop_last` a last batch of fewer samples is left out; these are others in each epoch.
    `is_counted` says whether the number of samples is known before an epoch ends.
    Rows outside memory are read on another thread, up to two batches ahead; an object that must be read where it was
    made says `prefetch = False`.

    Raises: ValueError for no samples, x and y of different lengths, a `batch_size` below 1, and a `drop_last` that
    leaves no batch or stands beside no `batch_size`; TypeError for an `augment` that cannot be called or returns no
    array; ValueError for one that returns another number of samples.

    >>> import numpy as np
    >>> [len(x) for x, y in Batches(np.zeros((5, 3)), np.zeros(5), batch_size=2, rng=0)]
    [2, 2, 1]
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int | None = None,
        rng: Seed = None,
        augment: Callable[..., Any] | None = None,
        drop_last: bool = False,
    ) -> None:
        x, y = of_each(samples_of, x, "x"), samples_of(y, "y")
        if not x.shape or not y.shape or len(x) != len(y) or len(x) == 0:
            raise ValueError(
                "x and y: expected at least one sample and one target for each, "
                f"received shapes {tuple(x.shape)} and {tuple(y.shape)}"
            )
        self.x, self.y = x, y
        self.batch_size = None if batch_size is None else positive_int(batch_size, "batch_size")
        self.rng = as_generator(rng)
        self.augment = self._checked_augment(augment)
        self.is_counted = True
        self.drop_last = flag(drop_last, "drop_last")
        if self.drop_last and not (self.batch_size and self.batch_size <= len(x)):
            raise ValueError(
                f"drop_last: expected a batch_size of at most the {len(x)} samples with it, received {batch_size}"
            )
        self._augments_ahead = False

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return math.ceil(self.samples / (self.batch_size or self.samples))

    @property
    def samples(self) -> int:
        """How many samples an epoch has."""
        left_out = len(self.y) % self.batch_size if self.drop_last and self.batch_size else 0
        return len(self.y) - left_out

    def __iter__(self) -> Epoch:
        is_one = self.batch_size is None or self.batch_size >= len(self.y)
        if is_one or not (is_read_ahead(self.x) or is_read_ahead(self.y)):
            plain = self._plain()
            return plain if self.augment is None else (self._changed(batch) for batch in plain)
        if self._augments_ahead:
            return Prefetched(self._changed(batch) for batch in self._plain())
        return Prefetched(self._plain(), then=self._changed)

    @property
    def draws_from(self) -> Any:
        """What may hold the random generators behind the order of the samples."""
        return self.rng

    def in_order(self, batch_size: int | None) -> Generator[tuple[Any, Any], None, None]:
        """Yield the samples as they are and in order, so many at a time, or all at once."""
        return in_order(self.x, self.y, batch_size)

    @property
    def numbers(self) -> Array:
        """The numbers, among all that an epoch is made of, of the samples that `x` holds."""
        return np.arange(len(self.y))

    def all_samples(self) -> Any:
        """Return the samples that an epoch is made of."""
        return self.x

    def with_samples(self, x: Any) -> Batches:
        """Return the same batches of what stands for the samples, in memory."""
        batches = copy(self)
        batches.x, batches.augment = of_each(samples_of, x, "x"), None
        return batches

    def augmenting_ahead(self) -> Batches:
        """Return the same batches, which also augment ahead of their turn where they read ahead.

        This needs an `augment` whose results depend on nothing but its samples and its own random generators, of which
        nothing else draws during the epoch.
        """
        batches = copy(self)
        batches._augments_ahead = True
        return batches

    def _changed(self, batch: tuple[Any, Array]) -> tuple[Any, Array]:
        if self.augment is None:
            return batch
        x, y = batch
        if not takes_targets(self.augment):
            return _checked(self.augment(x), x), y
        changed = self.augment(x, y)
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise TypeError(f"augment: expected it to return samples and targets, received {type(changed).__name__}")
        return _checked(changed[0], x), _checked(changed[1], y)

    def _plain(self) -> Generator[tuple[Any, Array], None, None]:
        if self.batch_size is None:
            yield _whole(self.x), _whole(self.y)
            return
        order = self.rng.permutation(len(self.y))
        for start in range(0, self.samples, self.batch_size):
            rows = order[start : start + self.batch_size]
            yield take(self.x, rows), take(self.y, rows)

    @staticmethod
    def _checked_augment(augment: Any) -> Callable[..., Any] | None:
        if augment is not None and not callable(augment):
            raise TypeError(f"augment: expected a function of a batch's samples or None, received {shown(augment)}")
        return augment  # type: ignore[no-any-return]


def _checked(changed: Any, x: Any) -> Any:
    """Return what an augmentation has made of samples or targets.

    Raises: TypeError for no array where there was one; ValueError for another number of samples.
    """
    is_right = part_names(changed, "x") == part_names(x, "x")
    if not is_right or not all(isinstance(part, np.ndarray) for part in leaves(changed)):
        expected = f"a tuple of {len(x)} inputs" if isinstance(x, tuple) else "an array"
        received = each(lambda part: type(part).__name__, changed)
        raise TypeError(f"augment: expected it to return {expected}, received {received}")
    n = len(leaves(x)[0])
    for part in leaves(changed):
        if part.shape[:1] != (n,):
            raise ValueError(f"augment: expected it to return {n} samples, received shape {part.shape}")
    return changed


def in_order(x: Any, y: Any, batch_size: int | None) -> Generator[tuple[Any, Any], None, None]:
    """Yield samples and targets in order, so many at a time, or all at once; what is outside memory is read ahead."""
    with closing(slices(x, max(1, len(x)) if batch_size is None else batch_size)) as parts:
        for rows, part in parts:
            yield part, y[rows.start : rows.stop]


def _whole(samples: Any) -> Any:
    return samples if isinstance(samples, np.ndarray) else each(np.asarray, samples[:])
