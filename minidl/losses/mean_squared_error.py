"""MeanSquaredError: the loss of a network that answers with a quantity."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.losses.loss import Loss


class MeanSquaredError(Loss):
    """The mean of the squared differences.

    Formula: `L = mean((p - t)^2)`, the mean over all N elements of the batch; `dL/dp = 2 (p - t) / N`.

    Shapes: prediction and target the same, usually (n, outputs).

    Raises: ValueError for shapes that differ, numbers that are not finite, and numbers whose squares are too large for
    their dtype.

    >>> loss, p, t = MeanSquaredError(), np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])
    >>> loss(p, t), loss.gradient(p, t).tolist()
    (2.0, [[0.0], [2.0]])
    """

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean of the squared differences."""
        with np.errstate(over="ignore"):
            return float(self.values(prediction, target).sum(dtype=np.float64) / prediction.size)

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the squared differences."""
        with np.errstate(over="ignore"):  # an infinite loss is an answer, which callers look at
            squares: Array = np.square(prediction - target)
        return squares

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `2 (p - t) / N`."""
        self.check_shapes(prediction.shape, target)
        gradient: Array = (prediction - target) * (2 / prediction.size)
        return gradient
