"""Loss: what all losses share, and how they check what they are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import as_array, cast, check_finite, largest_of


class Loss:
    """The base of every loss: a mean over the batch, and the gradient of that mean.

    A new loss defines two methods, which keep no state and are given arrays that have been checked:

    - `value(prediction, target)` returns the mean as a number. A loss whose predictions have a narrower domain than
      all finite numbers checks it here.
    - `gradient(prediction, target)` returns its gradient with respect to the prediction, in the prediction's shape and
      dtype.

    Further it may override `check_prediction` and `check_target`, where these are other than finite numbers;
    `check_shapes`; `cast_target`, where targets are not to be cast to the prediction's dtype; and `baseline_loss`. A
    loss whose predictions are right or wrong answers sets `classifies` and defines `right`, or `accuracy` alone. For
    weights of samples it defines `values`, and for weights of classes `class_weights`.
    """

    classifies: bool = False
    """Whether predictions are right or wrong, so that training records an accuracy."""

    @without_false_alarms
    def __call__(self, prediction: Any, target: Any) -> float:
        """Return the value after checking shapes and numbers: `(n,)` against `(n, 1)` would broadcast to `(n, n)`.

        Raises: ValueError for an empty batch, shapes that do not fit, numbers outside the loss's domain, and numbers so
        large that the loss is not finite.
        """
        name = type(self).__name__
        prediction, target = as_array(prediction, f"{name} prediction"), as_array(target, f"{name} target")
        if prediction.size == 0:
            raise ValueError(f"{name}: expected at least one sample, received an empty batch {prediction.shape}")
        self.check_shapes(prediction.shape, target)
        if prediction.dtype.kind != "f":
            raise ValueError(f"{name}: expected a floating prediction, received dtype {prediction.dtype}")
        self.check_prediction(prediction)
        self.check_target(target)
        value = float(self.value(prediction, self.cast_target(target, prediction.dtype)))
        if not math.isfinite(value):
            largest = max(largest_of(prediction), largest_of(target))
            raise ValueError(
                f"{name}: the loss is {value}; numbers up to {largest:g} in size are too large for {prediction.dtype}"
            )
        return value

    def value(self, prediction: Array, target: Array) -> float:
        """Return the loss of a batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define value(prediction, target)")

    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return the gradient of `value` with respect to the prediction."""
        raise NotImplementedError(f"{type(self).__name__} does not define gradient(prediction, target)")

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the losses (batch, ...) of which `value` is the mean over those that are `counted`."""
        raise NotImplementedError(f"{type(self).__name__} does not define values(prediction, target)")

    def values_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of `values` for predictions of this shape."""
        return shape

    def right(self, prediction: Array, target: Array) -> Array:
        """Return which answers are right, in the shape of `values`, for a loss that `classifies`."""
        raise NotImplementedError(f"{type(self).__name__} does not define right(prediction, target)")

    def accuracy(self, prediction: Array, target: Array) -> float:
        """Return the share of the counted answers that are right, for a loss that `classifies`."""
        right, counted = self.right(prediction, target), self.counted(target)
        right = right if counted is None else right[counted]
        return float(np.count_nonzero(right) / max(1, right.size))

    def counted(self, target: Array) -> Array | None:
        """Return which of the `values` count, None where all do."""
        return None

    def count(self, target: Array) -> float:
        """Return over how many of a batch's targets the value is a mean: its weight in the mean over all batches."""
        counted = self.counted(target)
        return len(target) if counted is None else int(np.count_nonzero(counted))

    def class_weights(self, shape: tuple[int, ...], target: Array, weights: Array) -> Array:
        """Return the weight of each target beside predictions of this shape, given one for each class."""
        raise NotImplementedError(f"{type(self).__name__} does not define class_weights(shape, target, weights)")

    def baseline_loss(self, target: Array) -> float | None:
        """Return the lowest loss of giving every sample the same answer, where the loss knows it."""
        return None

    def check_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError if `target` does not fit predictions of this shape."""
        if target.shape != shape:
            hint = "; reshape it with target[:, None]" if shape == (*target.shape, 1) else ""
            raise ValueError(
                f"{type(self).__name__}: expected a target of the prediction's shape {shape}, "
                f"received {target.shape}{hint}"
            )

    def check_prediction(self, prediction: Array) -> None:
        """Raise a ValueError for a floating prediction that is not finite."""
        check_finite(prediction, f"{type(self).__name__} prediction")

    def check_target(self, target: Array) -> None:
        """Raise a ValueError if `target` is outside the loss's domain."""
        check_numbers(target, f"{type(self).__name__} target")
        check_finite(target, f"{type(self).__name__} target")

    def cast_target(self, target: Array, dtype: np.dtype[Any]) -> Array:
        """Return checked targets as `value` takes them beside predictions of this dtype.

        Raises: ValueError for targets too large for it.
        """
        return cast(target, dtype, f"{type(self).__name__} target")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def check_numbers(values: Array, name: str) -> None:
    """Raise a ValueError for anything but real numbers and truth values."""
    if values.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers, received dtype {values.dtype}")


def check_unit_interval(values: Array, name: str, what: str, hint: str = "") -> None:
    """Raise a ValueError for values outside [0, 1], NaN among them."""
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # NaN fails both comparisons
        raise ValueError(f"{name}: expected {what} in [0, 1], received values from {low} to {high}{hint}")
