"""Metrics: numbers for people, over a whole set, that no gradient is taken of.

All take predictions and targets as `minidl.metrics.classes` tells them apart: with one column, (n,) or (n, 1),
predictions are probabilities of class 1, class numbers, or, with a threshold given, any numbers; with several,
(n, classes), the largest is meant. Targets are class numbers, or probabilities like the predictions.

Errors of all: ValueError that names the argument for NaN and infinity, masked entries, other things than numbers, other
shapes, different numbers of samples or none, and numbers outside these domains, such as logits without a threshold.

A ratio of 0 to 0 is not a number: `nan` says so, where 0 would look like a bad result and 1 like a good one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import finite_number
from minidl.metrics.classes import meant, predicted_and_meant
from minidl.metrics.metric import Metric


class ConfusionCounts(NamedTuple):
    """How many samples are true positives, false positives, true negatives and false negatives."""

    tp: int
    fp: int
    tn: int
    fn: int


def accuracy(prediction: Any, target: Any, threshold: float | None = None) -> float:
    """Return the share of samples that are classified right.

    Formula: `mean([p > threshold] == [t > 0.5])`, as the article predicts class 1 for p > 0.5; for class numbers
    `mean(p == t)`, and with several columns `mean(argmax_k p_k == t)`.

    Shapes: prediction and target (n,) or (n, 1); or prediction (n, classes) and target (n,), (n, 1) or (n, classes).

    Arguments: `threshold` is 0.5 for probabilities; where it is given, one column may be any finite numbers.

    Raises: ValueError as all metrics.

    >>> accuracy([[0.9], [0.2], [0.7], [0.4]], [1, 0, 0, 0])
    0.75
    >>> accuracy([-3.0, 0.2, 4.0], [0, 1, 1], threshold=0.0)
    1.0
    >>> accuracy([0, 1, 2, 1], [0, 1, 2, 2])
    0.75
    >>> accuracy([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [1, 2])
    0.5
    """
    p, t = predicted_and_meant(prediction, target, threshold)
    return float(np.mean(p == t))


def majority_baseline(target: Any) -> float:
    """Return the accuracy of always answering with the most frequent class.

    Formula: `max_k mean([t = k])`.

    Shapes: (n,) or (n, 1) of class numbers or of probabilities of class 1; or (n, classes).

    Raises: ValueError as all metrics.

    >>> majority_baseline([1, 0, 0, 0])
    0.75
    >>> majority_baseline([0, 1, 2, 2, 2])
    0.6
    """
    t = meant(target)
    _, counts = np.unique(t, return_counts=True)
    return float(counts.max() / len(t))


def confusion_counts(prediction: Any, target: Any, threshold: float | None = None) -> ConfusionCounts:
    """Return how often class 1 was predicted and meant, for two classes.

    Shapes: prediction and target (n,) or (n, 1), or (n, 2).

    Arguments: `threshold` as for `accuracy`.

    Raises: ValueError as all metrics, and for classes other than 0 and 1.

    >>> confusion_counts([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    ConfusionCounts(tp=1, fp=1, tn=2, fn=0)
    """
    p, t = predicted_and_meant(prediction, target, threshold)
    columns = np.shape(prediction)[1:]
    classes = np.arange(*columns) if columns > (1,) else np.union1d(p, t)
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"expected the two classes 0 and 1, received the classes {classes.tolist()}")
    p, t = p == 1, t == 1
    tp, predicted, meant = (int(np.count_nonzero(mask)) for mask in (p & t, p, t))
    return ConfusionCounts(tp, predicted - tp, len(t) - predicted - meant + tp, meant - tp)


def precision(prediction: Any, target: Any, threshold: float | None = None) -> float:
    """Return the share of the samples predicted as class 1 that are of it.

    Formula: `tp / (tp + fp)`, nan where class 1 is never predicted.

    Shapes: as for `confusion_counts`.

    Arguments, Raises: as for `confusion_counts`.

    >>> precision([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    0.5
    """
    counts = confusion_counts(prediction, target, threshold)
    return _ratio(counts.tp, counts.tp + counts.fp)


def recall(prediction: Any, target: Any, threshold: float | None = None) -> float:
    """Return the share of the samples of class 1 that are predicted as such.

    Formula: `tp / (tp + fn)`, nan where no sample is of class 1.

    Shapes: as for `confusion_counts`.

    Arguments, Raises: as for `confusion_counts`.

    >>> recall([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 1])
    0.5
    """
    counts = confusion_counts(prediction, target, threshold)
    return _ratio(counts.tp, counts.tp + counts.fn)


class F1(Metric):
    """The harmonic mean of precision and recall of class 1, over all batches together.

    Formula: `2 tp / (2 tp + fp + fn)`, nan where class 1 is neither predicted nor meant.

    Shapes, Arguments, Raises: as for `confusion_counts`.

    >>> metric = F1()
    >>> metric.result(metric.measure([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 1]))
    0.5
    """

    higher_is_better = True

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = None if threshold is None else finite_number(threshold, "F1 threshold")

    def measure(self, prediction: Any, target: Any) -> Array:
        """Return the confusion counts of a batch."""
        return np.array(confusion_counts(prediction, target, self.threshold))

    def result(self, measured: Array) -> float:
        """Return F1 of the summed counts."""
        tp, fp, _, fn = (int(count) for count in measured)
        return _ratio(2 * tp, 2 * tp + fp + fn)


def balanced_accuracy(prediction: Any, target: Any, threshold: float | None = None) -> float:
    """Return the accuracy as it were if all classes were equally frequent.

    Formula: the mean of each class's recall, `mean_k mean_{i: t_i = k} [p_i = k]`, over the classes that occur among
    the targets: a class without samples has no recall.

    Shapes, Arguments: as for `accuracy`.

    Raises: ValueError as all metrics.

    >>> balanced_accuracy([0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0])
    0.5
    """
    p, t = predicted_and_meant(prediction, target, threshold)
    return float(np.mean([np.mean(p[t == k] == k) for k in np.unique(t)]))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
