"""Ctrl-C while a run trains: it ends the run once, and never in the middle of what must be whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType


class Interrupts:
    """Decides what Ctrl-C does while `fit` runs, in the main thread and where Python's own handler is in place.

    The first one raises KeyboardInterrupt inside `allowed`, at once or, inside `deferred` there, at the end of that
    block. Elsewhere, as while a run begins or ends, it waits for the next `allowed`: what is being put back is put
    back whole. The others are counted and have no other effect.

    >>> interrupts = Interrupts()
    >>> with interrupts.handled(), interrupts.allowed(), interrupts.deferred():
    ...     pass
    """

    def __init__(self) -> None:
        self.pressed = 0
        self._depth = 1  # of blocks that defer; 0 allows
        self._raised = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle Ctrl-C inside the block; elsewhere than in the main thread nothing can, and nothing needs to."""
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        try:
            signal.signal(signal.SIGINT, self._handle)
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C raise KeyboardInterrupt inside the block, also one that has waited for it."""
        self._depth -= 1
        try:
            self._raise_if_pressed()
            yield
        finally:
            self._depth += 1

    def deferred(self) -> AbstractContextManager[None]:
        """Return the context manager of a block: Ctrl-C inside it waits until the block is done."""
        return _Deferred(self)

    def raise_if_lost(self) -> None:
        """Raise KeyboardInterrupt once more if the run goes on all the same: Python drops one raised in a finalizer."""
        if self.pressed:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.pressed += 1
        self._raise_if_pressed()

    def _raise_if_pressed(self) -> None:
        if self.pressed and not self._depth and not self._raised:
            self._raised = True
            raise KeyboardInterrupt


class _Deferred:
    """What `Interrupts.deferred` returns."""

    # A class, because every epoch makes one, and `contextmanager` takes twice as long.

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        self._interrupts._depth += 1

    def __exit__(self, kind: object, *rest: object) -> None:
        self._interrupts._depth -= 1
        if kind is None:
            self._interrupts._raise_if_pressed()
