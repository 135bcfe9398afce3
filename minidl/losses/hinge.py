"""Hinge: the loss of support vector machines, for a network that answers yes or no."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import flag
from minidl.losses.loss import Loss, check_numbers


class Hinge(Loss):
    """The mean of what scores lack to a margin of 1 on the side of their class.

    Formula, for scores s and classes y = -1 or 1, the mean over all N elements of the batch:

        m = max(0, 1 - y s)
        L = mean(m)                                      dL/ds = -y / N where 1 - y s > 0, else 0
        L = mean(m^2)                                    dL/ds = -2 y m / N,  squared

    A score is a yes where it is above 0. The network ends without an activation.

    Shapes: prediction and target the same, usually (n, 1).

    Arguments: `squared` chooses the second form, which has no kink.

    Raises: ValueError for scores that are not finite, or whose squares are too large for their dtype, and for targets
    other than 0 and 1, as `BinaryCrossEntropy` takes them, or -1 and 1.

    Source: Cortes and Vapnik, Support-vector networks (1995); squared: Tang, Deep learning using linear support vector
    machines (2013).

    >>> loss, s, t = Hinge(), np.array([[-3.0], [0.5]]), np.array([[0.0], [1.0]])
    >>> loss(s, t), loss.gradient(s, t).tolist()
    (0.25, [[0.0], [-0.5]])
    """

    classifies = True

    def __init__(self, squared: bool = False) -> None:
        self.squared = flag(squared, "Hinge squared")

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean of what the scores lack, or of its square."""
        with np.errstate(over="ignore"):  # an infinite loss is an answer, which callers look at
            return float(self.values(prediction, target).sum(dtype=np.float64) / prediction.size)

    def values(self, prediction: Array, target: Array) -> Array:
        """Return what each score lacks, or its square."""
        lack = _lack(prediction, target)
        losses: Array = np.square(lack) if self.squared else lack
        return losses

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `-y / N` where a score lacks something, for squares that times `2 m`."""
        self.check_shapes(prediction.shape, target)
        lack = _lack(prediction, target)
        size = lack * (2 / lack.size) if self.squared else np.sign(lack) / lack.size
        gradient: Array = np.where(target > 0, -size, size)
        return gradient

    def right(self, prediction: Array, target: Array) -> Array:
        """Return which scores are on the target's side of 0."""
        right: Array = (prediction > 0) == (target > 0)
        return right

    def class_weights(self, shape: tuple[int, ...], target: Array, weights: Array) -> Array:
        """Return the weight of class 1, or of the other, which is 0 or -1."""
        of_targets: Array = np.where(target > 0, weights[1], weights[0])
        return of_targets

    def baseline_loss(self, target: Array) -> float | None:
        """Return the lowest loss of one score for all: with a share p of ones `2 min(p, 1 - p)`, squared `4 p (1 - p)`.

        Of several outputs each has a score of its own.
        """
        p = np.mean(np.asarray(target) > 0, axis=0)
        loss = float(np.mean(4 * p * (1 - p) if self.squared else 2 * np.minimum(p, 1 - p)))
        return loss if loss > 0 else None

    def check_target(self, target: Array) -> None:
        """Raise a ValueError for targets that are not all 0 or 1, or all -1 or 1."""
        check_numbers(target, "Hinge target")
        ones = target == 1
        for other in (0, -1):
            if (ones | (target == other)).all():
                return
        wrong = target[~ones & (target != 0)]
        raise ValueError(f"Hinge target: expected 0 and 1, or -1 and 1, received {wrong.flat[0]} among others")

    def __repr__(self) -> str:
        return "Hinge(squared=True)" if self.squared else "Hinge()"


def _lack(score: Array, target: Array) -> Array:
    """Return `max(0, 1 - y s)`."""
    lack: Array = np.maximum(0, 1 - np.where(target > 0, score, -score))
    return lack
