"""Threads: how many a process may use, and in which order those that predict have their turns.

Threads that want Python's lock get it in no order. Of eight that answer photographs on two cores without pause, one in
a hundred answers then takes twenty times as long as the others, though each takes a fifth of a millisecond of work.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from threading import Lock, get_ident, main_thread

PATIENCE = 0.05
"""Seconds that a thread waits for its turn: many times the work of one sample. Then it goes on without a turn, so that
threads which wait for each other in any way, such as those of a layer that predicts in threads of its own, go on."""


def cores() -> int:
    """Return the number of cores that this process may use.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Turns:
    """Lets at most `count` threads at a time into the blocks `with turns.next():`, first come, first served.

    The main thread always may go in: it alone is interrupted by Ctrl-C, which could lose a turn. So may a thread that
    is inside already.

    >>> turns = Turns(count=1)
    >>> with turns.next():
    ...     "inside"
    'inside'
    """

    def __init__(self, count: int, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.waiting: deque[Lock] = deque()  # one of each thread that waits, released when its turn has come
        self.inside: set[int] = set()
        self._free = count
        self._changing = Lock()

    def next(self) -> AbstractContextManager[None]:
        """Return a block for which this thread waits until it may go in."""
        thread = get_ident()
        return nullcontext() if thread in self.inside or thread == main_thread().ident else _Turn(self, thread)

    def take(self) -> bool:
        """Wait for a turn, and return whether it came in time."""
        with self._changing:
            if self._free:
                self._free -= 1
                return True
            turn = Lock()
            turn.acquire()
            self.waiting.append(turn)
        if turn.acquire(timeout=self.patience):
            return True
        with self._changing:
            if turn in self.waiting:
                self.waiting.remove(turn)
                return False
        return True  # it came between the two

    def give_back(self) -> None:
        """Hand a turn to the thread that has waited longest."""
        with self._changing:
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
    """Return the block in which a thread predicts: as many threads as there are cores, first come, first served.

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
