"""One recursion that finds things in an object's attributes: the parameters and layers of a module."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, TypeVar

import numpy as np

Thing = TypeVar("Thing")

OPAQUE = (str, bytes, int, float, complex, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, np.ndarray)
"""What holds no parameters or layers, or none that belong to the object: functions, classes, plain values."""


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

    >>> owner = type("Owner", (), {})()
    >>> owner.steps = [1, {"two": 2}]
    >>> list(members(owner, (int,)))
    [('steps.0', 1), ('steps.1.two', 2)]
    """
    for name, value in attributes(owner):
        yield from _named(name, value, kinds)


def _named(name: str, value: Any, kinds: tuple[type[Thing], ...]) -> Iterator[tuple[str, Thing]]:
    if isinstance(value, kinds):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _named(f"{name}.{i}", item, kinds)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, (str, int)):
                yield from _named(f"{name}.{key}", item, kinds)


def check_all_are_found(owners: Iterable[object], kinds: tuple[type[Any], ...], found: set[int]) -> None:
    """Raise a TypeError for a thing of these kinds that the owners refer to and that is not among those found by name.

    It may stand in a set, in the attributes of another object, in a dictionary under a key that is no string or
    number, or in the class instead of the object. `found` holds the `id` of all that are known.
    """
    seen, owners = set(found), list(owners)
    hidden, shared = "stands where no name leads to it", "is an attribute of the class, which all objects share"
    classes = dict.fromkeys(cls for owner in owners for cls in type(owner).__mro__[:-1])  # each once, and not `object`
    places = [(type(owner), *named, hidden) for owner in owners for named in attributes(owner)]
    places += [(cls, *named, shared) for cls in classes for named in vars(cls).items()]
    for cls, name, value, problem in places:
        for thing in _referred_to(value, kinds, seen):
            raise TypeError(
                f"{cls.__name__}.{name}: this {type(thing).__name__} {problem}; put it into an attribute of "
                "the object, or a list, tuple or dictionary there"
            )


def _referred_to(value: Any, kinds: tuple[type[Any], ...], seen: set[int]) -> Iterator[Any]:
    if value is None or isinstance(value, OPAQUE) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, kinds):
        yield value
        return
    items: Iterable[Any] = value.values() if isinstance(value, Mapping) else ()
    if isinstance(value, (list, tuple, set, frozenset, deque)):  # others may read files or compute as they are iterated
        items = value
    for item in items:
        yield from _referred_to(item, kinds, seen)
    for _, item in attributes(value):
        yield from _referred_to(item, kinds, seen)
