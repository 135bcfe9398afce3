"""Argument checks, whose errors all say what was required and what was received."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from minidl._typing import Array, Seed


def positive_int(value: Any, name: str) -> int:
    """Return `value` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1, received {value!r}")
    return int(value)


def is_natural(value: Any) -> bool:
    """Return whether `value` is a whole number of at least 0."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= 0


def positive_number(value: Any, name: str) -> float:
    """Return `value` as a finite float above 0."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name}: expected a finite number above 0, received {value!r}")
    return float(value)


def non_negative_number(value: Any, name: str) -> float:
    """Return `value` as a finite float of at least 0."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name}: expected a finite number of at least 0, received {value!r}")
    return float(value)


def fraction(value: Any, name: str) -> float:
    """Return `value` as a float from 0 to below 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise ValueError(f"{name}: expected a number in [0, 1), received {value!r}")
    return float(value)


def finite_number(value: Any, name: str) -> float:
    """Return `value` as a finite float."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, received {value!r}")
    return float(value)


def unit_number(value: Any, name: str) -> float:
    """Return `value` as a float in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"{name}: expected a number in [0, 1], received {value!r}")
    return float(value)


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as one of the two that networks compute in."""
    result: np.dtype[Any] = np.dtype(dtype)
    if result not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected float32 or float64, received {result}")
    return result


def as_generator(rng: Seed) -> np.random.Generator:
    """Return `rng` itself where it is a generator, else a new generator seeded with it."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None and (isinstance(rng, bool) or not isinstance(rng, Integral) or rng < 0):
        raise ValueError(f"rng: expected a seed of at least 0, a numpy Generator or None, received {rng!r}")
    return np.random.default_rng(rng)


def is_finite(x: Array) -> bool:
    """Return whether every number of `x` is finite, without a temporary of its size."""
    if x.dtype.kind != "f" or x.size == 0:
        return True
    return math.isfinite(x.min()) and math.isfinite(x.max())


def check_finite(x: Array, name: str, rows: Sequence[int] | Array | None = None) -> None:
    """Raise a ValueError that names the first row of `x` with NaN or infinity, by its number in `rows` if given."""
    if is_finite(x):
        return
    row = next(i for i in range(len(x)) if not is_finite(x[i : i + 1]))
    row = row if rows is None else rows[row]
    raise ValueError(f"{name}: expected finite numbers, received NaN or infinity, first in row {row}")
