"""One recursion that finds things in an object's attributes: parameters and layers of a module, random generators."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Thing = TypeVar("Thing")


def attributes(owner: object) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of one object with their names, those in `__slots__` last.

    >>> list(attributes(type("Point", (), {"__slots__": ("x",), "__init__": lambda self: setattr(self, "x", 1)})()))
    [('x', 1)]
    """
    yield from getattr(owner, "__dict__", {}).items()
    for cls in type(owner).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(owner, name):
                yield name, getattr(owner, name)


def members(owner: object, kinds: tuple[type[Thing], ...]) -> Iterator[tuple[str, Thing]]:
    """Yield what is of these kinds among the attributes of `owner`, and in lists, tuples and dictionaries there.

    Names are paths: `weight`, `blocks.0`, `heads.left.1`.

    Raises: TypeError for one that stands where no name leads to it: in a set, in the attributes of another object, in
    a dictionary under a key that is no string or number, or in the class instead of the object.

    >>> owner = type("Owner", (), {})()
    >>> owner.steps = [1, {"two": 2}]
    >>> list(members(owner, (int,)))
    [('steps.0', 1), ('steps.1.two', 2)]
    """
    for name, value in attributes(owner):
        yield from _found(owner, name, value, kinds)
    for cls in type(owner).__mro__:
        for name, value in vars(cls).items():
            if isinstance(value, kinds):
                raise TypeError(_misplaced(owner, name, value, "is an attribute of the class, which all objects share"))


def _found(owner: object, name: str, value: Any, kinds: tuple[type[Thing], ...]) -> Iterator[tuple[str, Thing]]:
    if isinstance(value, kinds):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _found(owner, f"{name}.{i}", item, kinds)
    elif isinstance(value, dict):
        for key, item in value.items():
            for path, thing in _found(owner, f"{name}.{key}", item, kinds):
                if not isinstance(key, (str, int)):
                    raise TypeError(_misplaced(owner, path, thing, "has a key that is neither a string nor a number"))
                yield path, thing
    else:
        for item in _hidden_items(value):
            if isinstance(item, kinds):
                where = f"stands in a {type(value).__name__}"
                raise TypeError(_misplaced(owner, name, item, f"{where}, where no name leads to it"))


def _hidden_items(value: Any) -> Iterator[Any]:
    """Yield what stands in a container without order or names, or in the attributes of some other object."""
    if isinstance(value, (set, frozenset, deque)):
        yield from value
    elif isinstance(value, Mapping):
        yield from value.values()
    elif not isinstance(value, type) and not callable(value) and hasattr(value, "__dict__"):
        yield from vars(value).values()


def _misplaced(owner: object, name: str, thing: object, problem: str) -> str:
    kind = type(thing).__name__
    return (
        f"{type(owner).__name__}.{name}: this {kind} {problem}; "
        "put it into an attribute of the object, or a list, tuple or dictionary there"
    )
