"""How a module's state is found, named and loaded: one recursion over modules, one over their buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from minidl._attributes import check_all_are_found, members
from minidl._typing import Array
from minidl._validation import as_array, cast, shown
from minidl.parameter import Buffer

M = TypeVar("M")

OF_PYTORCH = (
    "expected an array, received a tensor of PyTorch, whose layout may differ at the same shape; "
    "minidl.interchange.load_pytorch_state takes it"
)


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


def named_buffers(root: M, kind: type[M]) -> Iterator[tuple[str, Buffer]]:
    """Yield the buffers of a module and of all modules below it, which are of this kind, each under one name.

    Raises: ValueError for one that two modules share, and for two that have one name; TypeError for a module or a
    buffer that no name leads to.
    """
    modules = list(named_modules(root, kind))
    owners: dict[int, tuple[str, M]] = {}
    named: dict[str, Buffer] = {}
    for prefix, module in modules:
        for name, buffer in members(module, (Buffer,)):
            path = join(prefix, name)
            first, owner = owners.setdefault(id(buffer), (path, module))
            if owner is not module:
                raise ValueError(
                    f"{path} and {first} are one {type(buffer).__name__}; gradients are written, not added up, so two "
                    "layers cannot share one: give each its own, or write one layer that uses it twice"
                )
            if named.setdefault(first, buffer) is not buffer:
                raise ValueError(f"{path}: two {type(buffer).__name__}s have this name; give one of them another")
    check_all_are_found(
        [module for _, module in modules], (kind, Buffer), {*owners, *(id(module) for _, module in modules)}
    )
    yield from named.items()


def own_buffers(module: object) -> list[Buffer]:
    """Return the buffers that a module holds itself, each once."""
    return list({id(buffer): buffer for _, buffer in members(module, (Buffer,))}.values())


def load_buffers(buffers: Mapping[str, Buffer], state: Mapping[str, Any]) -> None:
    """Copy the arrays of `state` into the buffers of the same names, or change nothing at all.

    Raises: TypeError for a state that is no mapping; ValueError that lists every missing, unexpected, mis-shaped and
    non-numeric entry, and every one too large for its buffer, at once.
    """
    arrays, problems = fitted(state, {name: buffer.data for name, buffer in buffers.items()})
    if problems:
        raise ValueError("the state does not fit the model; nothing was loaded:\n  " + "\n  ".join(problems))
    for name, buffer in buffers.items():
        buffer.data[...] = arrays[name]


def fitted(state: Mapping[str, Any], expected: Mapping[str, Array]) -> tuple[dict[str, Array], list[str]]:
    """Return the entries of `state` as arrays like those expected of the same names, and what is wrong with others.

    Raises: TypeError for a state that is no mapping.

    >>> fitted({"bias": [1, 2]}, {"bias": np.zeros(3)})[1]
    ['bias: expected shape (3,), received (2,)']
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected arrays by name, as state_dict() returns them, received {shown(state)}")
    arrays: dict[str, Array] = {}
    problems = [f"missing {name} {like.shape}" for name, like in expected.items() if name not in state]
    for name, value in state.items():
        try:
            if type(value).__module__.partition(".")[0] == "torch":
                raise ValueError(f"{name}: {OF_PYTORCH}")
            array = as_array(value, name)
            if name not in expected:
                problems.append(f"unexpected {name} {array.shape}")
            elif array.shape != expected[name].shape:
                problems.append(f"{name}: expected shape {expected[name].shape}, received {array.shape}")
            elif array.dtype.kind not in "fiu":
                problems.append(f"{name}: expected real numbers, received dtype {array.dtype}")
            else:
                arrays[name] = cast(array, expected[name].dtype, name)
        except ValueError as error:
            problems.append(str(error))
    return arrays, problems


def join(prefix: str, name: str) -> str:
    """Return a path of two parts, either of which may be empty.

    >>> join("body", "0"), join("", "0"), join("body", "")
    ('body.0', '0', 'body')
    """
    return f"{prefix}.{name}" if prefix and name else prefix or name
