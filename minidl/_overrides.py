"""Promises that a class makes about a method, and that end where a subclass overrides the method."""

from __future__ import annotations


def promises(cls: type, promise: str, about: str) -> bool:
    """Return whether `promise`, an attribute of a class, holds for the method `about` that the class inherits.

    It does not where a more derived class has overridden the method without making the promise again.

    >>> class Plain:
    ...     def step(self): ...
    ...     in_blocks = True
    >>> class Overriding(Plain):
    ...     def step(self): ...
    >>> promises(Plain, "in_blocks", about="step"), promises(Overriding, "in_blocks", about="step")
    (True, False)
    """
    for owner in cls.__mro__:
        if promise in vars(owner):
            return bool(vars(owner)[promise])
        if about in vars(owner):
            return False
    return False
