"""MeanSquaredError: the loss of a network that answers with a quantity."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.losses.loss import Loss


class MeanSquaredError(Loss):
    """The mean of the squared differences.

    Formula: `L = mean((p - t)^2)`, the mean over all N elements of the batch; `dL/dp = 2 (p - t) / N`.

    Shapes: prediction and target the same, usually (n, outputs).

    Raises: ValueError for shapes that differ, and numbers that are not finite.

    >>> loss, p, t = MeanSquaredError(), np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])
    >>> loss(p, t), loss.gradient(p, t).tolist()
    (2.0, [[0.0], [2.0]])
    """

    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean of the squared differences."""
        return float(np.square(prediction - target).sum(dtype=np.float64) / prediction.size)

    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `2 (p - t) / N`."""
        gradient: Array = (prediction - target) * (2 / prediction.size)
        return gradient
