"""How well predictions put samples in order: the area under the ROC curve, and average precision."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minidl._typing import Array
from minidl._validation import shown
from minidl.functional import log_softmax
from minidl.metrics.classes import are_probabilities, meant_of_columns, meant_of_two, paired_samples
from minidl.metrics.metric import CollectingMetric
from minidl.metrics.weights import checked_weight, mean_of_defined


class _Ranking(CollectingMetric):
    """What both share: a number for the order of the samples by each class, and its mean over the classes.

    Scores of one column, or of two, are those of class 1. Of more columns each class is taken against all others, and
    `average` over the classes for which that is defined is "macro", all alike, or "weighted", each as often as it is
    meant. Columns that are no probabilities are logits, whose logarithms of probabilities have the same order.
    """

    higher_is_better = True

    def __init__(self, average: Literal["macro", "weighted"] = "macro") -> None:
        if average not in ("macro", "weighted"):
            raise ValueError(f"{type(self).__name__} average: expected macro or weighted, received {shown(average)}")
        self.average = average

    def of_ties(self, positive: Array, negative: Array) -> float:
        """Return the number for positive and negative weights of each score, the largest score first."""
        raise NotImplementedError

    def measure(self, prediction: Any, target: Any, weight: Any = None) -> tuple[list[Any], ...]:
        """Return copies of the scores, the targets and the weights; what they hold is checked at the end."""
        batch = (prediction, target) if weight is None else (prediction, target, weight)
        if not all(type(array) is np.ndarray and array.ndim for array in batch) or len({*map(len, batch)}) > 1:
            prediction, target = paired_samples(prediction, target)
            weight = checked_weight(weight, len(target))
        return super().measure(prediction, target, weight)

    def of_all(self, prediction: Array, target: Array, weight: Array | None) -> float:
        """Return the number for a whole set."""
        prediction, target = paired_samples(prediction, target)
        weight = checked_weight(weight, len(target))
        meant = _meant(prediction, target)
        weight = np.ones(len(meant)) if weight is None else weight
        if prediction.ndim == 1:
            return self._of_scores(prediction, meant, weight)
        if prediction.dtype.kind != "f" or prediction.dtype.itemsize < 8:
            prediction = prediction.astype(np.float64)
        is_logits = not are_probabilities(prediction)
        if prediction.shape[1] == 2:
            scores = prediction[:, 1] / 2 - prediction[:, 0] / 2 if is_logits else prediction[:, 1]
            return self._of_scores(scores, meant == 1, weight)
        if is_logits:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                prediction = log_softmax(prediction)
        classes = range(prediction.shape[1])
        values = [self._of_scores(prediction[:, k], meant == k, weight) for k in classes]
        weights = np.array([weight[meant == k].sum() for k in classes])
        return mean_of_defined(np.array(values), weights if self.average == "weighted" else None)

    def _of_scores(self, scores: Array, positive: Array, weight: Array) -> float:
        """Return the number for scores, nan where all samples with a weight are of one kind."""
        counted = weight > 0
        scores, positive, weight = scores[counted], positive[counted], weight[counted]
        _, ties = np.unique(scores, return_inverse=True)
        of_positive = np.bincount(ties, np.where(positive, weight, 0.0))[::-1]
        of_negative = np.bincount(ties, np.where(positive, 0.0, weight))[::-1]
        with np.errstate(under="ignore"):
            return self.of_ties(of_positive, of_negative)


def _meant(p: Array, t: Array) -> Array:
    return meant_of_two(t) if p.ndim == 1 else meant_of_columns(t, p.shape[1])


class RocAuc(_Ranking):
    """The probability that a sample of the class has a larger score than one that is not of it.

    Formula: `mean_{i of it, j not} [s_i > s_j] + [s_i = s_j] / 2`, the area under the curve of true over false
    positives; nan where all samples are of the class, or none.

    Shapes: prediction (n,) or (n, 1), any finite numbers, probabilities or logits; or (n, classes); target as for
    `accuracy`.

    Arguments: `average` over more than two columns is "macro", the mean over the classes for which it is defined, each
    against all others, or "weighted", the same with each class as often as it is meant.

    Raises: ValueError as all metrics.

    >>> RocAuc()([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """

    def of_ties(self, positive: Array, negative: Array) -> float:
        """Return the area."""
        if not positive.any() or not negative.any():
            return float("nan")
        positive, negative = positive / positive.sum(), negative / negative.sum()
        below = negative[::-1].cumsum()[::-1] - negative / 2
        return min(1.0, max(0.0, float((positive * below).sum())))


class AveragePrecision(_Ranking):
    """The mean of the precision at each score, weighted by the recall that is gained there.

    Formula: `sum_k (R_k - R_{k-1}) P_k` over the different scores, the largest first, with the precision `P_k` and the
    recall `R_k` where all from this score on are predicted as the class; nan where no sample is of it.

    Shapes, Arguments, Raises: as for `RocAuc`.

    >>> round(AveragePrecision()([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
    0.8333
    """

    def of_ties(self, positive: Array, negative: Array) -> float:
        """Return the mean."""
        if not positive.any():
            return float("nan")
        found = positive.cumsum()
        precision = found / (found + negative.cumsum())
        return min(1.0, float((positive / positive.sum() * precision).sum()))
