"""Which classes are taken for which: the confusion matrix, and its four numbers for two classes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import positive_int
from minidl.metrics.classes import predicted_and_meant
from minidl.metrics.counts import ClassCounts
from minidl.metrics.ratios import check_two_classes
from minidl.metrics.weights import checked_weight


class ConfusionCounts(NamedTuple):
    """How many samples are true positives, false positives, true negatives and false negatives, or their weights."""

    tp: float
    fp: float
    tn: float
    fn: float


def confusion_counts(
    prediction: Any, target: Any, threshold: float | None = None, sample_weight: Any = None
) -> ConfusionCounts:
    """Return how often class 1 was predicted and meant, for two classes, as whole numbers without weights.

    Shapes: prediction and target (n,) or (n, 1), or (n, 2).

    Arguments: `threshold` and `sample_weight` as for `accuracy`.

    Raises: ValueError as all metrics, and for classes other than 0 and 1.

    >>> confusion_counts([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    ConfusionCounts(tp=1, fp=1, tn=2, fn=0)
    """
    answers = predicted_and_meant(prediction, target, threshold)
    check_two_classes(ClassCounts.of(answers, None).classes)
    (tn, fp), (fn, tp) = _matrix(answers.predicted, answers.meant, 2, sample_weight).tolist()
    return ConfusionCounts(tp, fp, tn, fn)


def confusion_matrix(
    prediction: Any,
    target: Any,
    classes: int | None = None,
    threshold: float | None = None,
    sample_weight: Any = None,
) -> Array:
    """Return how often each class was predicted where each was meant.

    Formula: `matrix[i, j] = sum_n [t_n = i] [p_n = j]`, whole numbers without weights.

    Shapes: prediction and target as for `accuracy`; the matrix is (classes, classes).

    Arguments: `classes` is their number, without it that of the columns of the predictions, or one more than the
    largest class number that occurs. `threshold` and `sample_weight` as for `accuracy`.

    Raises: ValueError as all metrics, and for class numbers that are not below `classes`.

    >>> confusion_matrix([0, 1, 2, 1], [0, 1, 2, 2]).tolist()
    [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    """
    p, t, known = predicted_and_meant(prediction, target, threshold)
    largest = int(max(p.max(), t.max()))
    if classes is None:
        classes = largest + 1 if known is None else known
    elif largest >= positive_int(classes, "classes"):
        raise ValueError(f"classes: expected more than the largest class number {largest}, received {classes}")
    return _matrix(p, t, classes, sample_weight)


def _matrix(p: Array, t: Array, classes: int, sample_weight: Any) -> Array:
    cells = t.astype(np.intp) * classes + p.astype(np.intp)
    counts = np.bincount(cells, checked_weight(sample_weight, len(t)), classes * classes)
    return counts.reshape(classes, classes)
