"""The class that each prediction and each target stands for, and what is refused because it stands for none.

One column, (n,) or (n, 1), of predictions is read by its numbers:

- all in [0, 1]: probabilities of class 1, which is predicted above the threshold 0.5;
- whole numbers from 0, some above 1: class numbers. Those of an integer dtype beside targets above 1 are, too;
- with a threshold given: any finite numbers, such as logits with the threshold 0. Class 1 is predicted above it.

The targets beside probabilities are numbers in [0, 1], class 1 above 0.5; beside class numbers they are class numbers.

Several columns, (n, classes), of predictions are any finite numbers, the largest is predicted. The targets are class
numbers (n,) or (n, 1) below the number of columns, or rows of probabilities like the predictions, the largest is meant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import check_finite, finite_number

THRESHOLD = 0.5
SUM_TOLERANCE = 1e-3  # float32 rounding of a thousand probabilities, and far less than any mistake


class Answers(NamedTuple):
    """The predicted and the meant class of each sample, both (n,).

    `classes` is how many there are, 0 to `classes - 1`; None beside class numbers, which say only which ones occur.
    """

    predicted: Array
    meant: Array
    classes: int | None


def predicted_and_meant(prediction: Any, target: Any, threshold: float | None) -> Answers:
    """Return the predicted and the meant class of each sample.

    Raises: ValueError that names the argument, for anything else than these.
    """
    p, t = paired_samples(prediction, target)
    if threshold is not None:
        threshold = finite_number(threshold, "threshold")
    if p.ndim == 2:
        if threshold is not None:
            raise ValueError(f"threshold: expected none for {p.shape[1]} columns of predictions, received {threshold}")
        return Answers(p.argmax(axis=1), meant_of_columns(t, p.shape[1]), p.shape[1])
    if threshold is None and not in_unit_interval(p):
        _check_class_numbers(p, "prediction", "probabilities in [0, 1] or class numbers", LOGITS)
        _check_class_numbers(t, "target", "class numbers, as the predictions are")
        return Answers(p, t, None)
    if threshold is None and p.dtype.kind in "iu" and _are_class_numbers(t):
        return Answers(p, t, None)  # 0 and 1 alone among the predictions, although there may be more classes
    return Answers(_above(p, THRESHOLD if threshold is None else threshold), meant_of_two(t), 2)


def paired_samples(prediction: Any, target: Any) -> tuple[Array, Array]:
    """Return finite numbers (n,) or (n, classes) and the targets beside them, (n,) or of the same shape.

    Raises: ValueError that names the argument, for anything else than these.
    """
    p, t = _samples(prediction, "prediction"), _samples(target, "target")
    if len(p) != len(t) or t.shape not in ((len(p),), p.shape):
        raise ValueError(
            "expected one prediction and one target a sample, "
            f"received shapes {np.shape(prediction)} and {np.shape(target)}"
        )
    return p, t


def meant(target: Any) -> Array:
    """Return the meant class (n,) of each sample where no prediction stands beside it.

    Raises: ValueError for what is neither class numbers nor probabilities.
    """
    t = _samples(target, "target")
    if t.ndim == 2:
        return meant_of_columns(t, t.shape[1])
    if in_unit_interval(t):
        return _above(t, THRESHOLD)
    _check_class_numbers(t, "target", "class numbers, or probabilities in [0, 1]")
    return t


LOGITS = "; for logits pass threshold=0.0, or make probabilities of them by sigmoid or softmax first"


def _samples(values: Any, name: str) -> Array:
    """Return finite numbers in an array (n,), also for (n, 1), or (n, classes)."""
    rows = values if isinstance(values, (list, tuple)) else ()
    if np.ma.is_masked(values) or any(np.ma.is_masked(row) for row in rows):  # np.asarray would drop the mask
        raise ValueError(f"{name}: expected numbers for all samples, received a mask over some; leave those out")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name}: expected shape (n,) or (n, classes), received rows that differ: {error}") from error
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name}: expected shape (n,) or (n, classes) with at least one sample, received {array.shape}"
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers, received dtype {array.dtype}")
    check_finite(array, name)
    return array[:, 0] if array.shape[1:] == (1,) else array


def meant_of_two(t: Array) -> Array:
    """Return whether class 1 is meant, (n,), by targets (n,) beside one column of predictions.

    Raises: ValueError for targets outside [0, 1].
    """
    check_of_two(t)
    return _above(t, THRESHOLD)


def check_of_two(t: Array) -> None:
    """Raise a ValueError for targets that do not belong beside one column of predictions of class 1."""
    if not in_unit_interval(t):
        raise ValueError(
            "target: expected classes 0 and 1, or probabilities in [0, 1], beside one column of probabilities, "
            f"received values {_range(t)}; for more classes predict one column for each, or class numbers as integers"
        )


def meant_of_columns(t: Array, classes: int) -> Array:
    """Return the meant class (n,) by targets (n,) or (n, classes) beside several columns of predictions.

    Raises: ValueError for anything but class numbers below `classes` or rows of probabilities.
    """
    if t.ndim == 1:
        _check_class_numbers(t, "target", "class numbers")
        if t.max() >= classes:
            raise ValueError(
                f"target: expected class numbers below {classes}, the number of columns, received {t.max()}"
            )
        return t
    check_probabilities(t, "target", ", such as one 1 and else 0")
    largest: Array = t.argmax(axis=1)
    return largest


def are_probabilities(rows: Array) -> bool:
    """Return whether all rows (n, classes) are probabilities, as logits are not."""
    return in_unit_interval(rows) and bool((np.abs(_row_sums(rows) - 1) <= SUM_TOLERANCE).all())


def check_probabilities(rows: Array, name: str, hint: str = "") -> None:
    """Raise a ValueError for rows (n, classes) that are not probabilities."""
    if not are_probabilities(rows):
        sums = _row_sums(rows)
        row = int((np.abs(sums - 1) > SUM_TOLERANCE).argmax())
        raise ValueError(
            f"{name}: expected rows of probabilities in [0, 1] that sum to 1{hint}, "
            f"received values {_range(rows)} and a sum of {sums[row]:g} in row {row}"
        )


def _row_sums(rows: Array) -> Array:
    with np.errstate(over="ignore"):
        sums: Array = rows.sum(axis=1, dtype=np.float64)
    return sums


def _above(values: Array, threshold: float) -> Array:
    with np.errstate(over="ignore"):  # a threshold beyond the range of float32 numbers is infinite beside them
        result: Array = values > threshold
    return result


def in_unit_interval(values: Array) -> bool:
    """Return whether all numbers could be probabilities."""
    return bool(values.min() >= 0 and values.max() <= 1)


def _are_class_numbers(values: Array) -> bool:
    return bool(values.min() >= 0) and (values.dtype.kind != "f" or np.array_equal(values, np.rint(values)))


def _check_class_numbers(values: Array, name: str, what: str, hint: str = "") -> None:
    if not _are_class_numbers(values):
        raise ValueError(f"{name}: expected {what}, whole from 0, received values {_range(values)}{hint}")


def _range(values: Array) -> str:
    return f"from {values.min()} to {values.max()}"
