"""Weights of samples, as metrics take them, and ratios of weighted sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, check_finite

LARGEST_WEIGHT = 1e100  # the sum of any number of them is finite


def checked_weight(weight: Any, samples: int) -> Array | None:
    """Return a weight for each sample as float64 (n,), None for None, which stands for equal weights.

    Raises: ValueError for other shapes, and for what is no number from 0 to 1e100.

    >>> checked_weight([1, 0.5], samples=2).tolist()
    [1.0, 0.5]
    """
    if weight is None:
        return None
    weight = as_array(weight, "sample_weight")
    if weight.shape not in ((samples,), (samples, 1)):
        raise ValueError(
            f"sample_weight: expected one number for each of {samples} samples, received shape {weight.shape}"
        )
    check_finite(weight, "sample_weight")
    if not 0 <= weight.min() <= weight.max() <= LARGEST_WEIGHT:
        raise ValueError(
            f"sample_weight: expected numbers from 0 to {LARGEST_WEIGHT:g}, "
            f"received values from {weight.min()} to {weight.max()}"
        )
    return np.asarray(weight, dtype=np.float64).ravel()


def sums(values: Array, weight: Array | None) -> Array:
    """Return the weighted sum of values (n,), and that of the weights; whole numbers for bools without weights.

    Raises: ValueError for values whose sum is not finite.

    >>> sums(np.array([True, False, True]), None).tolist()
    [2, 3]
    """
    if weight is None:
        found = np.array([values.sum(), len(values)])
    else:
        with np.errstate(under="ignore", over="ignore"):
            found = np.array([(values * weight).sum(), weight.sum()])
    return finite_sums(found)


def finite_sums(found: Array) -> Array:
    """Return sums as they are.

    Raises: ValueError where finite numbers have become infinite on the way.
    """
    if not np.isfinite(found).all():
        raise ValueError("prediction and target: expected numbers whose sums are finite, received too large ones")
    return found


def ratio(part: Any, whole: Any) -> Array:
    """Return `part / whole`, nan for 0 / 0.

    >>> ratio([1, 0], [2, 0]).tolist()
    [0.5, nan]
    """
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    with np.errstate(under="ignore"):
        quotient: Array = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return quotient


def mean_of_defined(values: Array, weight: Array | None = None) -> float:
    """Return the mean of those of the values (k,) that are numbers, nan where there are none.

    Numbers that have no weight at all have their plain mean.

    >>> mean_of_defined(np.array([1.0, np.nan, 0.0]), np.array([3, 5, 1]))
    0.75
    """
    defined = ~np.isnan(values)
    if not defined.any():
        return float("nan")
    values = values[defined]
    if weight is None or not weight[defined].any():
        return float(values.mean())
    shares = weight[defined] / weight[defined].max()
    with np.errstate(under="ignore"):
        return float((values * shares).sum() / shares.sum())
