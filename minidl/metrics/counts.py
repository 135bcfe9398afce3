"""How often each class was predicted and meant, and how often rightly: what the metrics of classes are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minidl._typing import Array
from minidl.metrics.classes import Answers
from minidl.metrics.weights import mean_of_defined, ratio


class ClassCounts(NamedTuple):
    """For each class of `classes` (k,), three sums of the weights of samples in `counts` (3, k).

    These are of the samples that are rightly predicted as the class, of all that are predicted as it, and of all that
    are of it. A class that stands in none of the samples may be missing.
    """

    classes: Array
    counts: Array

    @classmethod
    def of(cls, answers: Answers, weight: Array | None) -> ClassCounts:
        """Return the counts of a batch, whole numbers without weights.

        All sums add the same samples in the same order, so that no part of a sum is rounded to more than the whole.
        """
        p, t = answers.predicted, answers.meant
        if answers.classes is None:
            classes, numbers = np.unique(np.concatenate([p, t]), return_inverse=True)
            p, t = numbers[: len(p)], numbers[len(p) :]
        else:
            classes, p, t = np.arange(answers.classes), p.astype(np.intp), t.astype(np.intp)
        right, size = p == t, len(classes)
        if weight is None:
            rows = np.bincount(t[right], minlength=size), np.bincount(p, minlength=size), np.bincount(t, minlength=size)
        else:
            rows = (
                np.bincount(t, np.where(right, weight, 0.0), size),
                np.bincount(p, weight, size),
                np.bincount(t, weight, size),
            )
        return cls(classes, np.array(rows))

    def merged(self, other: ClassCounts) -> ClassCounts:
        """Return the counts of two batches together."""
        if np.array_equal(self.classes, other.classes):
            return ClassCounts(self.classes, self.counts + other.counts)
        classes = np.union1d(self.classes, other.classes)
        counts = np.zeros((3, len(classes)), np.result_type(self.counts, other.counts))
        for part in (self, other):
            counts[:, np.searchsorted(classes, part.classes)] += part.counts
        return ClassCounts(classes, counts)

    def of_class(self, number: int) -> Array:
        """Return the three sums (3, 1) of a class, zeros for one that is missing."""
        place = int(np.searchsorted(self.classes, number))
        if place < len(self.classes) and self.classes[place] == number:
            return self.counts[:, place : place + 1]
        return np.zeros((3, 1))

    def by_number(self) -> Array:
        """Return the sums (3, largest class number + 1) of every class from 0."""
        counts = np.zeros((3, int(self.classes[-1]) + 1), self.counts.dtype)
        counts[:, self.classes.astype(np.intp)] = self.counts
        return counts


def precisions(counts: Array) -> Array:
    """Return for each class the share of the samples predicted as it that are of it.

    >>> precisions(np.array([[1, 0], [2, 0], [1, 3]])).tolist()
    [0.5, nan]
    """
    return ratio(counts[0], counts[1])


def recalls(counts: Array) -> Array:
    """Return for each class the share of the samples of it that are predicted as it.

    >>> recalls(np.array([[1, 0], [2, 0], [1, 3]])).tolist()
    [1.0, 0.0]
    """
    return ratio(counts[0], counts[2])


def f1s(counts: Array) -> Array:
    """Return for each class the harmonic mean of precision and recall.

    >>> f1s(np.array([[1, 0], [2, 0], [1, 3]])).round(3).tolist()
    [0.667, 0.0]
    """
    return ratio(2 * counts[0], counts[1] + counts[2])


def averaged(values: Array, counts: Array, average: str) -> float:
    """Return the mean of a ratio over the classes for which it is defined.

    Arguments: `average` is "macro", all classes alike, or "weighted", each as often as it is meant.

    >>> averaged(np.array([1.0, 0.0, np.nan]), np.array([[3, 0, 0], [3, 1, 0], [3, 1, 2]]), "weighted")
    0.75
    """
    return mean_of_defined(values, counts[2] if average == "weighted" else None)
