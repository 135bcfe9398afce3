"""Argument checks, whose errors all say what was required and what was received."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from minidl._tables import array_of_table, is_table
from minidl._typing import Array, Seed

FLOAT_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.float32), np.dtype(np.float64))
LARGEST_SIZE = 2**31 - 1


def _whole(expected: str, accepts: Callable[[int], bool]) -> Callable[[Any, str], int]:
    """Return a function (value, name) that returns an accepted value as an int and raises a ValueError for others."""

    def check(value: Any, name: str) -> int:
        if isinstance(value, Integral) and not isinstance(value, bool) and accepts(int(value)):
            return int(value)
        raise ValueError(f"{name}: expected {expected}, received {shown(value)}")

    return check


def _real(expected: str, accepts: Callable[[float], bool]) -> Callable[[Any, str], float]:
    """Return a function (value, name) that returns an accepted value as a float and raises a ValueError for others."""

    def check(value: Any, name: str) -> float:
        if isinstance(value, Real) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:  # a whole number that no float holds
                number = math.inf
            if accepts(number):
                return number
        raise ValueError(f"{name}: expected {expected}, received {shown(value)}")

    return check


whole_number = _whole("a whole number", lambda _: True)
non_negative_int = _whole("a whole number of at least 0", lambda n: n >= 0)
positive_int = _whole("a whole number of at least 1", lambda n: n >= 1)
finite_number = _real("a finite number", math.isfinite)
positive_number = _real("a finite number above 0", lambda x: 0 < x < math.inf)
non_negative_number = _real("a finite number of at least 0", lambda x: 0 <= x < math.inf)
fraction = _real("a number in [0, 1)", lambda x: 0 <= x < 1)
unit_number = _real("a number in [0, 1]", lambda x: 0 <= x <= 1)


def size(value: Any, name: str) -> int:
    """Return `value` as an int from 1 to the largest size of an array's axis."""
    number = positive_int(value, name)
    if number > LARGEST_SIZE:
        raise ValueError(f"{name}: expected at most {LARGEST_SIZE}, received {shown(value)}")
    return number


def shown(value: Any) -> str:
    """Return a value as it stands in an error: its `repr` in one line, the beginning of a long one."""
    text = ""
    for piece in _pieces(value):  # no more of them than are shown: there may be millions
        text += piece
        if len(text) > 100:
            return f"{text[:97]}..."
    return text


_BRACKETS: dict[type, str] = {list: "[]", tuple: "()", dict: "{}"}


def _pieces(value: Any) -> Iterator[str]:
    """Yield what a `repr` consists of."""
    kind = type(value)
    if kind not in _BRACKETS:
        try:
            yield " ".join(repr(value).split())
        except ValueError:  # Python shows no whole number of more than 4,300 digits
            yield f"{type(value).__name__} of too many digits to show"
        return
    yield _BRACKETS[kind][0]
    for i, item in enumerate(value.items() if kind is dict else value):
        yield ", " if i else ""
        if kind is dict:
            yield from _pieces(item[0])
            yield ": "
        yield from _pieces(item[1] if kind is dict else item)
    yield ",)" if kind is tuple and len(value) == 1 else _BRACKETS[kind][1]


def is_natural(value: Any) -> bool:
    """Return whether `value` is a whole number of at least 0."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0


def number_or_tuple(value: Any, check: Callable[[Any, str], float], name: str) -> float | tuple[float, ...]:
    """Return a number that `check` returns, or of a list or an array of numbers the tuple of what it returns."""
    if not isinstance(value, (list, tuple, np.ndarray)) or np.ndim(value) == 0:
        return check(value, name)
    if len(value) == 0:
        raise ValueError(f"{name}: expected a number or at least one of a list, received an empty list")
    return tuple(check(one, f"{name}[{i}]") for i, one in enumerate(value))


def flag(value: Any, name: str) -> bool:
    """Return `value` as a bool if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}: expected True or False, received {shown(value)}")
    return bool(value)


def float_dtype(dtype: Any, name: str = "dtype") -> np.dtype[Any]:
    """Return `dtype` as one of the two that networks compute in."""
    try:
        received = None if dtype is None else np.dtype(dtype)
    except (TypeError, ValueError):
        received = None
    for known in FLOAT_DTYPES:
        if received is not None and received == known:  # NumPy takes None for float64
            return known
    raise ValueError(f"{name}: expected float32 or float64, received {shown(dtype) if received is None else received}")


def within(dtype: np.dtype[Any], value: float, name: str, least: float = 0.0) -> float:
    """Return a number of at least `least` in size that arrays of this dtype hold."""
    most = float(np.finfo(dtype).max)
    if not least <= abs(value) <= most:
        problem = f"at most {most:.2g}" if abs(value) > most else f"at least {least:.2g}"
        word = "large" if abs(value) > most else "small"
        raise ValueError(f"{name}: expected {problem} in size, received {value:g}, too {word} for {dtype}")
    return value


def positive_within(dtype: np.dtype[Any], value: Any, name: str) -> float:
    """Return `value` as a float above 0 that is neither infinite nor 0 in this dtype."""
    return within(dtype, positive_number(value, name), name, least=float(np.finfo(dtype).tiny))


def as_generator(rng: Seed) -> np.random.Generator:
    """Return `rng` itself where it is a generator, else a new generator seeded with it."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is not None and (isinstance(rng, bool) or not isinstance(rng, Integral) or rng < 0):
        raise ValueError(f"rng: expected a seed of at least 0, a numpy Generator or None, received {shown(rng)}")
    return np.random.default_rng(rng)


def as_array(value: Any, name: str, hint_for_text: str = "") -> Array:
    """Return an array-like of real numbers as an array, an array as it is.

    Raises: ValueError for rows of different lengths, for objects and text, and for masked numbers, whose values are
    placeholders; a masked array without any is taken.
    """
    if is_table(value):
        return array_of_table(value, name)
    if _is_masked(value):
        raise ValueError(f"{name}: expected numbers without gaps, received a masked array; fill or drop what is masked")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        array = None
    if hint_for_text and array is not None and array.size and isinstance(first := array.item(0), str):
        kind = f"dtype {array.dtype}, first {shown(first)}"
        raise ValueError(f"{name}: expected numbers, received {kind}; {hint_for_text}")
    if array is None or array.dtype.kind == "O":
        raise ValueError(f"{name}: expected numbers in a rectangular array, received {shown(value)}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers, received dtype {array.dtype}")
    return array


def _is_masked(value: Any) -> bool:
    if type(value) in (np.ndarray, float, int):
        return False
    if isinstance(value, np.ndarray):
        return bool(np.any(getattr(value, "mask", False)))
    return isinstance(value, (list, tuple)) and any(map(_is_masked, value))


def cast(x: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Return `x` in another precision, itself where that is its own; infinities stay infinite.

    Raises: ValueError that names the largest of finite numbers too large for it.
    """
    if x.dtype == dtype:
        return x
    with np.errstate(over="raise", under="ignore", invalid="ignore"):
        try:
            return x.astype(dtype)
        except FloatingPointError:
            limit = np.finfo(dtype).max
    raise ValueError(
        f"{name}: expected numbers up to {limit:.3g} in size, received {largest_of(x):g}, too large for {dtype}"
    )


def largest_of(x: Array) -> float:
    """Return the size of the largest finite number of `x`, 0 where there is none."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0))


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
