"""Loss: what all losses share, and how they check what they are given."""

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
    `self._saved`, and `_gradient(*saved)`; further the checks, where it has more to require than finite numbers in
    equal shapes, and `cast_target`, where targets are not to be cast to the prediction's dtype. A loss whose
    predictions are right or wrong answers sets `classifies` and defines `accuracy`.
    """

    classifies = False

    _saved: tuple[Any, ...] | None = None

    def __call__(self, prediction: Any, target: Any) -> float:
        """Return the loss after checking shapes and values.

        Raises: ValueError for an empty batch, shapes that do not fit, and values outside the loss's domain.
        """
        self._saved = None
        prediction, target = np.asarray(prediction), np.asarray(target)
        name = type(self).__name__
        if prediction.size == 0:
            raise ValueError(f"{name}: expected at least one sample, received an empty batch {prediction.shape}")
        self.check_shapes(prediction.shape, target)
        if prediction.dtype.kind != "f":
            raise ValueError(f"{name}: expected a floating prediction, received dtype {prediction.dtype}")
        self.check_prediction(prediction)
        self.check_target(target)
        return self.forward(prediction, self.cast_target(target, prediction.dtype))

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

    def _gradient(self, *saved: Any) -> Array:
        raise NotImplementedError(f"{type(self).__name__} does not define _gradient")

    def check_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError if `target` does not fit predictions of this shape."""
        if target.shape != shape:
            hint = "; reshape it with target[:, None]" if shape == (*target.shape, 1) else ""
            raise ValueError(
                f"{type(self).__name__}: expected a target of the prediction's shape {shape}, "
                f"received {target.shape}{hint}"
            )

    def check_prediction(self, prediction: Array) -> None:
        """Raise a ValueError if `prediction` is outside the loss's domain."""
        check_finite(prediction, f"{type(self).__name__} prediction")

    def check_target(self, target: Array) -> None:
        """Raise a ValueError if `target` is outside the loss's domain."""
        check_numbers(target, f"{type(self).__name__} target")
        check_finite(target, f"{type(self).__name__} target")

    @property
    def accepts_any_number(self) -> bool:
        """Whether all finite predictions are in the domain, so that a training loop need not check each batch."""
        return False

    def accuracy(self, prediction: Array, target: Array) -> float:
        """Return the share of the answers that are right, for a loss that `classifies`."""
        raise NotImplementedError(f"{type(self).__name__} does not define accuracy(prediction, target)")

    def constant_answer(self, target: Array) -> float | None:
        """Return the lowest loss of giving every sample the same answer, where the loss knows it."""
        return None

    def cast_target(self, target: Array, dtype: np.dtype[Any]) -> Array:
        """Return checked targets as `forward` takes them beside predictions of this dtype."""
        return target.astype(dtype, copy=False)

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
