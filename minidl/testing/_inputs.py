"""Inputs of what is under check, each an array or a tuple of arrays, and gradients like them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._samples import each, leaves, part_names
from minidl._typing import Array
from minidl.errors import GradientError

CLOSE = 1e-10  # relative to the largest number: the same sums in another order


def named_gradients(gradient: Any, x: Any) -> dict[str, Any]:
    """Return the gradient of an input, or those of a tuple of inputs, by their names.

    Raises: GradientError for anything but tuples where `x` is one.
    """
    names = part_names(x, "input")
    if isinstance(x, tuple) and part_names(gradient, "input") != names:
        received = len(gradient) if isinstance(gradient, tuple) else type(gradient).__name__
        raise GradientError(f"gradient of input: expected a tuple of {len(x)} gradients, received {received}")
    return dict(zip(leaves(names), leaves(gradient), strict=True)) if isinstance(x, tuple) else {names: gradient}


def another(x: Any) -> Any:
    """Return other numbers of the same kinds and shapes; whole numbers that are no larger than the largest."""

    def other(part: Array) -> Array:
        numbers: Array = part[::-1] + 1
        return numbers if part.dtype.kind == "f" else numbers % (part.max() + 1)

    return each(other, x)


def joined(one: Any, other: Any) -> Any:
    """Return the samples of two batches as one."""
    return each(lambda *parts: np.concatenate(parts), one, other)


def close(one: Any, other: Any) -> bool:
    """Return whether two arrays, or tuples of them, are the same but for rounding."""
    if isinstance(other, tuple):
        return len(one) == len(other) and all(map(close, one, other))
    largest = float(np.abs(other).max(initial=0))
    return one.shape == other.shape and np.allclose(one, other, rtol=CLOSE, atol=CLOSE * largest, equal_nan=True)
