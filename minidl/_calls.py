"""What belongs to a call, not to the module that is called: its mode, and who observes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

Observer: TypeAlias = Callable[[Any, Any, Any], object]
"""Called with a module, its input and its output, after each module that is called."""

current_mode: ContextVar[bool | None] = ContextVar("current_mode", default=None)
"""True for training, False for evaluation, None for each module's own mode."""

current_observer: ContextVar[Observer | None] = ContextVar("current_observer", default=None)


@contextmanager
def calling(*, training: bool, observer: Observer | None = None) -> Iterator[None]:
    """Put all calls that this thread makes inside the block into one mode, whatever the modules' own.

    Nothing is written to the modules, so that other threads may call them in another mode at the same time.

    >>> from minidl import Dropout
    >>> with calling(training=False):
    ...     Dropout(0.5)([1.0, 2.0]).tolist()
    [1.0, 2.0]
    """
    mode_before, observer_before = current_mode.set(training), current_observer.set(observer)
    try:
        yield
    finally:
        current_mode.reset(mode_before)
        current_observer.reset(observer_before)
