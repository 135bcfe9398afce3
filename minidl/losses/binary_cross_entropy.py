"""BinaryCrossEntropy: the loss of a network that answers yes or no."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import flag, number_or_tuple, positive_number
from minidl.losses._pos_weight import check_columns, weight_of_ones, weighted_gradient
from minidl.losses.loss import Loss, check_numbers, check_unit_interval


class BinaryCrossEntropy(Loss):
    """The cross-entropy of probabilities, or of logits, against targets from 0 to 1.

    Formula, from probabilities p, as the article has it:

        L = -mean(t log p + (1 - t) log(1 - p))          dL/dp = (p - t) / (p (1 - p)) / n

    and from logits z, with `p = sigmoid(z)` put in:

        L = mean(softplus(z) - t z)                      dL/dz = (p - t) / n

    The second form is exact where p rounds to 0 or 1: a sample at z = -100 with target 1 costs 100 and still learns.
    `Trainer` uses it by itself for a network that ends in Sigmoid. In the first form a probability of 0 for what did
    happen stands for the smallest normal number of its dtype, and for a gradient beyond the largest number that one,
    so that the loss and its gradient stay finite.

    Shapes: prediction and target the same, usually (n, 1); the mean is over all elements.

    Arguments: `from_logits` chooses the form; `pos_weight` w makes the positive samples count w times, for classes of
    unequal size: `t log p` becomes `w t log p`, the mean stays over n; it may be a list of numbers, one a column.

    Raises: ValueError for probabilities or targets outside [0, 1], NaN among them, logits that are not finite, and a
    `pos_weight` that is not a finite number above 0, or too large for the dtype of the predictions.

    >>> loss = BinaryCrossEntropy(from_logits=True)
    >>> z, t = np.array([[-100.0]]), np.array([[1.0]])
    >>> loss(z, t), loss.gradient(z, t).tolist()
    (100.0, [[-1.0]])
    """

    classifies = True

    def __init__(self, from_logits: bool = False, pos_weight: float | Sequence[float] = 1.0) -> None:
        self.from_logits = flag(from_logits, "BinaryCrossEntropy from_logits")
        name = "BinaryCrossEntropy pos_weight"
        self.pos_weight = number_or_tuple(pos_weight, positive_number, name)

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean cross-entropy."""
        losses = self.values(prediction, target)
        return float(np.add.reduce(losses, axis=None, dtype=np.float64) / losses.size)

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the cross-entropy of each element."""
        if self.from_logits:
            if self.pos_weight == 1:
                # softplus(z) - t z, ordered so that large z cancel exactly before the small rest is added.
                small = np.log1p(np.exp(-np.abs(prediction)))
                return np.asarray((np.maximum(prediction, 0) - target * prediction) + small)
            of_ones, of_zeros = functional.softplus(-prediction), functional.softplus(prediction)
        else:
            hint = "; pass logits to BinaryCrossEntropy(from_logits=True)"
            check_unit_interval(prediction, "BinaryCrossEntropy prediction", "probabilities", hint)
            least = np.finfo(prediction.dtype).tiny
            of_ones, of_zeros = -np.log(np.maximum(prediction, least)), -np.log(np.maximum(1 - prediction, least))
        losses = target * of_ones
        if self.pos_weight != 1:  # in float64: the product with a weight may be too large for float32
            losses = losses * weight_of_ones(self.pos_weight, prediction.dtype).astype(np.float64)
        return np.asarray(losses + (1 - target) * of_zeros)

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `(p - t) / n` for logits, and `(p - t) / (p (1 - p)) / n` for probabilities."""
        self.check_shapes(prediction.shape, target)
        if self.pos_weight != 1:
            gradient = weighted_gradient(prediction, target, self.pos_weight, from_logits=self.from_logits)
        elif self.from_logits:
            # With q = sigmoid(-|z|), p is q where z has a minus sign (-0.0 has one), and 1 - q elsewhere. In this
            # order of the two subtractions p - t keeps its last digits for p near t.
            e = np.exp(-np.abs(prediction))
            q = e / (1 + e)
            one_or_zero = (~np.signbit(prediction)).astype(prediction.dtype)
            gradient = (one_or_zero - target) - np.copysign(q, prediction)
        else:
            least = np.finfo(prediction.dtype).tiny
            gradient = (1 - target) / np.maximum(1 - prediction, least) - target / np.maximum(prediction, least)
        gradient /= gradient.size
        return gradient

    def of_logits(self) -> BinaryCrossEntropy:
        """Return the same loss in its form from logits."""
        return BinaryCrossEntropy(from_logits=True, pos_weight=self.pos_weight)

    def right(self, prediction: Array, target: Array) -> Array:
        """Return which predictions are on the target's side of probability 0.5, which is logit 0."""
        right: Array = (prediction > (0 if self.from_logits else 0.5)) == (target > 0.5)
        return right

    def class_weights(self, shape: tuple[int, ...], target: Array, weights: Array) -> Array:
        """Return `(1 - t) w_0 + t w_1`."""
        return np.asarray((1 - target) * weights[0] + target * weights[1])

    def baseline_loss(self, target: Array) -> float | None:
        """Return `-(w t log p + (1 - t) log(1 - p))` of the targets' mean t, lowest at `p = w t / (w t + 1 - t)`."""
        t = float(np.mean(target, dtype=np.float64))
        if not 0 < t < 1 or isinstance(self.pos_weight, tuple):
            return None
        ones, zeros = self.pos_weight * t, 1 - t
        return sum(a * _log_of_sum(a, b) for a, b in ((ones, zeros), (zeros, ones)) if a > 0)

    def check_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError for a target of another shape, and for a `pos_weight` of other columns."""
        super().check_shapes(shape, target)
        check_columns(self.pos_weight, shape)

    def check_target(self, target: Array) -> None:
        """Raise a ValueError for targets that are not numbers from 0 to 1."""
        check_numbers(target, "BinaryCrossEntropy target")
        check_unit_interval(target, "BinaryCrossEntropy target", "targets")

    def __repr__(self) -> str:
        number = self.pos_weight if isinstance(self.pos_weight, tuple) else f"{self.pos_weight:g}"
        weight = "" if self.pos_weight == 1 else f", pos_weight={number}"
        return f"BinaryCrossEntropy(from_logits={self.from_logits}{weight})"


def _log_of_sum(a: float, b: float) -> float:
    """Return `log((a + b) / a)`."""
    return math.log1p(b / a) if b / a < math.inf else math.log(b) - math.log(a)
