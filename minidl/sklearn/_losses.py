"""Losses that are a sum over the outputs of a sample, as scikit-learn's are, so that `alpha` weighs as much there."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.losses import BinaryCrossEntropy, Loss


class HalfSquaredError(Loss):
    """Half the squared error of a sample, summed over its outputs, in the mean over the batch.

    Formula: `L = sum((p - t)^2) / 2n`; `dL/dp = (p - t) / n`.

    Shapes: prediction and target (n, outputs).

    >>> loss, p, t = HalfSquaredError(), np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]])
    >>> loss(p, t), loss.gradient(p, t).tolist()
    (2.0, [[0.0, 2.0]])
    """

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean over the batch."""
        with np.errstate(over="ignore"):
            return float(self.values(prediction, target).sum(dtype=np.float64) / len(prediction))

    def values(self, prediction: Array, target: Array) -> Array:
        """Return half the squared error of each sample."""
        with np.errstate(over="ignore"):  # an infinite loss is an answer, which callers look at
            difference = prediction - target
            halves: Array = 0.5 * np.einsum("no,no->n", difference, difference)
        return halves

    def values_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape without the outputs."""
        return shape[:1]

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `(p - t) / n`."""
        self.check_shapes(prediction.shape, target)
        gradient: Array = (prediction - target) / len(prediction)
        return gradient


class SummedBinaryCrossEntropy(BinaryCrossEntropy):
    """The cross-entropy of logits, summed over the answers yes or no of a sample, in the mean over the batch.

    Formula: `L = sum(softplus(z) - t z) / n`; `dL/dz = (sigmoid(z) - t) / n`.

    Shapes: prediction and target (n, outputs).

    >>> loss, z, t = SummedBinaryCrossEntropy(), np.array([[0.0, 100.0]]), np.array([[1.0, 0.0]])
    >>> round(loss(z, t), 3), loss.gradient(z, t).tolist()
    (100.693, [[-0.5, 1.0]])
    """

    classifies = False  # so that training does not measure an accuracy in each step, which nothing would read

    def __init__(self) -> None:
        super().__init__(from_logits=True)

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the cross-entropy of each sample."""
        values: Array = super().values(prediction, target).sum(axis=1)
        return values

    def values_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape without the outputs."""
        return shape[:1]

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `(sigmoid(z) - t) / n`."""
        gradient: Array = super().gradient(prediction, target) * prediction.shape[1]
        return gradient
