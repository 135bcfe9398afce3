"""Metrics: numbers for people, over a whole set, that no gradient is taken of.

All take predictions and targets in the forms that the losses do. With one column, (n,) or (n, 1), a prediction is the
probability of class 1, and class 1 is meant where it is above the threshold, or where a target is above 0.5. With
several, (n, classes), the largest is meant; the targets are then class indices (n,) or (n, 1), or rows like the
predictions.

A ratio of 0 to 0 is not a number: `nan` says so, where 0 would look like a bad result and 1 like a good one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl.metrics.metric import Metric


class ConfusionCounts(NamedTuple):
    """How many samples are true positives, false positives, true negatives and false negatives."""

    tp: int
    fp: int
    tn: int
    fn: int


def accuracy(prediction: Any, target: Any, threshold: float = 0.5) -> float:
    """Return the share of samples that are classified right.

    Formula: `mean([p > threshold] == [t > 0.5])`, as the article predicts class 1 for p > 0.5; with several classes
    `mean(argmax_k p_k == t)`.

    Shapes: prediction and target (n,) or (n, 1); or prediction (n, classes) and target (n,), (n, 1) or (n, classes).

    Raises: ValueError for different numbers of samples, or none.

    >>> accuracy([[0.9], [0.2], [0.7], [0.4]], [1, 0, 0, 0])
    0.75
    >>> accuracy([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [1, 2])
    0.5
    """
    p, t = _classes(prediction, target, threshold)
    return float(np.mean(p == t))


def majority_baseline(target: Any) -> float:
    """Return the accuracy of always answering with the most frequent class.

    Formula: `max_k mean([t = k])`.

    Shapes: (n,) or (n, 1) of class indices or of probabilities of class 1; or (n, classes).

    Raises: ValueError for an empty target.

    >>> majority_baseline([1, 0, 0, 0])
    0.75
    >>> majority_baseline([0, 1, 2, 2, 2])
    0.6
    """
    t = _samples(target, "target")
    if t.ndim == 2:
        t = t.argmax(axis=1)
    elif not np.array_equal(t, np.rint(t)):  # probabilities
        t = t > 0.5
    _, counts = np.unique(t, return_counts=True)
    return float(counts.max() / len(t))


def confusion_counts(prediction: Any, target: Any, threshold: float = 0.5) -> ConfusionCounts:
    """Return how often class 1 was predicted and meant, for two classes.

    Shapes: prediction and target (n,) or (n, 1), or (n, 2).

    Raises: ValueError for different numbers of samples, or none, and for classes other than 0 and 1.

    >>> confusion_counts([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    ConfusionCounts(tp=1, fp=1, tn=2, fn=0)
    """
    p, t = _classes(prediction, target, threshold)
    classes = np.union1d(p, t)
    if not np.isin(classes, (0, 1)).all():
        raise ValueError(f"expected the two classes 0 and 1, received the classes {classes.tolist()}")
    p, t = p == 1, t == 1
    tp, predicted, meant = (int(np.count_nonzero(mask)) for mask in (p & t, p, t))
    return ConfusionCounts(tp, predicted - tp, len(t) - predicted - meant + tp, meant - tp)


def precision(prediction: Any, target: Any, threshold: float = 0.5) -> float:
    """Return the share of the samples predicted as class 1 that are of it.

    Formula: `tp / (tp + fp)`, nan where class 1 is never predicted.

    Shapes: as for `confusion_counts`.

    Raises: ValueError as `confusion_counts` does.

    >>> precision([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    0.5
    """
    counts = confusion_counts(prediction, target, threshold)
    return _ratio(counts.tp, counts.tp + counts.fp)


def recall(prediction: Any, target: Any, threshold: float = 0.5) -> float:
    """Return the share of the samples of class 1 that are predicted as such.

    Formula: `tp / (tp + fn)`, nan where no sample is of class 1.

    Shapes: as for `confusion_counts`.

    Raises: ValueError as `confusion_counts` does.

    >>> recall([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 1])
    0.5
    """
    counts = confusion_counts(prediction, target, threshold)
    return _ratio(counts.tp, counts.tp + counts.fn)


class F1(Metric):
    """The harmonic mean of precision and recall of class 1, over all batches together.

    Formula: `2 tp / (2 tp + fp + fn)`, nan where class 1 is neither predicted nor meant.

    Shapes: as for `confusion_counts`.

    >>> metric = F1()
    >>> metric.result(metric.measure([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 1]))
    0.5
    """

    higher_is_better = True

    def measure(self, prediction: Any, target: Any) -> Array:
        """Return the confusion counts of a batch."""
        return np.array(confusion_counts(prediction, target))

    def result(self, measured: Array) -> float:
        """Return F1 of the summed counts."""
        tp, fp, _, fn = (int(count) for count in measured)
        return _ratio(2 * tp, 2 * tp + fp + fn)


def balanced_accuracy(prediction: Any, target: Any, threshold: float = 0.5) -> float:
    """Return the accuracy as it were if all classes were equally frequent.

    Formula: the mean of each class's recall, `mean_k mean_{i: t_i = k} [p_i = k]`, over the classes that occur among
    the targets: a class without samples has no recall.

    Shapes: as for `accuracy`.

    Raises: ValueError for different numbers of samples, or none.

    >>> balanced_accuracy([0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0])
    0.5
    """
    p, t = _classes(prediction, target, threshold)
    return float(np.mean([np.mean(p[t == k] == k) for k in np.unique(t)]))


def _classes(prediction: Any, target: Any, threshold: float) -> tuple[Array, Array]:
    """Return the predicted and the meant class of each sample."""
    p, t = _samples(prediction, "prediction"), _samples(target, "target")
    if len(p) != len(t) or t.shape not in ((len(p),), p.shape):
        raise ValueError(
            "expected one prediction and one target a sample, "
            f"received shapes {np.shape(prediction)} and {np.shape(target)}"
        )
    if p.ndim == 1:
        return p > threshold, t > 0.5
    return p.argmax(axis=1), t if t.ndim == 1 else t.argmax(axis=1)


def _samples(values: Any, name: str) -> Array:
    """Return an array (n,), also for (n, 1), or (n, classes)."""
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name}: expected shape (n,) or (n, classes) with at least one sample, received {array.shape}"
        )
    return array[:, 0] if array.shape[1:] == (1,) else array


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
