"""Prefetching: the next items of an iterator are made on another thread while the caller works with the present one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

import numpy as np

from minidl._samples import JointSamples, Samples, is_outside_memory

Item = TypeVar("Item")

AHEAD = 2
"""Items that are made before they are asked for: one that waits, and one that is being made."""


class Prefetched(Iterator[Item], Generic[Item]):
    """The items of an iterator in their order, made on one other thread, at most `AHEAD` of them before their turn.

    What the iterator raises is raised here in its turn, after the items before it. `then`, if given, is called in the
    caller's thread on each item. The other thread ends with the items, at `close`, and when this object is collected.

    >>> list(Prefetched(iter([1, 2, 3]), then=str))
    ['1', '2', '3']
    """

    def __init__(self, items: Iterator[Any], then: Callable[[Any], Item] | None = None) -> None:
        self._then, self._shared = then, _Shared()
        work = copy_context().run, _make, items, self._shared, np.geterr()
        self._thread = Thread(target=work[0], args=work[1:], name="minidl prefetch", daemon=True)
        self._has_begun = False

    def __next__(self) -> Item:
        if self._shared.is_over:
            raise StopIteration
        if not self._has_begun:
            self._has_begun = True
            self._thread.start()
        item, error = self._shared.ready.get()
        if error is not None:
            self.close()
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        self._shared.permits.put(None)
        return item if self._then is None else self._then(item)

    def close(self) -> None:
        """End the work and wait for its thread, however often Ctrl-C is pressed; KeyboardInterrupt is raised then."""
        self._shared.end()
        interrupted = False
        while self._thread.is_alive():  # one that is only about to run sees that all is over
            try:
                self._thread.join()
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt

    def __del__(self) -> None:
        self._shared.end()


class _Shared:
    """What both threads know; the working one knows nothing else, so that the `Prefetched` can be collected."""

    def __init__(self) -> None:
        self.is_over = False
        self.permits: SimpleQueue[None] = SimpleQueue()  # one for each item that may be made
        self.ready: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        for _ in range(AHEAD):
            self.permits.put(None)

    def end(self) -> None:
        self.is_over = True
        self.permits.put(None)


def _make(items: Iterator[Any], shared: _Shared, floating_errors: Any) -> None:
    """Make items until there are no more or all is over."""
    with np.errstate(**floating_errors):  # which each thread has for itself
        while True:
            shared.permits.get()
            if shared.is_over:
                return
            try:
                shared.ready.put((next(items), None))
            except BaseException as error:  # StopIteration, too
                shared.ready.put((None, error))
                return


def slices(samples: Samples, size: int) -> Generator[tuple[range, Any], None, None]:
    """Yield the samples in order, `size` at a time, each with its row numbers; those outside memory are read ahead.

    >>> list(slices(np.arange(5), 3))
    [(range(0, 3), array([0, 1, 2])), (range(3, 5), array([3, 4]))]
    """
    blocks = [range(start, min(start + size, len(samples))) for start in range(0, len(samples), size)]
    parts = ((rows, samples[rows.start : rows.stop]) for rows in blocks)
    if len(blocks) < 2 or not is_read_ahead(samples):
        yield from parts
        return
    ahead: Prefetched[tuple[range, Any]] = Prefetched(parts)
    with closing(ahead):
        yield from ahead


def is_read_ahead(samples: Any) -> bool:
    """Return whether samples may be read on another thread, which pays for those outside memory.

    An object that must be read where it was made, such as rows of an SQLite connection, has `prefetch = False`.
    """
    return is_outside_memory(samples) and may_be_read_ahead(samples)


def may_be_read_ahead(samples: Any) -> bool:
    """Return whether samples, in memory or outside, may be read on another thread."""
    if isinstance(samples, JointSamples):
        return all(map(may_be_read_ahead, samples.parts))
    return getattr(samples, "prefetch", True) is not False
