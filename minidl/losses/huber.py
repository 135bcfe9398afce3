"""Huber: squared error for small differences, absolute error for large ones."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import positive_number, positive_within
from minidl.losses.loss import Loss


class Huber(Loss):
    """The mean of half the squared differences up to `delta`, which grows evenly beyond.

    Formula, with the difference `d = p - t` and `c = max(-delta, min(d, delta))`, the mean over all N elements:

        L = mean(c (d - c / 2))                          dL/dp = c / N

    which is `d^2 / 2` for |d| up to `delta` and `delta (|d| - delta / 2)` beyond.

    Shapes: prediction and target the same, usually (n, outputs).

    Arguments: `delta` above 0, in the unit of the targets.

    Raises: ValueError for shapes that differ, numbers that are not finite, numbers whose loss is too large for their
    dtype, and a `delta` that is not a finite number above 0, or that the dtype of the predictions does not hold.

    Source: Huber, Robust estimation of a location parameter (1964), in the form of `torch.nn.HuberLoss`.

    >>> loss, p, t = Huber(delta=1.0), np.array([[1.5], [5.0]]), np.array([[1.0], [2.0]])
    >>> loss(p, t), loss.gradient(p, t).tolist()
    (1.3125, [[0.25], [0.5]])
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = positive_number(delta, "Huber delta")

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean of the losses of all differences."""
        with np.errstate(over="ignore"):  # an infinite loss is an answer, which callers look at
            return float(self.values(prediction, target).sum(dtype=np.float64) / prediction.size)

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the losses of all differences."""
        difference = prediction - target
        clipped = self._clipped(difference)
        losses: Array = clipped * (difference - clipped / 2)
        return losses

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return the differences, within `delta`, over N."""
        self.check_shapes(prediction.shape, target)
        with np.errstate(over="ignore"):  # an infinite difference is clipped
            gradient: Array = self._clipped(prediction - target) / prediction.size
        return gradient

    def _clipped(self, difference: Array) -> Array:
        delta = positive_within(difference.dtype, self.delta, "Huber delta")
        clipped: Array = np.clip(difference, -delta, delta)
        return clipped

    def __repr__(self) -> str:
        return f"Huber(delta={self.delta!r})"
