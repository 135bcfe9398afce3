"""Distributions over classes: rows of logits or of probabilities, and what they must keep."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.losses.loss import check_unit_interval

SUM_TOLERANCE = 1e-3  # float32 rounding of a thousand probabilities, and far less than any mistake


def exponentials(z: Array) -> tuple[Array, Array, Array, Array]:
    """Return `z - max z`, its exponentials with 0 for the largest, their sum, and the class of the largest.

    >>> exponentials(np.array([[3.0, 3.0]]))[1].tolist()
    [[0.0, 1.0]]
    """
    rows, largest = np.arange(len(z)), z.argmax(axis=1)
    with np.errstate(over="ignore"):  # exp(-infinity) is the right 0
        shifted: Array = z - z[rows, largest][:, None]
    e = np.exp(shifted)
    e[rows, largest] = 0
    return shifted, e, e.sum(axis=1), largest


def distances(z: Array, u: Array) -> Array:
    """Return the sum of `u_k (max z - z_k)` for each row, in float64, where u = 0 makes 0 of infinity.

    >>> distances(np.array([[2.0, -np.inf, 1.0]]), np.array([[0.5, 0.0, 0.5]])).tolist()
    [0.5]
    """
    if np.isneginf(z[u > 0]).any():
        raise ValueError(
            "SoftmaxCrossEntropy: expected a target of probability 0, and no label_smoothing, for classes whose logit "
            "is -inf"
        )
    z = z.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        products = np.multiply(u, z.max(axis=1, keepdims=True) - z, out=np.zeros_like(z), where=u > 0)
    total: Array = products.sum(axis=1)
    return total


def with_zeros(rows: Array, counted: Array | None) -> Array:
    """Return rows with rows of 0 between them, where `counted` is False; the rows themselves for None.

    >>> with_zeros(np.array([2.0, 3.0]), np.array([True, False, True])).tolist()
    [2.0, 0.0, 3.0]
    """
    if counted is None:
        return rows
    all_rows = np.zeros((len(counted), *rows.shape[1:]), rows.dtype)
    all_rows[counted] = rows
    return all_rows


def check_distributions(values: Array, name: str, hint: str = "") -> None:
    """Raise a ValueError for numbers outside [0, 1], and for rows along the last axis that do not sum to 1."""
    check_unit_interval(values, name, "probabilities", hint)
    sums = values.sum(axis=-1, dtype=np.float64)
    wrong = np.abs(sums - 1) > SUM_TOLERANCE
    if wrong.any():
        row = int(np.unravel_index(wrong.argmax(), wrong.shape)[0])
        raise ValueError(
            f"{name}: expected rows that sum to 1, received a sum of {sums[wrong][0]:g} in row {row}{hint}"
        )


def check_logits(values: Array, name: str) -> None:
    """Raise a ValueError for rows along the last axis with NaN or infinity, or with nothing but -inf."""
    largest = values.max(axis=-1)  # NaN among them, where one of the row is
    if not is_finite(largest):
        row = np.unravel_index(np.isfinite(largest).argmin(), largest.shape)
        raise ValueError(
            f"{name}: expected finite logits, or -inf for some of the classes, received {largest[row]} as the largest "
            f"in row {row[0]}"
        )
