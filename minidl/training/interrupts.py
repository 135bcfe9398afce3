"""Ctrl-C while a run trains: it ends the run once, and never in the middle of what must be whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Decides what Ctrl-C does while `fit` runs, in the main thread and where Python's own handler is in place.

    The first one raises KeyboardInterrupt, at once or, inside `deferred`, at the end of that block. What comes after
    it, while the run ends, is counted and has no other effect, so that what is being put back is put back whole.

    >>> interrupts = Interrupts()
    >>> with interrupts.handled(), interrupts.deferred():
    ...     pass
    """

    def __init__(self) -> None:
        self.pressed = 0
        self._depth = 0
        self._raised = self._has_ended = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle Ctrl-C inside the block; elsewhere than in the main thread nothing can, and nothing needs to."""
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            self._raised = True  # nothing may be raised between here and the caller
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let Ctrl-C wait until the block is done."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self._raise_if_pressed()

    def end(self) -> None:
        """From now on only count: the run ends already."""
        self._raised = self._has_ended = True

    def raise_if_lost(self) -> None:
        """Raise KeyboardInterrupt once more if the run goes on all the same: Python drops one raised in a finalizer."""
        if self.pressed and not self._has_ended:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.pressed += 1
        self._raise_if_pressed()

    def _raise_if_pressed(self) -> None:
        if self.pressed and not self._depth and not self._raised:
            self._raised = True
            raise KeyboardInterrupt
