"""WeightedLoss: the weighted mean of another loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._overrides import promises
from minidl._typing import Array
from minidl._validation import as_array, check_finite, shown
from minidl.losses.loss import Loss, check_numbers

REPETITIONS = 100_000
"""Rows that stand for weighted targets in a baseline loss, so that the share of one is wrong by 0.000005 at most."""

MOST_DIFFERENT = 1_000
"""Different targets that a baseline loss is computed of, at most: all their shares together are wrong by 0.005."""


class WeightedLoss(Loss):
    """The mean of another loss in which targets of rare or important samples count more.

    Formula, with `l_i` the n losses of which the other loss is the mean and `w_i` their weights:

        L = sum_i w_i l_i / n        dL/dp_i = w_i / n * dl_i/dp_i

    So a sample of weight 2 teaches as much as two, and one of weight 0 nothing. `Trainer.fit` uses it by itself for
    `sample_weight` and `class_weight`, and divides the weights by their mean over the training samples first: the loss
    is then their weighted mean, whatever the size of the batches.

    Shapes: predictions as the loss takes them; the target is a tuple (target, weight), the weight one number per
    sample, (n,), or per loss, such as (n, time). A third item, (n,), weights the accuracy, which is plain without it.

    Raises: TypeError for a `loss` that is none, or that does not define `values`, as all losses of the library do;
    ValueError for weights of another shape or that are not finite numbers of at least 0, and as the loss does.

    >>> from minidl import MeanSquaredError
    >>> loss, p, t = WeightedLoss(MeanSquaredError()), np.array([[1.0], [4.0]]), np.array([[1.0], [2.0]])
    >>> loss(p, (t, [1.5, 0.5])), loss.gradient(p, (t, [1.5, 0.5])).tolist()
    (1.0, [[0.0], [1.0]])
    """

    def __init__(self, loss: Loss) -> None:
        if not isinstance(loss, Loss) or isinstance(loss, WeightedLoss):
            raise TypeError(f"WeightedLoss loss: expected a Loss without weights, received {shown(loss)}")
        if type(loss).values is Loss.values or not promises(type(loss), "values", about="value"):
            raise TypeError(
                f"WeightedLoss loss: expected a loss that defines `values` beside its `value`, received {loss!r}"
            )
        self.loss, self.classifies = loss, loss.classifies

    @without_false_alarms
    def __call__(self, prediction: Any, target: Any) -> float:
        """Return the value after the checks of the loss, and of the weights."""
        if not isinstance(target, tuple) or len(target) < 2:
            raise ValueError(f"WeightedLoss target: expected a pair (target, weight), received {shown(target)}")
        prediction, plain = as_array(prediction, "WeightedLoss prediction"), as_array(target[0], "WeightedLoss target")
        self.loss.check_shapes(prediction.shape, plain)
        self.loss.check_prediction(prediction)
        self.loss.check_target(plain)
        weight = checked_weight(target[1], self.loss.values_shape(prediction.shape), "WeightedLoss weight")
        value = self.value(prediction, (self.loss.cast_target(plain, prediction.dtype), weight))
        if not math.isfinite(value):
            raise ValueError(f"{self!r}: the loss is {value}; the numbers are too large for {prediction.dtype}")
        return value

    @without_false_alarms
    def value(self, prediction: Array, target: Any) -> float:
        """Return the weighted sum of the losses over their number; where the weight is 0, the loss does not matter."""
        losses, weights = self.loss.values(prediction, target[0]), self._weights(prediction.shape, target[:2])
        if losses.shape != weights.shape:
            raise ValueError(f"{self.loss!r}: expected `values` of shape {weights.shape}, received {losses.shape}")
        total = np.add.reduce(weights * losses, axis=None)
        if not math.isfinite(total):  # 0 times infinity is 0 here
            total = np.multiply(weights, losses, out=np.zeros_like(weights), where=weights > 0).sum()
        return float(total / max(1, self._number(prediction.shape, target[0])))

    @without_false_alarms
    def gradient(self, prediction: Array, target: Any) -> Array:
        """Return the gradient of the plain mean, each row times its weight."""
        plain, weights = self.loss.gradient(prediction, target[0]), self._weights(prediction.shape, target[:2])
        gradient: Array = plain * _with_axes(weights.astype(plain.dtype), plain.ndim)
        return gradient

    def _weights(self, shape: tuple[int, ...], target: Any) -> Array:
        """Return the weight of each loss, in float64, 0 for those that do not count."""
        plain, weight = target
        shape, counted = self.loss.values_shape(shape), self.loss.counted(plain)
        weights = _with_axes(np.asarray(weight, np.float64), len(shape))
        if weights.shape != shape:
            weights = np.broadcast_to(weights, shape)
        return weights if counted is None else weights * counted

    def _number(self, shape: tuple[int, ...], plain: Array) -> int:
        """Return the number of losses that count."""
        counted = self.loss.counted(plain)
        return math.prod(self.loss.values_shape(shape)) if counted is None else int(np.count_nonzero(counted))

    def of_logits(self) -> WeightedLoss:
        """Return the same loss in its form from logits."""
        loss: Any = self.loss
        return WeightedLoss(loss.of_logits())

    def accuracy(self, prediction: Array, target: Any) -> float:
        """Return the accuracy of the loss, with a third item of the target as weights of the samples."""
        plain, _, *own = target
        if not own:
            return self.loss.accuracy(prediction, plain)
        right, weights = self.loss.right(prediction, plain), self._weights(prediction.shape, (plain, own[0]))
        return float((weights * right).sum() / max(1, self._number(prediction.shape, plain)))

    def count(self, target: Any) -> float:
        """Return over how many of a batch's targets the loss is a mean."""
        return self.loss.count(target[0])

    def baseline_loss(self, target: Any) -> float | None:
        """Return that of the loss for targets repeated in proportion to their weights, times the mean weight.

        None where the weights are not those of samples or are all 0, where some targets do not count, and for more
        than `MOST_DIFFERENT` different ones.
        """
        plain, weight = target[0], np.ravel(target[1])
        if weight.size != len(plain) or not weight.any() or self.loss.counted(plain) is not None:
            return None
        is_one_column = plain.size == len(plain)  # whose numbers are sorted in a sixth of the time of rows
        rows = plain.ravel() if is_one_column else plain
        different, numbers = np.unique(rows, axis=None if is_one_column else 0, return_inverse=True)
        if len(different) > MOST_DIFFERENT:
            return None
        shares = np.bincount(np.ravel(numbers), weight) / weight.sum()
        repeated = np.repeat(different, np.rint(REPETITIONS * shares).astype(int), axis=0)
        baseline = self.loss.baseline_loss(repeated.reshape(-1, *plain.shape[1:]))
        return None if baseline is None else baseline * float(weight.mean())

    def __repr__(self) -> str:
        return f"WeightedLoss({self.loss!r})"


def _with_axes(array: Array, ndim: int) -> Array:
    """Return an array with axes of length 1 behind its own."""
    return array if array.ndim == ndim else array.reshape(*array.shape, *(1 for _ in range(ndim - array.ndim)))


def checked_weight(weight: Any, shape: tuple[int, ...], name: str) -> Array:
    """Return weights in float64, one for each sample or for each loss of this shape.

    Raises: ValueError for another shape, and for numbers that are not finite or below 0.
    """
    array = as_array(weight, name)
    if array.shape not in (shape[:1], shape):
        expected = f"{shape[:1]}" if shape == shape[:1] else f"{shape[:1]} or {shape}"
        hint = f"; reshape it with {name}[:, 0]" if array.shape == (*shape[:1], 1) else ""
        raise ValueError(
            f"{name}: expected one number for each sample, shape {expected}, received shape {array.shape}{hint}"
        )
    check_numbers(array, name)
    check_finite(array, name)
    if array.min(initial=0) < 0:
        raise ValueError(f"{name}: expected numbers of at least 0, received {array.min():g}")
    return array.astype(np.float64)
