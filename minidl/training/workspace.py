"""Work arrays lent to a network for as long as a training loop runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minidl.module import Module
from minidl.work_arrays import WorkArrays


@contextmanager
def work_arrays(body: Module) -> Iterator[None]:
    """Let all modules of a network write into arrays that nobody holds any more, inside a `with` block."""
    modules, store = [module for _, module in body.named_modules()], WorkArrays()
    for module in modules:
        module._work_arrays = store
    try:
        yield
    finally:
        for module in modules:
            module._work_arrays = None
