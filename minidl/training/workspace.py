"""Work arrays that a training loop uses again, step after step, instead of new ones.

A new array of more than some hundred kilobytes is memory that the operating system hands out page by page, cleared, and
takes back when the array goes: for a layer of 1,000 x 64 numbers that takes as long as all its arithmetic. So, while
the loop runs, `Module.new_array` gives the array that had the same role in the step before.

Nothing that a caller has been given may change later. Therefore arrays are used again only where no code but the
library's own runs: not in networks with a layer, loss or optimizer of the user's; and before a callback of the user's
is called, and when the loop ends, all of them are given away for good: whoever holds one keeps it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minidl.losses import Loss
from minidl.module import Module
from minidl.optimizers import Optimizer


class Workspace:
    """The work arrays of the modules of one network."""

    def __init__(self, body: Module, loss: Loss, optimizer: Optimizer) -> None:
        modules = [module for _, module in body.named_modules()]
        self._modules = modules if all(map(is_our_own, (*modules, loss, optimizer))) else []

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let the modules use their arrays again inside a `with` block."""
        for module in self._modules:
            module._workspace = {}
        try:
            yield
        finally:
            for module in self._modules:
                module._workspace = None

    @contextmanager
    def given_away(self) -> Iterator[None]:
        """Let go of all arrays, and use none again inside a `with` block, inside one of `lent`."""
        for module in self._modules:
            module._workspace = None
        yield
        for module in self._modules:
            module._workspace = {}


def is_our_own(thing: object) -> bool:
    """Tell whether the class of `thing` is the library's own."""
    return type(thing).__module__.partition(".")[0] == "minidl"
