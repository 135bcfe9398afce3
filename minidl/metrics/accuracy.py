"""Shares of right answers: accuracy, and whether the class that is meant is among the k that are largest."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import finite_number, positive_int
from minidl.metrics.classes import meant, meant_of_columns, paired_samples, predicted_and_meant
from minidl.metrics.metric import StreamingMetric
from minidl.metrics.weights import checked_weight, ratio, sums


class Accuracy(StreamingMetric):
    """The share of samples that are classified right.

    Formula, Shapes, Arguments, Raises: as for `accuracy`.

    >>> Accuracy()([[0.9], [0.2], [0.7], [0.4]], [1, 0, 0, 0])
    0.75
    """

    higher_is_better = True

    def __init__(self, threshold: float | None = None) -> None:
        self.threshold = None if threshold is None else finite_number(threshold, "Accuracy threshold")

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> Array:
        """Return the weight of the right answers, and of all."""
        p, t, _ = predicted_and_meant(prediction, target, self.threshold)
        return sums(p == t, checked_weight(weight, len(t)))

    def of_total(self, total: Array) -> float:
        """Return the share."""
        return float(ratio(total[0], total[1]))


class TopKAccuracy(StreamingMetric):
    """The share of samples whose class has one of the k largest predictions.

    Formula: `mean([number of classes before t_i < k])`, where a class stands before another if its prediction is
    larger, or equal and its number larger, as in scikit-learn.

    Shapes: prediction (n, classes), any finite numbers; target (n,), (n, 1) or (n, classes).

    Arguments: `k`, at most the number of classes.

    Raises: ValueError as all metrics.

    >>> TopKAccuracy(2)([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [2, 2])
    0.5
    """

    higher_is_better = True

    def __init__(self, k: int = 5) -> None:
        self.k = positive_int(k, "TopKAccuracy k")
        self.name = f"top_{self.k}_accuracy"

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> Array:
        """Return the weight of the samples whose class is among the k, and of all."""
        p, t = paired_samples(prediction, target)
        if p.ndim == 1 or p.shape[1] < self.k:
            raise ValueError(
                f"prediction: expected at least {max(2, self.k)} columns for {self.name}, received shape {p.shape}"
            )
        t = meant_of_columns(t, p.shape[1]).astype(np.intp)
        of_meant = np.take_along_axis(p, t[:, None], axis=1)
        later = np.arange(p.shape[1]) > t[:, None]
        before = np.count_nonzero((p > of_meant) | ((p == of_meant) & later), axis=1)
        return sums(before < self.k, checked_weight(weight, len(t)))

    def of_total(self, total: Array) -> float:
        """Return the share."""
        return float(ratio(total[0], total[1]))


def accuracy(prediction: Any, target: Any, threshold: float | None = None, sample_weight: Any = None) -> float:
    """Return the share of samples that are classified right.

    Formula: `mean([p > threshold] == [t > 0.5])`, as the article predicts class 1 for p > 0.5; for class numbers
    `mean(p == t)`, and with several columns `mean(argmax_k p_k == t)`.

    Shapes: prediction and target (n,) or (n, 1); or prediction (n, classes) and target (n,), (n, 1) or (n, classes).

    Arguments: `threshold` is 0.5 for probabilities; where it is given, one column may be any finite numbers.
    `sample_weight` (n,) or (n, 1) makes the means weighted ones.

    Raises: ValueError as all metrics.

    >>> accuracy([[0.9], [0.2], [0.7], [0.4]], [1, 0, 0, 0])
    0.75
    >>> accuracy([-3.0, 0.2, 4.0], [0, 1, 1], threshold=0.0)
    1.0
    >>> accuracy([0, 1, 2, 1], [0, 1, 2, 2])
    0.75
    >>> accuracy([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], [1, 2], sample_weight=[3, 1])
    0.75
    """
    return Accuracy(threshold)(prediction, target, sample_weight)


def majority_baseline(target: Any, sample_weight: Any = None) -> float:
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
    weight = checked_weight(sample_weight, len(t))
    _, numbers = np.unique(t, return_inverse=True)
    counts = np.bincount(numbers, weight)
    return float(ratio(counts.max(), counts.sum()))
