"""First values of weights: functions of `(shape, rng)` that return a float64 array of that shape.

A weight's shape is `(out, ..., in)`: the first axis counts the outputs and the others what one output reads, so
`fan_in = size / out`; the last one counts the inputs, so that `fan_out = size / in`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._typing import Initializer as Initializer
from minidl._validation import as_array, cast, check_finite, shown


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


def glorot_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of deviation `sqrt(2 / (fan_in + fan_out))`, a compromise of both directions (Glorot 2010).

    >>> glorot_normal((100, 100), np.random.default_rng(0)).std().round(2).item()
    0.1
    """
    return rng.standard_normal(shape) * math.sqrt(2 / (_fan_in(shape) + _fan_out(shape)))


def lecun_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal that is cut off at two deviations and has the deviation `1 / sqrt(fan_in)` after that.

    So do Keras and JAX under this name; it is `scaled_normal` without far outliers, for networks of SELU.

    >>> lecun_normal((20, 100), np.random.default_rng(0)).std().round(2).item()
    0.1
    """
    return _cut_normal(shape, rng) / (DEVIATION_OF_CUT * math.sqrt(_fan_in(shape)))


def truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a normal of deviation 0.02 that is cut off at two deviations, whatever the shape: as for transformers.

    >>> bool(abs(truncated_normal((20, 100), np.random.default_rng(0))).max() <= 0.04)
    True
    """
    return 0.02 * _cut_normal(shape, rng)


def he_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw evenly from `±sqrt(6 / fan_in)`, of the variance of `he_normal`.

    >>> bool(abs(he_uniform((2, 6), np.random.default_rng(0))).max() <= 1)
    True
    """
    return _uniform(math.sqrt(6 / _fan_in(shape)), shape, rng)


def glorot_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw evenly from `±sqrt(6 / (fan_in + fan_out))`, of the variance of `glorot_normal` (Glorot and Bengio 2010).

    >>> bool(abs(glorot_uniform((2, 4), np.random.default_rng(0))).max() <= 1)
    True
    """
    return _uniform(math.sqrt(6 / (_fan_in(shape) + _fan_out(shape))), shape, rng)


def lecun_uniform(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw evenly from `±sqrt(3 / fan_in)`, of the variance of `scaled_normal` and `lecun_normal`.

    >>> bool(abs(lecun_uniform((2, 3), np.random.default_rng(0))).max() <= 1)
    True
    """
    return _uniform(math.sqrt(3 / _fan_in(shape)), shape, rng)


def orthogonal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw an orthogonal matrix, which keeps the length of what it multiplies (Saxe, McClelland and Ganguli 2014).

    As a matrix (out, fan_in), its rows are orthonormal, or its columns where it has more rows than columns. It is Q of
    the QR decomposition of a normal matrix, each column turned so that R's diagonal is positive: without that some
    orthogonal matrices would be more likely than others.

    >>> w = orthogonal((2, 3), np.random.default_rng(0))
    >>> np.allclose(w @ w.T, np.eye(2))
    True
    """
    rows, columns = shape[0], _fan_in(shape)
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return (q if rows > columns else q.T).reshape(shape)


def zeros(shape: tuple[int, ...], rng: np.random.Generator) -> Array:  # noqa: ARG001 - the signature of all
    """Return zeros; right for biases, and for weights only where nothing must break the symmetry.

    >>> zeros((1, 2), np.random.default_rng(0)).tolist()
    [[0.0, 0.0]]
    """
    return np.zeros(shape)


def _fan_in(shape: tuple[int, ...]) -> int:
    return math.prod(shape[1:])


def _fan_out(shape: tuple[int, ...]) -> int:
    return shape[0] * math.prod(shape[1:-1])


def _uniform(limit: float, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return rng.uniform(-limit, limit, shape)


DEVIATION_OF_CUT = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
"""The deviation, 0.88, of a standard normal that is cut off at -2 and 2."""


def _cut_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from a standard normal again and again until all numbers are between -2 and 2."""
    x = rng.standard_normal(shape)
    while (outside := np.abs(x) > 2).any():
        x[outside] = rng.standard_normal(np.count_nonzero(outside))
    return x


BY_NAME: dict[str, Initializer] = {
    "standard_normal": standard_normal,
    "small_normal": small_normal,
    "scaled_normal": scaled_normal,
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "truncated_normal": truncated_normal,
    "orthogonal": orthogonal,
    "zeros": zeros,
}


def initial_weight(
    initializer: str | Initializer,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    dtype: np.dtype[Any],
    name: str = "weight_init",
) -> Array:
    """Return the first values of a weight; `name` is the argument that errors are about.

    Raises: ValueError for an initializer that is unknown or returns another shape, or numbers that are not finite or
    too large for `dtype`.

    >>> initial_weight("zeros", (1, 2), np.random.default_rng(0), np.dtype(np.float32)).dtype
    dtype('float32')
    """
    weight = as_array(resolve(initializer, name)(shape, rng), name)
    if weight.shape != shape:
        raise ValueError(f"{name}: expected an array of shape {shape}, received {weight.shape}")
    check_finite(weight, name)
    return cast(weight, dtype, name)


def resolve(initializer: str | Initializer, name: str = "weight_init") -> Initializer:
    """Return the initializer of that name, or the callable itself.

    Raises: ValueError for a name that is not in `BY_NAME`.

    >>> resolve("he_normal") is he_normal
    True
    """
    if callable(initializer):
        return initializer
    if not isinstance(initializer, str) or initializer not in BY_NAME:
        names = ", ".join(BY_NAME)
        raise ValueError(f"{name}: expected a callable or one of {names}, received {shown(initializer)}")
    return BY_NAME[initializer]
