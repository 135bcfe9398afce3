"""Samples: arrays, objects outside memory that return rows by their numbers, and tuples of either, one an input.

A tuple whose items all have rows of their own is several inputs of one network, such as pictures and a table. Where
rows are asked for it is `JointSamples`; its rows, like a batch that a network is called with, are a plain tuple again.
Any other tuple is an array-like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeGuard

import numpy as np

from minidl._tables import is_table
from minidl._validation import as_array, check_finite
from minidl.errors import LayerInputError


class Samples(Protocol):
    """An array, or an object that returns rows like one: `numpy.memmap`, `LazyImages`, an HDF5 data set, ..."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """The number of samples, then the shape of one."""

    @property
    def dtype(self) -> Any:
        """The type of the numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class JointSamples:
    """Several inputs of the same samples: row i of each of its parts belongs to sample i.

    Raises: ValueError for parts of different lengths.

    >>> joint = JointSamples([np.zeros((5, 8, 8, 3)), np.zeros((5, 2))])
    >>> len(joint), [rows.shape for rows in joint[1:3]]
    (5, [(2, 8, 8, 3), (2, 2)])
    """

    def __init__(self, parts: Iterable[Samples], name: str = "x") -> None:
        self.parts = tuple(parts)
        _check_lengths(self.parts, self.shape, name)

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shapes of the parts."""
        return tuple(part.shape for part in self.parts)

    @property
    def dtype(self) -> tuple[Any, ...]:
        """The types of the parts' numbers."""
        return tuple(part.dtype for part in self.parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: Any) -> tuple[Any, ...]:
        return tuple(part[rows] for part in self.parts)


def as_samples(x: Any, name: str = "x") -> Samples:
    """Return `x` itself where it is an array or stays outside memory, else an array of it; JointSamples of a tuple.

    Raises: ValueError for what is no rectangular array of numbers, and for masked numbers.

    >>> as_samples([[1, 2], [3, 4]]).shape
    (2, 2)
    """

    def one(x: Any, name: str) -> Samples:
        return x if type(x) is np.ndarray or is_outside_memory(x) else as_array(x, name)

    return of_each(one, x, name)


def of_each(convert: Callable[[Any, str], Samples], x: Any, name: str) -> Samples:
    """Return `convert(x, name)`, or of several inputs the JointSamples of what it makes of each part."""
    if not isinstance(x, JointSamples) and not is_several(x):
        return convert(x, name)
    parts = x.parts if isinstance(x, JointSamples) else x
    return JointSamples((of_each(convert, part, f"{name}[{i}]") for i, part in enumerate(parts)), name)


def is_outside_memory(x: Any) -> bool:
    """Return whether `x`, or one of its parts, reads its rows when they are asked for, as `numpy.memmap` does."""
    if isinstance(x, np.ndarray):
        return isinstance(x, np.memmap)
    if isinstance(x, JointSamples):
        return any(map(is_outside_memory, x.parts))
    # One axis is not worth it, and is how a pandas Series looks, which is indexed by label.
    is_array_like = len(getattr(x, "shape", ())) > 1 and hasattr(x, "dtype") and hasattr(x, "__getitem__")
    return is_array_like and not is_table(x)  # which may have a column named dtype


def is_several(x: Any) -> TypeGuard[tuple[Any, ...]]:
    """Return whether `x` is a tuple of inputs: of arrays, of what looks like one, or of such tuples.

    >>> is_several((np.zeros((3, 2)), np.zeros((3, 4)))), is_several(((1.0, 2.0), (3.0, 4.0)))
    (True, False)
    """
    return isinstance(x, tuple) and len(x) > 0 and all(is_several(part) or _has_rows(part) for part in x)


def _check_lengths(parts: Sequence[Samples], shape: tuple[Any, ...], name: str) -> None:
    if len(set(map(len, parts))) > 1:
        raise ValueError(f"{name}: expected inputs of one number of samples, received shapes {shape}")


def _has_rows(x: Any) -> bool:
    shape = getattr(x, "shape", ())
    return isinstance(shape, tuple) and len(shape) > 0


def as_input(x: Any, name: str, module: Any = None) -> Any:
    """Return an array of an array-like, or a tuple of arrays of a tuple of inputs, which `module` must take if given.

    Raises: ValueError as `as_array` does, and for inputs of different numbers of samples; LayerInputError for a module
    that takes one array.
    """
    if not is_several(x):
        return as_array(x, name)
    x = tuple(as_input(part, f"{name}[{i}]") for i, part in enumerate(x))
    _check_lengths(leaves(x), each(np.shape, x), name)
    if module is not None and not module.takes_tuples:
        shapes = ", ".join(str(part.shape) for part in leaves(x))
        raise LayerInputError(module, f"expected one array, received a tuple of {len(x)} inputs of shapes {shapes}")
    return x


def finite_input(x: Any, name: str, rows: Sequence[int]) -> Any:
    """Return what `as_input` does.

    Raises: ValueError as `as_input` does, and for NaN or infinity, with the part and the number in `rows` of the first.
    """
    x = as_input(x, name)
    for part, part_name in zip(leaves(x), leaves(part_names(x, name)), strict=True):
        check_finite(part, part_name, rows)
    return x


def each(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """Return `function(x, *others)`, or of tuples the tuple of what it returns for their items.

    >>> each(max, (1, (2, 30)), (10, (20, 3)))
    (10, (20, 30))
    """
    if not isinstance(x, tuple):
        return function(x, *others)
    return tuple(each(function, *items) for items in zip(x, *others, strict=True))


def leaves(x: Any) -> list[Any]:
    """Return the arrays of an input in their order.

    >>> leaves((1, (2, 3))), leaves(1)
    ([1, 2, 3], [1])
    """
    return [leaf for part in x for leaf in leaves(part)] if isinstance(x, tuple) else [x]


def part_names(x: Any, name: str) -> Any:
    """Return the names of the arrays of an input, in tuples like it.

    >>> part_names((1, (2, 3)), "x")
    ('x[0]', ('x[1][0]', 'x[1][1]'))
    """
    return tuple(part_names(part, f"{name}[{i}]") for i, part in enumerate(x)) if isinstance(x, tuple) else name


def holds_shapes(shape: Any) -> bool:
    """Return whether `shape` is a tuple of shapes, one an input.

    >>> holds_shapes(((8, 8, 3), (2,))), holds_shapes((8, 8, 3))
    (True, False)
    """
    return isinstance(shape, tuple) and any(isinstance(side, (list, tuple)) for side in shape)


def of_shape(make: Callable[[Any], Any], shape: Any) -> Any:
    """Return `make(shape)`, of a tuple of shapes the tuple of what it makes of each.

    >>> [part.shape for part in of_shape(np.zeros, ((5, 3), (5, 2)))]
    [(5, 3), (5, 2)]
    """
    return tuple(of_shape(make, one) for one in shape) if holds_shapes(shape) else make(shape)
