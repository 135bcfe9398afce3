"""WeightedLoss: the weighted mean of another loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import as_array, check_finite, shown
from minidl.losses.loss import Loss, check_numbers


class WeightedLoss(Loss):
    """The mean of another loss in which targets of rare or important samples count more.

    Formula, with `l_i` the losses of which the other loss is the mean and `w_i` their weights:

        L = sum_i w_i l_i / sum_i w_i        dL/dp_i = w_i / sum_k w_k * dl_i/dp_i

    So a weight of 2 is the sample given twice, a weight of 0 the sample left out. `Trainer.fit` uses it by itself for
    `sample_weight` and `class_weight`.

    Shapes: predictions as the loss takes them; the target is a pair (target, weight), the weight one number for each
    sample, (n,), or for each loss, such as (n, time). A batch whose weights are all 0 has the loss 0.

    Raises: TypeError for a `loss` that is none, or that does not define `values`, as all losses of the library do;
    ValueError for weights of another shape or that are not finite numbers of at least 0, and as the loss does.

    Source: the mean over the sum of weights is that of `torch.nn.CrossEntropyLoss(weight=...)`.

    >>> from minidl import MeanSquaredError
    >>> loss, p, t = WeightedLoss(MeanSquaredError()), np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])
    >>> loss(p, (t, [3.0, 1.0])), loss.gradient(p, (t, np.array([3.0, 1.0]))).tolist()
    (1.0, [[0.0], [1.0]])
    """

    def __init__(self, loss: Loss) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"WeightedLoss loss: expected a Loss, received {shown(loss)}")
        if type(loss).values is Loss.values:
            raise TypeError(f"WeightedLoss loss: expected a loss that defines `values`, received {loss!r}")
        self.loss, self.classifies = loss, loss.classifies

    @without_false_alarms
    def __call__(self, prediction: Any, target: Any) -> float:
        """Return the value after the checks of the loss, and of the weights."""
        if not isinstance(target, tuple) or len(target) < 2:
            raise ValueError(f"WeightedLoss target: expected a pair (target, weight), received {shown(target)}")
        self.loss(prediction, target[0])
        prediction, plain = as_array(prediction, "WeightedLoss prediction"), as_array(target[0], "WeightedLoss target")
        weight = checked_weight(target[1], self.loss.values_shape(prediction.shape), "WeightedLoss weight")
        return self.value(prediction, (self.loss.cast_target(plain, prediction.dtype), weight))

    @without_false_alarms
    def value(self, prediction: Array, target: Any) -> float:
        """Return the weighted mean."""
        losses, weights = self.loss.values(prediction, target[0]), self._weights(prediction.shape, target)
        total = weights.sum()
        return float((weights * losses).sum() / total) if total > 0 else 0.0

    @without_false_alarms
    def gradient(self, prediction: Array, target: Any) -> Array:
        """Return the gradient of the plain mean over N losses, times `N w_i / sum_k w_k`."""
        plain, weights = self.loss.gradient(prediction, target[0]), self._weights(prediction.shape, target)
        total, counted = weights.sum(), self.loss.counted(target[0])
        n = weights.size if counted is None else np.count_nonzero(counted)
        factors = (weights * (n / total if total > 0 else 0.0)).astype(plain.dtype)
        gradient: Array = plain * (factors if factors.ndim == plain.ndim else factors[..., None])
        return gradient

    def _weights(self, shape: tuple[int, ...], target: Any) -> Array:
        """Return the weight of each loss, in float64, 0 for those that do not count."""
        plain, weight, *_ = target
        shape = self.loss.values_shape(shape)
        counted = self.loss.counted(plain)
        weights = np.broadcast_to(weight.reshape(*weight.shape, *(1 for _ in shape[weight.ndim :])), shape)
        return weights.astype(np.float64) if counted is None else weights * counted.astype(np.float64)

    def of_logits(self) -> WeightedLoss:
        """Return the same loss in its form from logits."""
        loss: Any = self.loss
        return WeightedLoss(loss.of_logits())

    def accuracy(self, prediction: Array, target: Any) -> float:
        """Return the share of the right answers, each counted as often as its weight says."""
        right, weights = self.loss.right(prediction, target[0]), self._weights(prediction.shape, target)
        total = weights.sum()
        return float((weights * right).sum() / total) if total > 0 else 0.0

    def count(self, target: Any) -> float:
        """Return the sum of the weights of the targets that count."""
        plain, weight, *_ = target
        counted = self.loss.counted(plain)
        if counted is None:
            return float(weight.sum(dtype=np.float64))
        return float((weight.reshape(*weight.shape, *(1 for _ in counted.shape[weight.ndim :])) * counted).sum())

    def __repr__(self) -> str:
        return f"WeightedLoss({self.loss!r})"


def checked_weight(weight: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return weights in float64, one for each sample or for each loss of this shape.

    Raises: ValueError for another shape, and for numbers that are not finite or below 0.
    """
    array = as_array(weight, name)
    if array.shape not in (shape[:1], shape):
        expected = f"{shape[:1]}" if shape == shape[:1] else f"{shape[:1]} or {shape}"
        raise ValueError(f"{name}: expected one number for each sample, shape {expected}, received shape {array.shape}")
    check_numbers(array, name)
    check_finite(array, name)
    if array.min(initial=0) < 0:
        raise ValueError(f"{name}: expected numbers of at least 0, received {array.min():g}")
    return array.astype(np.float64)
