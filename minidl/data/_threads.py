"""Work on many files at once: Pillow lets go of Python's lock while it decodes and resizes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW = 1024  # chunks waiting at once, so that a million files are not a million waiting tasks
CHUNK = 8  # items that a thread takes at a time: each hand-over to another thread costs as much as opening a file


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
    """Yield `function(item)` for each item, in their order, computed on all cores.

    Where the loop around it ends early, by an error or by Ctrl-C, what has not begun is dropped: `Executor.map` cancels
    it, and the executor waits for the few items that are being worked on.
    """
    workers = min(_cores(), max(1, len(items)))
    size = max(1, min(CHUNK, len(items) // (4 * workers)))

    def work(start: int) -> list[Result]:
        return [function(item) for item in items[start : start + size]]

    with ThreadPoolExecutor(workers) as executor:
        for first in range(0, len(items), size * WINDOW):
            last = min(first + size * WINDOW, len(items))
            for results in executor.map(work, range(first, last, size)):
                yield from results


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
