"""Work on all cores: NumPy and Pillow let go of Python's lock while they compute."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeAlias, TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")
Errand: TypeAlias = "tuple[Callable[[], None], Lock]"

BLOCK = 1 << 18  # numbers of one array that are worked on at once: larger ones leave a core's cache
SHARES = 4  # blocks come in multiples of it, so that a few cores share them evenly
WINDOW = 1024  # chunks waiting at once, so that a million files are not a million waiting tasks
CHUNK = 8  # items that a thread takes at a time: each hand-over to another thread costs as much as opening a file


def in_blocks(
    function: Callable[[slice], Result],
    samples: int,
    numbers: int,
    *,
    at_most: int | None = None,
    all_cores: bool = True,
) -> list[Result]:
    """Return `function(block)` for each block of the samples, in their order, computed on all cores.

    Arguments: `block` is a slice of samples; `numbers` is how many numbers the function goes over for all of them,
    which decides how many samples make a block; `at_most` bounds the number of blocks; `all_cores=False` is for a
    function that occupies all cores by itself. The blocks do not depend on the number of cores, so that sums over them
    have the same bits on every machine.
    """
    if numbers <= BLOCK or samples == 1:
        return [function(slice(0, samples))]
    count = SHARES * math.ceil(numbers / (SHARES * BLOCK))
    size = max(1, samples // count, math.ceil(samples / (at_most or samples)))
    waiting = deque(enumerate(range(0, samples, size)))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    on_overflow = np.geterr()  # which each thread has for itself

    def work() -> None:
        while waiting:
            try:
                i, start = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            results[i] = function(slice(start, start + size))

    def help_out() -> None:
        try:
            with np.errstate(**on_overflow):
                work()
        except BaseException as error:  # raised below, where somebody sees it
            errors.append(error)

    helpers = [_start(help_out) for _ in range(min(cores() if all_cores else 1, len(waiting)) - 1)]
    try:
        work()
    finally:  # nobody may still be writing into arrays when the caller learns of an error, or of Ctrl-C
        waiting.clear()
        for done in helpers:
            done.acquire()
    if errors:
        raise errors[0]
    return [results[i] for i in range(len(results))]


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in their order, computed on all cores.

    Where the loop around it ends early, by an error or by Ctrl-C, what has not begun is dropped: `Executor.map` cancels
    it, and the executor waits for the few items that are being worked on.
    """
    workers = min(cores(), max(1, len(items)))
    size = max(1, min(CHUNK, len(items) // (4 * workers)))

    def work(start: int) -> list[Result]:
        return [function(item) for item in items[start : start + size]]

    with ThreadPoolExecutor(workers) as executor:
        for first in range(0, len(items), size * WINDOW):
            last = min(first + size * WINDOW, len(items))
            for results in executor.map(work, range(first, last, size)):
                yield from results


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_errands: SimpleQueue[Errand] | None = None


def _start(work: Callable[[], None]) -> Lock:
    """Let a waiting thread do `work`, and return a lock that it will release after that.

    An executor would do, but making a future and waiting for it takes it as long as some blocks do.
    """
    global _errands
    if _errands is None:
        _errands = SimpleQueue()
        for _ in range(cores()):
            Thread(target=_run, args=(_errands,), name="minidl", daemon=True).start()
    done = Lock()
    done.acquire()
    _errands.put((work, done))
    return done


def _run(errands: SimpleQueue[Errand]) -> None:
    while True:
        work, done = errands.get()
        work()
        done.release()
        del work, done  # and with them what they hold, the caller's arrays


def _forget_threads() -> None:
    global _errands
    _errands = None


if hasattr(os, "register_at_fork"):  # a forked process has no thread but the one that forked
    os.register_at_fork(after_in_child=_forget_threads)
