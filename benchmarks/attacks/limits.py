"""Bounds on what one attempt may take: seconds and memory."""

from __future__ import annotations

import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple


class TooSlow(BaseException):
    """An attempt took too long; not an Exception, so that code under attack does not take it for one of its own."""


class Attempt(NamedTuple):
    """The result of a call, or the error that ended it, and the most memory in bytes that Python and NumPy held."""

    result: Any
    error: BaseException | None
    memory: int


def attempt(call: Callable[[], Any], seconds: float) -> Attempt:
    """Call, for so many seconds at most."""
    try:
        with time_limit(seconds):
            return Attempt(call(), None, 0)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Attempt(None, error, 0)


def measured_attempt(call: Callable[[], Any], seconds: float) -> Attempt:
    """Call likewise and measure the memory, which takes twice as long."""
    tracemalloc.start(1)
    try:
        found = attempt(call, seconds)
        return found._replace(memory=tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow in the block, which runs in the main thread, when the time is over."""

    def end(_: int, __: FrameType | None) -> None:
        raise TooSlow(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory_limit(megabytes: int) -> Iterator[None]:
    """Let allocations beyond so much more memory than now fail, instead of taking all that the machine has."""
    import resource  # not on Windows

    status = Path("/proc/self/statm")
    used = int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 2**33
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = used + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
