"""First values of weights: functions of `(shape, rng)` that return a float64 array of that shape.

A weight's shape is `(out, ..., in)`: the first axis counts the outputs and the others what one output reads, so
`fan_in = size / out`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, cast, check_finite, shown

Initializer: TypeAlias = "Callable[[tuple[int, ...], np.random.Generator], Array]"


def standard_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of deviation 1: for the rows of an embedding, which nothing sums up.

    >>> standard_normal((20, 200), np.random.default_rng(0)).std().round(1).item()
    1.0
    """
    return rng.standard_normal(shape)


def small_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of deviation 0.02: for embeddings of a transformer (Radford et al. 2018).

    >>> small_normal((20, 200), np.random.default_rng(0)).std().round(2).item()
    0.02
    """
    return 0.02 * rng.standard_normal(shape)


def scaled_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of deviation `1 / sqrt(fan_in)`: the article's, and LeCun's (1998).

    >>> scaled_normal((20, 100), np.random.default_rng(0)).std().round(2).item()
    0.1
    """
    return rng.standard_normal(shape) / math.sqrt(_fan_in(shape))


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of deviation `sqrt(2 / fan_in)`, which keeps the variance through ReLUs (He et al. 2015).

    >>> he_normal((20, 200), np.random.default_rng(0)).std().round(2).item()
    0.1
    """
    return rng.standard_normal(shape) * math.sqrt(2 / _fan_in(shape))


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw evenly from `±sqrt(6 / (fan_in + fan_out))`, a compromise of both directions (Glorot and Bengio 2010).

    >>> bool(abs(glorot_uniform((2, 4), np.random.default_rng(0))).max() <= 1)
    True
    """
    fan_out = shape[0] * math.prod(shape[1:-1])
    limit = math.sqrt(6 / (_fan_in(shape) + fan_out))
    return rng.uniform(-limit, limit, shape)


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> Array:  # noqa: ARG001 - the signature of all
    """Return zeros; right for biases, and for weights only where nothing must break the symmetry.

    >>> zeros((1, 2), np.random.default_rng(0)).tolist()
    [[0.0, 0.0]]
    """
    return np.zeros(shape)


def _fan_in(shape: tuple[int, ...]) -> int:
    return math.prod(shape[1:])


BY_NAME: dict[str, Initializer] = {
    "standard_normal": standard_normal,
    "small_normal": small_normal,
    "scaled_normal": scaled_normal,
    "he_normal": he_normal,
    "glorot_uniform": glorot_uniform,
    "zeros": zeros,
}


def initial_weight(
    initializer: str | Initializer, shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype[Any]
) -> Array:
    """Return the first values of a weight.

    Raises: ValueError for an initializer that is unknown or returns another shape, or numbers that are not finite or
    too large for `dtype`.

    >>> initial_weight("zeros", (1, 2), np.random.default_rng(0), np.dtype(np.float32)).dtype
    dtype('float32')
    """
    weight = as_array(resolve(initializer)(shape, rng), "weight_init")
    if weight.shape != shape:
        raise ValueError(f"weight_init: expected an array of shape {shape}, received {weight.shape}")
    check_finite(weight, "weight_init")
    return cast(weight, dtype, "weight_init")


def resolve(initializer: str | Initializer) -> Initializer:
    """Return the initializer of that name, or the callable itself.

    Raises: ValueError for a name that is not in `BY_NAME`.

    >>> resolve("he_normal") is he_normal
    True
    """
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str) or initializer not in BY_NAME:
        names = ", ".join(BY_NAME)
        raise ValueError(f"weight_init: expected a callable or one of {names}, received {shown(initializer)}")
    return BY_NAME[initializer]
