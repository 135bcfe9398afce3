"""Work on all cores: NumPy and Pillow release Python's global lock while they compute."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

import numpy as np

from minidl._threads import cores
from minidl.ops import tuning

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_blocks(
    function: Callable[[slice], Result],
    samples: int,
    numbers: int,
    *,
    block_numbers: int | None = None,
    at_most: int | None = None,
    all_cores: bool = True,
) -> list[Result]:
    """Return `function(block)` for each block of the samples, in their order, computed on all cores.

    Arguments: `block` is a slice of samples; `numbers` is how many numbers the function reads for all of them, which
    decides how many samples make a block of `block_numbers`, by default `Tuning.cache_block`; `at_most` bounds the
    number of blocks; `all_cores=False` is for a function that uses all cores by itself. The blocks do not depend on the
    number of cores, so that sums over them have the same bits with any number.

    >>> in_blocks(lambda block: block.stop, samples=3, numbers=30)
    [3]
    """
    limit, multiple = block_numbers or tuning.TUNING.cache_block, tuning.TUNING.block_multiple
    if numbers <= limit or samples == 1:
        return [function(slice(0, samples))]
    count = multiple * math.ceil(numbers / (multiple * limit))
    size = max(1, samples // count, math.ceil(samples / (at_most or samples)))
    blocks = [slice(start, start + size) for start in range(0, samples, size)]
    workers = min(cores() if all_cores else 1, len(blocks))
    return _SharedWork(function, blocks).run(helpers=workers - 1)


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in their order, computed on all cores.

    Where the loop around it ends early, by an error or by Ctrl-C, what has not begun is dropped: `Executor.map`
    cancels it, and the executor waits for the few items that are being worked on.

    >>> list(in_threads(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    from concurrent.futures import ThreadPoolExecutor  # here, as `import minidl` need not wait for it

    workers = min(cores(), max(1, len(items)))
    size = max(1, min(tuning.TUNING.file_chunk, len(items) // (4 * workers)))

    def work(start: int) -> list[Result]:
        return [function(item) for item in items[start : start + size]]

    window = size * tuning.TUNING.file_window
    with ThreadPoolExecutor(workers) as executor:
        for first in range(0, len(items), window):
            for results in executor.map(work, range(first, min(first + window, len(items)), size)):
                yield from results


class _SharedWork(Generic[Result]):
    """Blocks that the calling thread and its helpers take one by one."""

    def __init__(self, function: Callable[[slice], Result], blocks: Sequence[slice]) -> None:
        self.function = function
        self.waiting = deque(enumerate(blocks))
        self.results: dict[int, Result] = {}
        self.errors: list[BaseException] = []
        self.running: list[Lock] = []  # one of each helper that has begun, released when it is done
        self.floating_errors = np.geterr()  # which each thread has for itself

    def run(self, helpers: int) -> list[Result]:
        """Return the results in order; no helper writes into the caller's arrays after the end, however it comes."""
        try:
            for _ in range(helpers):
                _start(partial(copy_context().run, self._help))  # with the caller's buffer pool
            self._work()
        finally:
            self.waiting.clear()
            _wait_for(self.running)
        if self.errors:
            raise self.errors[0]
        return [self.results[i] for i in range(len(self.results))]

    def _work(self) -> None:
        while self.waiting:
            try:
                i, block = self.waiting.popleft()
            except IndexError:  # another thread was faster
                return
            self.results[i] = self.function(block)

    def _help(self) -> None:
        done = Lock()
        done.acquire()
        self.running.append(done)  # before a block is taken: a helper that begins later finds none
        try:
            with np.errstate(**self.floating_errors):
                self._work()
        except BaseException as error:  # raised in the caller's thread by `run`
            self.waiting.clear()
            self.errors.append(error)
        finally:
            done.release()


_tasks: SimpleQueue[Callable[[], None]] | None = None
_starting = Lock()


def _start(task: Callable[[], None]) -> None:
    """Run `task` in a waiting thread as soon as one is free.

    An executor would do, but making a future and waiting for it takes as long as some blocks do.
    """
    global _tasks
    with _starting:
        if _tasks is None:
            tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
            for _ in range(cores()):
                Thread(target=_run_tasks, args=(tasks,), name="minidl", daemon=True).start()
            _tasks = tasks
    _tasks.put(task)


def _run_tasks(tasks: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        task = tasks.get()
        task()
        del task  # with the caller's arrays


def _wait_for(locks: Sequence[Lock]) -> None:
    """Acquire all locks, however often Ctrl-C is pressed, and raise KeyboardInterrupt only then."""
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
    global _tasks, _starting
    _tasks, _starting = None, Lock()


if hasattr(os, "register_at_fork"):  # a forked process has no thread but the one that forked
    os.register_at_fork(after_in_child=_forget_threads)
