"""The buffer pool: memory that is used again as soon as no array refers to it.

A new array of more than some hundred kilobytes is memory that the operating system hands out page by page, cleared,
and takes back when the array goes: for a layer of 1,000 x 64 numbers that takes as long as all its arithmetic. Inside
`with pool():`, `empty` takes large arrays from buffers that are free.

A lease is an array over a `PickleBuffer`, which is memory that NumPy has made and no array; over a `memoryview` NumPy
would find the array behind it, and a `bytearray` would be cleared first. NumPy gives every view of a lease, and every
view of a view, the lease itself as its base. So it is collected when the last of them is gone, and its weak reference
then returns the buffer.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pickle import PickleBuffer
from typing import Any

import numpy as np

from minidl._context import Changed, variable
from minidl._typing import Array
from minidl.ops import tuning


class _Lease(weakref.ref[Array]):
    """A weak reference to a leased array, and the buffer that is free when the array is gone."""

    __slots__ = ("buffer",)

    buffer: Any  # a PickleBuffer, which NumPy's type hints leave out


class BufferPool:
    """Free buffers by their size in bytes; any number of threads may take from one pool.

    >>> buffers = BufferPool()
    >>> first = buffers.empty((512, 512), np.dtype(np.float32))
    >>> np.shares_memory(first, buffers.empty((512, 512), np.dtype(np.float32)))
    False
    """

    def __init__(self) -> None:
        # Leases of collected arrays. What puts them there is `list.append`, which no Ctrl-C can break into.
        self._free: dict[int, list[_Lease]] = {}
        self._leases: dict[int, _Lease] = {}  # a weak reference must itself be referred to

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an array that shares its memory with no other, its numbers arbitrary."""
        size = math.prod(shape) * dtype.itemsize
        free = self._free.get(size)
        if free is None:
            if len(self._free) >= tuning.TUNING.pool_sizes:
                self.close()  # sizes that keep changing would fill the memory
            free = self._free.setdefault(size, [])
        try:
            ended = free.pop()  # one atomic step: no other thread can take the same buffer
            self._leases.pop(id(ended), None)
            buffer = ended.buffer
        except IndexError:
            memory: Any = np.empty(size, np.uint8)
            buffer = PickleBuffer(memory)
        array: Array = np.ndarray(shape, dtype, buffer)
        lease = _Lease(array, free.append)
        lease.buffer = buffer
        self._leases[id(lease)] = lease
        return array

    def close(self) -> None:
        """Release all memory; arrays that are still in use keep their own buffers."""
        self._leases.clear()
        self._free.clear()


_current: ContextVar[BufferPool | None] = variable("buffer pool", None)


@contextmanager
def pool() -> Iterator[BufferPool]:
    """Let `empty` take large arrays from a new pool, in this thread and in those that work for it, inside the block.

    >>> with pool():
    ...     array = empty((512, 512), np.dtype(np.float32))
    >>> array.shape
    (512, 512)
    """
    buffers = BufferPool()
    try:
        with Changed((_current, buffers)):
            yield buffers
    finally:
        buffers.close()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array to write a result into, its numbers arbitrary: from the current pool, or a new one.

    >>> empty((2, 3), np.dtype(np.float32)).shape
    (2, 3)
    """
    buffers = _current.get()
    if buffers is None or math.prod(shape) * dtype.itemsize < tuning.TUNING.pooled_bytes:
        return np.empty(shape, dtype)
    return buffers.empty(shape, dtype)
