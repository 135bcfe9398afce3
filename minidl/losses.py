"""Losses: one number for how far predictions are from targets, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import check_finite


class Loss:
    """The base of every loss: a mean over the batch, and the gradient of that mean.

    Calling it checks its two arrays and returns the value; `backward()` then returns the gradient with respect to the
    prediction, in the prediction's shape and dtype. Shapes must be equal: `(n,)` against `(n, 1)` would otherwise
    broadcast to `(n, n)` in silence.

    A new loss defines `forward(prediction, target)`, which returns the value and leaves the gradient's ingredients in
    `self._saved`, `_gradient(*saved)`, and the two checks where it has more to require than finite numbers.
    """

    _saved: tuple[Array, ...] | None = None

    def __call__(self, prediction: Any, target: Any) -> float:
        """Return the loss after checking shapes and values.

        Raises: ValueError for an empty batch, shapes that differ, and values outside the loss's domain.
        """
        prediction = np.asarray(prediction)
        target = np.asarray(target)
        name = type(self).__name__
        if prediction.size == 0:
            raise ValueError(f"{name}: expected at least one sample, received an empty batch {prediction.shape}")
        if prediction.shape != target.shape:
            hint = "; reshape it with target[:, None]" if prediction.shape == (*target.shape, 1) else ""
            raise ValueError(
                f"{name}: expected a target of the prediction's shape {prediction.shape}, received {target.shape}{hint}"
            )
        if prediction.dtype.kind != "f":
            raise ValueError(f"{name}: expected a floating prediction, received dtype {prediction.dtype}")
        self.check_prediction(prediction)
        self.check_target(target)
        return self.forward(prediction, target.astype(prediction.dtype, copy=False))

    def forward(self, prediction: Array, target: Array) -> float:
        """Return the loss of arrays that are known to be right, and save what the gradient needs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(prediction, target)")

    def backward(self) -> Array:
        """Return the gradient of the last loss with respect to its prediction.

        Raises: RuntimeError without a loss computed just before.
        """
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}: backward needs a loss computed just before it")
        saved, self._saved = self._saved, None
        return self._gradient(*saved)

    def _gradient(self, *saved: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} does not define _gradient")

    def check_prediction(self, prediction: Array) -> None:
        """Raise a ValueError if `prediction` is outside the loss's domain."""
        check_finite(prediction, f"{type(self).__name__} prediction")

    def check_target(self, target: Array) -> None:
        """Raise a ValueError if `target` is outside the loss's domain."""
        check_finite(target, f"{type(self).__name__} target")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class BinaryCrossEntropy(Loss):
    """The cross-entropy of probabilities, or of logits, against targets from 0 to 1.

    Formula, from probabilities p, as the article has it:

        L = -mean(t log p + (1 - t) log(1 - p))          dL/dp = (p - t) / (p (1 - p)) / n

    and from logits z, with `p = sigmoid(z)` put in:

        L = mean(softplus(z) - t z)                      dL/dz = (p - t) / n

    The second form is exact where p rounds to 0 or 1: a sample at z = -100 with target 1 costs 100 and still learns.
    `Trainer` uses it by itself for a network that ends in Sigmoid. In the first form a probability of 0 for what did
    happen stands for the smallest normal number of its dtype, so that the loss stays finite.

    Shapes: prediction and target the same, usually (n, 1); the mean is over all elements.

    Raises: ValueError for probabilities or targets outside [0, 1], NaN among them, and logits that are not finite.

    >>> loss = BinaryCrossEntropy(from_logits=True)
    >>> loss([[-100.0]], [[1.0]]), loss.backward().tolist()
    (100.0, [[-1.0]])
    """

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = from_logits

    def forward(self, prediction: Array, target: Array) -> float:
        """Return the mean cross-entropy."""
        self._saved = (prediction, target)
        if self.from_logits:
            z = prediction
            # softplus(z) - t z, ordered so that large z cancel exactly before the small rest is added.
            losses = (np.maximum(z, 0) - target * z) + np.log1p(np.exp(-np.abs(z)))
        else:
            tiny = np.finfo(prediction.dtype).tiny
            log_p = np.log(np.maximum(prediction, tiny))
            log_not_p = np.log(np.maximum(1 - prediction, tiny))
            losses = -(target * log_p + (1 - target) * log_not_p)
        return float(losses.mean(dtype=np.float64))

    def _gradient(self, *saved: Array) -> Array:
        prediction, target = saved
        if self.from_logits:
            e = np.exp(-np.abs(prediction))
            q = e / (1 + e)  # sigmoid(-|z|), so that p is q or 1 - q and p - t keeps its last digits for p near t
            difference = np.where(prediction >= 0, (1 - target) - q, q - target)
            gradient: Array = difference / prediction.size
            return gradient
        tiny = np.finfo(prediction.dtype).tiny
        gradient = (1 - target) / np.maximum(1 - prediction, tiny) - target / np.maximum(prediction, tiny)
        gradient /= prediction.size
        return gradient

    def check_prediction(self, prediction: Array) -> None:
        """Raise a ValueError for logits that are not finite or probabilities outside [0, 1]."""
        if self.from_logits:
            check_finite(prediction, "BinaryCrossEntropy logits")
        else:
            hint = "; pass logits to BinaryCrossEntropy(from_logits=True)"
            _check_unit_interval(prediction, "BinaryCrossEntropy prediction", "probabilities", hint)

    def check_target(self, target: Array) -> None:
        """Raise a ValueError for targets that are not numbers from 0 to 1."""
        if target.dtype.kind not in "fiub":
            raise ValueError(f"BinaryCrossEntropy target: expected numbers, received dtype {target.dtype}")
        _check_unit_interval(target, "BinaryCrossEntropy target", "targets", "")

    def __repr__(self) -> str:
        return f"BinaryCrossEntropy(from_logits={self.from_logits})"


def _check_unit_interval(values: Array, name: str, what: str, hint: str) -> None:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # NaN fails both comparisons
        raise ValueError(f"{name}: expected {what} in [0, 1], received values from {low} to {high}{hint}")
