"""Threads: how many a process may use, and in which order those that predict have their turns.

Threads that want Python's global lock (GIL) get it in no order. Where eight answer photographs on two cores without
pause, one answer in a hundred takes 31 ms or more in no order, and 3.3 ms in turns. Turns have a price: threads must
wake each other, and give a third fewer answers in all. `benchmarks/serving.py` measures both.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from threading import Lock, get_ident, main_thread

PATIENCE = 0.005
"""Seconds that a thread waits for its turn before it goes on without one. Turns are for calls that take less."""


def cores() -> int:
    """Return the number of cores that this process may use.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Turns:
    """Lets threads into the blocks `with turns.next():` first come, first served, `count` of them at a time.

    A thread that has waited for `patience` goes in without a turn, and so do all others until a turn is given back: the
    threads inside are busy for long, or wait for others themselves, as a layer does that predicts in its own threads.

    The main thread never waits: KeyboardInterrupt is raised only there, and could come between taking a turn and giving
    it back. Nor does a thread that is inside already.

    >>> turns = Turns(count=1)
    >>> with turns.next():
    ...     "inside"
    'inside'
    """

    def __init__(self, count: int, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.waiting: deque[Lock] = deque()  # one lock of each thread that waits, released when its turn has come
        self.inside: set[int] = set()
        self._free, self._is_stuck = count, False
        self._lock = Lock()

    def next(self) -> AbstractContextManager[None]:
        """Return a block before which this thread waits for its turn."""
        thread = get_ident()
        return nullcontext() if thread in self.inside or thread == main_thread().ident else _Turn(self, thread)

    def take(self) -> bool:
        """Wait for a turn, and return whether it came in time."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if self._is_stuck:
                return False
            ticket = Lock()
            ticket.acquire()
            self.waiting.append(ticket)
        if ticket.acquire(timeout=self.patience):
            return True
        with self._lock:
            if ticket in self.waiting:
                self.waiting.remove(ticket)
                self._is_stuck = True
                return False
        return True  # it came between the two

    def give_back(self) -> None:
        """Hand a turn to the thread that has waited longest."""
        with self._lock:
            self._is_stuck = False
            if self.waiting:
                self.waiting.popleft().release()
            else:
                self._free += 1


class _Turn:
    def __init__(self, turns: Turns, thread: int) -> None:
        self._turns, self._thread, self._taken = turns, thread, False

    def __enter__(self) -> None:
        self._taken = self._turns.take()
        self._turns.inside.add(self._thread)

    def __exit__(self, *error: object) -> None:
        self._turns.inside.remove(self._thread)
        if self._taken:
            self._turns.give_back()


_turns = Turns(cores())


def turn() -> AbstractContextManager[None]:
    """Return the block in which a thread predicts: as many at a time as there were cores when minidl was imported.

    >>> with turn():
    ...     "inside"
    'inside'
    """
    return _turns.next()


def _forget_threads() -> None:
    global _turns
    _turns = Turns(cores())


if hasattr(os, "register_at_fork"):  # a forked process has no thread but the one that forked
    os.register_at_fork(after_in_child=_forget_threads)
