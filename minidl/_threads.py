"""Work on all cores: NumPy and Pillow let go of Python's lock while they compute."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Result = TypeVar("Result")

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
    have the same bits with any number.
    """
    if numbers <= BLOCK or samples == 1:
        return [function(slice(0, samples))]
    count = SHARES * math.ceil(numbers / (SHARES * BLOCK))
    size = max(1, samples // count, math.ceil(samples / (at_most or samples)))
    waiting = deque(enumerate(range(0, samples, size)))
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    begun: list[Lock] = []  # one of each thread that helps, released when it is done
    on_overflow = np.geterr()  # which each thread has for itself

    def work() -> None:
        while waiting:
            try:
                i, start = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            results[i] = function(slice(start, start + size))

    def help_out() -> None:
        done = Lock()
        done.acquire()
        begun.append(done)  # before any block is taken: who begins later finds none
        try:
            with np.errstate(**on_overflow):
                work()
        except BaseException as error:  # raised below, where somebody sees it
            waiting.clear()
            errors.append(error)
        finally:
            done.release()

    try:
        for _ in range(min(cores() if all_cores else 1, len(waiting)) - 1):
            _start(help_out)
        work()
    finally:  # nobody may still be writing into arrays when the caller learns of an error, or of Ctrl-C
        waiting.clear()
        _wait_for(begun)
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


_errands: SimpleQueue[Callable[[], None]] | None = None
_starting = Lock()


def _start(work: Callable[[], None]) -> None:
    """Let a waiting thread do `work` as soon as one is free.

    An executor would do, but making a future and waiting for it takes it as long as some blocks do.
    """
    global _errands
    with _starting:
        if _errands is None:
            errands: SimpleQueue[Callable[[], None]] = SimpleQueue()
            for _ in range(cores()):
                Thread(target=_run, args=(errands,), name="minidl", daemon=True).start()
            _errands = errands
    _errands.put(work)


def _run(errands: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        work = errands.get()
        work()
        del work  # and with it what it holds, the caller's arrays


def _wait_for(locks: Sequence[Lock]) -> None:
    """Acquire all locks, however often Ctrl-C is pressed, and then let it have its effect."""
    interrupted = False
    for lock in locks:
        while True:
            try:
                lock.acquire()
                break
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt


def _forget_threads() -> None:
    global _errands, _starting
    _errands, _starting = None, Lock()


if hasattr(os, "register_at_fork"):  # a forked process has no thread but the one that forked
    os.register_at_fork(after_in_child=_forget_threads)
