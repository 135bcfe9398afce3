"""BinaryCrossEntropy: the loss of a network that answers yes or no."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import positive_number
from minidl.losses.loss import Loss, check_numbers, check_unit_interval


class BinaryCrossEntropy(Loss):
    """The cross-entropy of probabilities, or of logits, against targets from 0 to 1.

    Formula, from probabilities p, as the article has it:

        L = -mean(t log p + (1 - t) log(1 - p))          dL/dp = (p - t) / (p (1 - p)) / n

    and from logits z, with `p = sigmoid(z)` put in:

        L = mean(softplus(z) - t z)                      dL/dz = (p - t) / n

    The second form is exact where p rounds to 0 or 1: a sample at z = -100 with target 1 costs 100 and still learns.
    `Trainer` uses it by itself for a network that ends in Sigmoid. In the first form a probability of 0 for what did
    happen stands for the smallest normal number of its dtype (times a `pos_weight` above 1), so that the loss and its
    gradient stay finite.

    Shapes: prediction and target the same, usually (n, 1); the mean is over all elements.

    Arguments: `from_logits` chooses the form; `pos_weight` w makes the positive samples count w times, for classes of
    unequal size: `t log p` becomes `w t log p`, the mean stays over n.

    Raises: ValueError for probabilities or targets outside [0, 1], NaN among them, logits that are not finite, and a
    `pos_weight` that is not a finite number above 0.

    >>> loss = BinaryCrossEntropy(from_logits=True)
    >>> z, t = np.array([[-100.0]]), np.array([[1.0]])
    >>> loss(z, t), loss.gradient(z, t).tolist()
    (100.0, [[-1.0]])
    """

    classifies = True

    def __init__(self, from_logits: bool = False, pos_weight: float = 1.0) -> None:
        self.from_logits = from_logits
        self.pos_weight = positive_number(pos_weight, "BinaryCrossEntropy pos_weight")

    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean cross-entropy."""
        target, counts = self._weighted(target)
        if self.from_logits:
            # softplus(z) - t z, ordered so that large z cancel exactly before the small rest is added.
            losses = (np.maximum(prediction, 0) - target * prediction) + np.log1p(np.exp(-np.abs(prediction)))
        else:
            hint = "; pass logits to BinaryCrossEntropy(from_logits=True)"
            check_unit_interval(prediction, "BinaryCrossEntropy prediction", "probabilities", hint)
            least = self._least(prediction.dtype)
            log_p, log_not_p = np.log(np.maximum(prediction, least)), np.log(np.maximum(1 - prediction, least))
            losses = -(target * log_p + (1 - target) * log_not_p)
        if counts is not None:
            losses *= counts
        return float(losses.sum(dtype=np.float64) / losses.size)

    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `(p - t) / n` for logits, and `(p - t) / (p (1 - p)) / n` for probabilities."""
        target, counts = self._weighted(target)
        if self.from_logits:
            # With q = sigmoid(-|z|), p is 1 - q for z >= 0 and q for z < 0; taking t from the 1 or 0 first, p - t keeps
            # its last digits for p near t.
            e = np.exp(-np.abs(prediction))
            q = e / (1 + e)
            one_or_zero = np.copysign(0.5, prediction) + 0.5
            gradient: Array = (one_or_zero - target) - np.copysign(q, prediction)
        else:
            least = self._least(prediction.dtype)
            gradient = (1 - target) / np.maximum(1 - prediction, least) - target / np.maximum(prediction, least)
        if counts is not None:
            gradient *= counts
        gradient /= gradient.size
        return gradient

    def _weighted(self, target: Array) -> tuple[Array, Array | None]:
        """Return targets u and counts c so that each sample is one without `pos_weight` that counts c times.

        With a weight w, `w t a + (1 - t) b = c (u a + (1 - u) b)` where `c = 1 + (w - 1) t` and `u = w t / c`.
        """
        if self.pos_weight == 1:
            return target, None
        counts = 1 + (self.pos_weight - 1) * target
        return self.pos_weight * target / counts, counts

    def _least(self, dtype: np.dtype[Any]) -> float:
        """Return what stands for a probability of 0: a number whose reciprocal, weighted, is still finite."""
        return float(np.finfo(dtype).tiny) * max(1.0, self.pos_weight)

    def of_logits(self) -> BinaryCrossEntropy:
        """Return the same loss in its form from logits."""
        return BinaryCrossEntropy(from_logits=True, pos_weight=self.pos_weight)

    def accuracy(self, prediction: Array, target: Array) -> float:
        """Return the share of predictions on the target's side of probability 0.5, which is logit 0."""
        right = np.count_nonzero((prediction > (0 if self.from_logits else 0.5)) == (target > 0.5))
        return float(right / target.size)

    def baseline_loss(self, target: Array) -> float | None:
        """Return `-(w t log p + (1 - t) log(1 - p))` of the targets' mean t, lowest at `p = w t / (w t + 1 - t)`."""
        t = float(np.mean(target, dtype=np.float64))
        if not 0 < t < 1:
            return None
        p = self.pos_weight * t / (self.pos_weight * t + 1 - t)
        return -(self.pos_weight * t * math.log(p) + (1 - t) * math.log(1 - p))

    def check_target(self, target: Array) -> None:
        """Raise a ValueError for targets that are not numbers from 0 to 1."""
        check_numbers(target, "BinaryCrossEntropy target")
        check_unit_interval(target, "BinaryCrossEntropy target", "targets")

    def __repr__(self) -> str:
        weight = "" if self.pos_weight == 1 else f", pos_weight={self.pos_weight:g}"
        return f"BinaryCrossEntropy(from_logits={self.from_logits}{weight})"
