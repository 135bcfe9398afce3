"""Precision, recall, F1 and balanced accuracy of whole arrays, also of every class at once."""

from __future__ import annotations

from typing import Any, overload

from minidl._typing import Array
from minidl.metrics.ratios import F1, Average, BalancedAccuracy, OfClasses, Precision, Recall


@overload
def precision(
    prediction: Any, target: Any, threshold: float | None = ..., *, average: Average = ..., sample_weight: Any = ...
) -> float: ...
@overload
def precision(
    prediction: Any, target: Any, threshold: float | None = ..., *, average: None, sample_weight: Any = ...
) -> Array: ...
def precision(
    prediction: Any,
    target: Any,
    threshold: float | None = None,
    *,
    average: Average | None = "binary",
    sample_weight: Any = None,
) -> float | Array:
    """Return the share of the samples predicted as a class that are of it.

    Formula, Shapes: as for `Precision`.

    Arguments: `average` as for `Precision`, or None for an array (classes,) with the ratio of every class by its
    number. `sample_weight` (n,) or (n, 1) makes counts sums of weights.

    Raises: ValueError as all metrics, and with average="binary" for classes other than 0 and 1.

    >>> precision([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    0.5
    >>> precision([0, 1, 2, 2], [0, 0, 2, 2], average=None).tolist()
    [1.0, 0.0, 1.0]
    """
    return _of(Precision, prediction, target, threshold, average, sample_weight)


@overload
def recall(
    prediction: Any, target: Any, threshold: float | None = ..., *, average: Average = ..., sample_weight: Any = ...
) -> float: ...
@overload
def recall(
    prediction: Any, target: Any, threshold: float | None = ..., *, average: None, sample_weight: Any = ...
) -> Array: ...
def recall(
    prediction: Any,
    target: Any,
    threshold: float | None = None,
    *,
    average: Average | None = "binary",
    sample_weight: Any = None,
) -> float | Array:
    """Return the share of the samples of a class that are predicted as it.

    Formula, Shapes: as for `Recall`.

    Arguments: as for `precision`.

    Raises: ValueError as all metrics, and with average="binary" for classes other than 0 and 1.

    >>> recall([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 1])
    0.5
    """
    return _of(Recall, prediction, target, threshold, average, sample_weight)


@overload
def f1(
    prediction: Any, target: Any, threshold: float | None = ..., *, average: Average = ..., sample_weight: Any = ...
) -> float: ...
@overload
def f1(
    prediction: Any, target: Any, threshold: float | None = ..., *, average: None, sample_weight: Any = ...
) -> Array: ...
def f1(
    prediction: Any,
    target: Any,
    threshold: float | None = None,
    *,
    average: Average | None = "binary",
    sample_weight: Any = None,
) -> float | Array:
    """Return the harmonic mean of precision and recall of a class.

    Formula, Shapes: as for `F1`.

    Arguments: as for `precision`.

    Raises: ValueError as all metrics, and with average="binary" for classes other than 0 and 1.

    >>> f1([0, 1, 2, 2], [0, 0, 2, 2], average="micro")
    0.75
    """
    return _of(F1, prediction, target, threshold, average, sample_weight)


def balanced_accuracy(prediction: Any, target: Any, threshold: float | None = None, sample_weight: Any = None) -> float:
    """Return the accuracy as it were if all classes were equally frequent.

    Formula: the mean of each class's recall, `mean_k mean_{i: t_i = k} [p_i = k]`, over the classes that occur among
    the targets: a class without samples has no recall.

    Shapes, Arguments: as for `accuracy`.

    Raises: ValueError as all metrics.

    >>> balanced_accuracy([0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0])
    0.5
    """
    return BalancedAccuracy(threshold)(prediction, target, sample_weight)


def _of(
    kind: type[OfClasses], prediction: Any, target: Any, threshold: float | None, average: Average | None, weight: Any
) -> float | Array:
    if average is None:
        return kind(threshold, average="macro").per_class(prediction, target, weight)
    return kind(threshold, average=average)(prediction, target, weight)
