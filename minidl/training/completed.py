"""The state of the last completed epoch, to fall back on when the next one is interrupted or goes wrong."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.parameter import Buffer


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done, where this is the main thread and Python's own handler is in place."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    waiting: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if waiting:
        raise KeyboardInterrupt


class Completed:
    """A copy of a network's parameters and buffers, as they were after an epoch.

    What the optimizer remembers and where random generators stand is not in it: a run that goes on from here, without
    a checkpoint, goes on with those of the interrupted epoch.

    All arrays lie in one row of numbers, because one copy and one look at it are far cheaper than many small ones.
    Two rows take turns: the spare one is filled first and then takes the place of the other in a single assignment,
    so that an interruption at any moment finds a whole state and the number of epochs that belongs to it.
    """

    def __init__(self, holders: Sequence[Buffer], epochs: int) -> None:
        self._holders = list(holders)
        dtype = np.result_type(*(holder.data for holder in self._holders)) if self._holders else np.float32
        size = sum(holder.data.size for holder in self._holders)
        self._spare = np.empty(size, dtype)
        self._last: tuple[int, Array] = (epochs, np.empty(size, dtype))
        self._copy(self._last[1])

    @property
    def epochs(self) -> int:
        """How many epochs had been completed."""
        return self._last[0]

    def prepare(self) -> bool:
        """Copy the present state into the spare row and tell whether all of it is finite."""
        row = self._spare
        self._copy(row)
        return math.isfinite(np.dot(row, row)) or is_finite(row)

    def publish(self, epochs: int) -> None:
        """Take the prepared state as the last completed one."""
        self._last, self._spare = (epochs, self._spare), self._last[1]

    def restore(self) -> None:
        """Put the last completed state back."""
        start = 0
        for holder in self._holders:
            stop = start + holder.data.size
            holder.data[...] = self._last[1][start:stop].reshape(holder.shape)
            start = stop

    def _copy(self, row: Array) -> None:
        if self._holders:
            np.concatenate([holder.data.ravel() for holder in self._holders], out=row, casting="same_kind")
