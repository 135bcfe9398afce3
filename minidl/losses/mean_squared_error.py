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

    >>> loss = MeanSquaredError()
    >>> loss([[1.0], [4.0]], [[1.0], [2.0]]), loss.backward().tolist()
    (2.0, [[0.0], [2.0]])
    """

    @property
    def accepts_any_number(self) -> bool:
        """Predictions are any numbers."""
        return True

    def forward(self, prediction: Array, target: Array) -> float:
        """Return the mean of the squared differences."""
        difference = prediction - target
        self._saved = (difference,)
        return float(np.square(difference).sum(dtype=np.float64) / difference.size)

    def _gradient(self, *saved: Array) -> Array:
        (difference,) = saved
        gradient: Array = difference * (2 / difference.size)
        return gradient
