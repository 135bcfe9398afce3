"""Context variables: what a thread sets for the calls it makes in a block, and what puts it back at the block's end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Values: TypeAlias = Sequence[tuple[ContextVar[Any], Any]]

_variables: list[ContextVar[Any]] = []


def variable(name: str, default: T) -> ContextVar[T]:
    """Return a new context variable that `unchanged` puts back."""
    made = ContextVar(name, default=default)
    _variables.append(made)
    return made


class Changed:
    """Give variables other values inside the block.

    Ctrl-C before the block or inside it leaves nothing changed, unless it comes while the values are put back: see
    `unchanged`. This is a class because a generator that Ctrl-C broke off would put old values back whenever Python
    gets to close it.

    >>> number = variable("number", 0)
    >>> with Changed((number, 1)):
    ...     number.get()
    1
    >>> number.get()
    0
    """

    def __init__(self, *values: tuple[ContextVar[Any], Any]) -> None:
        self._values = values
        self._before: Values = ()

    def __enter__(self) -> None:
        self._before = [(each, each.get()) for each, _ in self._values]
        try:
            _set(self._values)
        except BaseException:
            _set(self._before)
            raise

    def __exit__(self, *error: object) -> None:
        _set(self._before)


@contextmanager
def unchanged() -> Iterator[None]:
    """Put all variables back at the end of the block.

    Python may raise KeyboardInterrupt just before `Changed` puts its values back. `fit` lets Ctrl-C end the inside of
    this block only, never its end, and so leaves nothing changed at whatever moment it comes.
    """
    before = [(each, each.get()) for each in _variables]
    try:
        yield
    finally:
        _set(before)


def _set(values: Values) -> None:
    for each, value in values:
        each.set(value)
