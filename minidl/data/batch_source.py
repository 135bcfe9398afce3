"""BatchSource: batches that come from a user's own iterable, such as a reader of files, anew in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import count
from typing import Any, TypeAlias

from minidl._samples import leaves
from minidl._typing import Array
from minidl._validation import shown
from minidl.data.batches import Batches

Check: TypeAlias = Callable[[Any, Any, int], tuple[Any, Array]]
"""Returns the samples and the targets of a batch, which may be sliced, after checks; it is given their number, too."""


class BatchSource(Batches):
    """The batches (x, y) of an iterable, or of a function that returns one; each iteration over it is one epoch.

    The iterable decides on the order and the sizes; memory holds one batch. It is read where it is iterated over, never
    on another thread, and may use the memory of one batch for the next.

    Attributes: `x` and `y` are the batch that was read last, `batch_size` the number of samples of the first batch, and
    `description` what tells this source from another for checkpoints, as far as one batch shows it.

    Raises: TypeError for what is neither iterable nor a function, for batches that are no pairs, and for what can be
    gone over only once; ValueError for samples without targets, and for an epoch without batches.

    >>> import numpy as np
    >>> batches = [(np.zeros((2, 3)), np.zeros(2)), (np.ones((1, 3)), np.ones(1))]
    >>> [len(x) for x, y in BatchSource(batches, lambda x, y, number: (x, y))]
    [2, 1]
    """

    def __init__(self, source: Any, check: Check, augment: Callable[[Any], Any] | None = None) -> None:
        if isinstance(getattr(source, "shape", None), tuple) and source.shape:
            raise ValueError(
                f"y: expected targets beside samples of shape {tuple(source.shape)}, or as x an iterable of batches "
                "(x, y), received no targets"
            )
        self.source, self._check = source, check
        self.augment = self._checked_augment(augment)
        self.is_counted = False
        self._last: Iterator[Any] | None = None
        with closing(self._plain()) as batches:
            next(batches)
        self.batch_size = len(self.y)
        self.description = {
            "source": _kind(source),
            "shapes of a sample": [[int(length) for length in part.shape[1:]] for part in leaves(self.x[:1])],
            "dtypes of a sample": [str(part.dtype) for part in leaves(self.x[:1])],
            "shape of a target": [int(length) for length in self.y.shape[1:]],
        }

    @property
    def draws_from(self) -> Any:
        """What may hold the random generators behind the order of the samples."""
        return self.source

    def __len__(self) -> int:
        raise TypeError(f"{_kind(self.source)}: the number of batches is known after an epoch alone")

    def __iter__(self) -> Generator[tuple[Any, Any], None, None]:
        with closing(self._plain()) as batches:
            for batch in batches:
                yield self._changed(batch)

    def in_order(self, batch_size: int | None) -> Generator[tuple[Any, Any], None, None]:
        """Yield the batches of an epoch as they are; their sizes are the source's."""
        return self._plain()

    def augmenting_ahead(self) -> Batches:
        """Return the same batches, as nothing is read ahead."""
        return self

    def _plain(self) -> Generator[tuple[Any, Any], None, None]:
        iterator, number = self._opened(), 0
        try:
            for number in count():
                try:
                    batch = next(iterator)
                except StopIteration:
                    break
                if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                    length = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
                    raise TypeError(f"batch {number}: expected a pair (x, y), received {type(batch).__name__}{length}")
                x, y = batch
                self.x, self.y = self._check(x, y, number)
                yield self.x[:], self.y
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
        if number == 0:
            raise ValueError(
                f"x: expected at least one batch (x, y) in each epoch, received none from {_kind(self.source)}"
            )

    def _opened(self) -> Iterator[Any]:
        is_function = callable(self.source) and not _is_iterable(self.source)
        iterable = self.source() if is_function else self.source
        if not _is_iterable(iterable):
            what = f"{_kind(self.source)} that returns {shown(iterable)}" if is_function else shown(iterable)
            raise TypeError(
                "x: expected samples with targets y beside them, or an iterable of batches (x, y) or a function that "
                f"returns one, received {what}"
            )
        iterator: Iterator[Any] = iter(iterable)
        if iterator is self.source or iterator is self._last:
            raise TypeError(
                f"x: expected batches that start anew in each epoch, received {_kind(iterator)}, which ends after one "
                "pass; pass the function that makes it, or a list of its batches"
            )
        self._last = iterator  # kept, so that no other one can be taken for it
        return iterator


def _is_iterable(value: Any) -> bool:
    return not isinstance(value, type) and (hasattr(value, "__iter__") or hasattr(value, "__getitem__"))


def _kind(source: Any) -> str:
    """Return the name of a function, or of an object's class."""
    return str(getattr(source if callable(source) else type(source), "__name__", type(source).__name__))
