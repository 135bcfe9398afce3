"""How a module's state is found, named and loaded: one recursion over modules, one over their buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from minidl._attributes import members
from minidl.parameter import Buffer

M = TypeVar("M")


def named_children(module: M, kind: type[M]) -> Iterator[tuple[str, M]]:
    """Yield the modules, which are all of this kind, among the members of `module`, each once."""
    seen: set[int] = set()
    positional = getattr(module, "positional", None)
    for name, child in members(module, (kind,)):
        if id(child) not in seen:
            seen.add(id(child))
            yield (name if positional is None else name.removeprefix(f"{positional}.")), child


def named_modules(root: M, kind: type[M]) -> Iterator[tuple[str, M]]:
    """Yield `root`, named `""`, and all modules below it with their paths, each once."""
    seen: set[int] = set()
    waiting = [("", root)]
    while waiting:
        path, module = waiting.pop()
        if id(module) not in seen:
            seen.add(id(module))
            yield path, module
            children = [(join(path, name), child) for name, child in named_children(module, kind)]
            waiting += reversed(children)


def named_buffers(modules: Iterator[tuple[str, object]]) -> Iterator[tuple[str, Buffer]]:
    """Yield the buffers of named modules, each module's own under one name.

    Raises: ValueError for one that two modules share.
    """
    owners: dict[int, tuple[str, object]] = {}
    for prefix, module in modules:
        for name, buffer in members(module, (Buffer,)):
            path = join(prefix, name)
            first, owner = owners.setdefault(id(buffer), (path, module))
            if owner is not module:
                raise ValueError(
                    f"{path} and {first} are one {type(buffer).__name__}; gradients are written, not added up, so two "
                    "layers cannot share one: give each its own, or write one layer that uses it twice"
                )
            if first == path:
                yield path, buffer


def load_buffers(buffers: Mapping[str, Buffer], state: Mapping[str, Any]) -> None:
    """Copy the arrays of `state` into the buffers of the same names, or change nothing at all.

    Raises: ValueError that lists every missing, unexpected, mis-shaped and non-numeric entry at once.
    """
    arrays = {name: np.asarray(value) for name, value in state.items()}
    problems = [f"missing {name} {buffer.shape}" for name, buffer in buffers.items() if name not in arrays]
    for name, array in arrays.items():
        if name not in buffers:
            problems.append(f"unexpected {name} {array.shape}")
        elif array.shape != buffers[name].shape:
            problems.append(f"{name}: expected shape {buffers[name].shape}, received {array.shape}")
        elif array.dtype.kind not in "fiu":
            problems.append(f"{name}: expected real numbers, received dtype {array.dtype}")
    if problems:
        raise ValueError("the state does not fit the model; nothing was loaded:\n  " + "\n  ".join(problems))
    for name, buffer in buffers.items():
        buffer.data[...] = arrays[name]


def join(prefix: str, name: str) -> str:
    """Return a path of two parts, either of which may be empty.

    >>> join("body", "0"), join("", "0"), join("body", "")
    ('body.0', '0', 'body')
    """
    return f"{prefix}.{name}" if prefix and name else prefix or name
