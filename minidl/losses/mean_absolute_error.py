"""MeanAbsoluteError: the loss of a network that answers with a quantity, on which single far values weigh little."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.losses.loss import Loss


class MeanAbsoluteError(Loss):
    """The mean of the absolute differences, known as L1; its best constant answer is the median.

    Formula: `L = mean(|p - t|)`, the mean over all N elements of the batch; `dL/dp = sign(p - t) / N`, which is 0 at
    the kink `p = t`.

    Shapes: prediction and target the same, usually (n, outputs).

    Raises: ValueError for shapes that differ, numbers that are not finite, and numbers whose difference is too large
    for their dtype.

    >>> loss, p, t = MeanAbsoluteError(), np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])
    >>> loss(p, t), loss.gradient(p, t).tolist()
    (1.0, [[0.0], [0.5]])
    """

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean of the absolute differences."""
        with np.errstate(over="ignore"):  # an infinite loss is an answer, which callers look at
            return float(self.values(prediction, target).sum(dtype=np.float64) / prediction.size)

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the absolute differences."""
        differences: Array = np.abs(prediction - target)
        return differences

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `sign(p - t) / N`."""
        self.check_shapes(prediction.shape, target)
        with np.errstate(over="ignore"):  # an infinite difference has a sign
            gradient: Array = np.sign(prediction - target) / prediction.size
        return gradient

    def baseline_loss(self, target: Array) -> float | None:
        """Return the mean distance of the targets from their median, that of each output by itself."""
        target = np.asarray(target, dtype=np.float64)
        with np.errstate(over="ignore"):
            loss = float(np.abs(target - np.median(target, axis=0)).mean())
        return loss if 0 < loss < np.inf else None
