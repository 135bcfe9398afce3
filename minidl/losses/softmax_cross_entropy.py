"""SoftmaxCrossEntropy: the loss of a network that chooses one of several classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl._validation import flag, fraction, is_finite
from minidl.losses.loss import Loss, check_numbers, check_unit_interval

SUM_TOLERANCE = 1e-3  # float32 rounding of a thousand probabilities, and far less than any mistake


class SoftmaxCrossEntropy(Loss):
    """The cross-entropy of a distribution over classes, given by logits or by probabilities, against the right class.

    Formula, with the target as a distribution t over K classes (1 for the right class, 0 for the others), smoothed to
    `u = (1 - label_smoothing) t + label_smoothing / K`; from logits z, with `p = softmax(z)`:

        L = mean_i(logsumexp(z_i) - sum_k u_ik z_ik)     dL/dz = (p - u) / n

    and from probabilities p:

        L = -mean_i(sum_k u_ik log p_ik)                 dL/dp = -u / p / n

    The first form is exact where p rounds to 0 or 1; `Trainer` uses it by itself for a network that ends in Softmax and
    is trained on `SoftmaxCrossEntropy(from_logits=False)`. In the second form a probability of 0 for what did happen
    stands for the smallest normal number of its dtype, so that the loss stays finite.

    Shapes: prediction (n, classes); target (n,) of class indices in an integer dtype, or (n, classes) of
    probabilities, one-hot rows among them. The mean is over the n samples.

    Arguments: `label_smoothing` in [0, 1) is the share of each target that is spread over all classes; `from_logits`
    chooses the form.

    Raises: ValueError for class indices that are out of range or not integers, rows of probabilities that are
    outside [0, 1] or do not sum to 1, and logits that are not finite. A logit may be -inf, which leaves its class out,
    where the target's probability is 0 and another logit is finite.

    Source: Szegedy et al., Rethinking the inception architecture (2016), section 7, for the smoothing.

    >>> loss, z, t = SoftmaxCrossEntropy(), np.array([[0.0, 100.0, 0.0]]), np.array([0])
    >>> loss(z, t), loss.gradient(z, t).tolist()
    (100.0, [[-1.0, 1.0, 3.720075976020836e-44]])
    """

    classifies = True

    def __init__(self, label_smoothing: float = 0.0, from_logits: bool = True) -> None:
        self.label_smoothing = fraction(label_smoothing, "SoftmaxCrossEntropy label_smoothing")
        self.from_logits = flag(from_logits, "SoftmaxCrossEntropy from_logits")

    def of_logits(self) -> SoftmaxCrossEntropy:
        """Return the same loss in its form from logits."""
        return SoftmaxCrossEntropy(self.label_smoothing, from_logits=True)

    @underflow_to_zero
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean cross-entropy."""
        u = self._distribution(target, prediction)
        if self.from_logits:
            # logsumexp(z) = max z + log(1 + rest), where rest sums the exponentials but the largest, which is 1: so a
            # sample that is nearly certain keeps the last digits of its small loss.
            shifted, _, rest, _ = self._exponentials(prediction)
            with np.errstate(invalid="ignore"):  # 0 * infinity, for a class that is masked or 10^38 behind
                total = (np.log1p(rest) - (u * shifted).sum(axis=1)).sum(dtype=np.float64)
            if not math.isfinite(total):
                total = (np.log1p(rest) + _distances(prediction, u)).sum()
        else:
            hint = "; pass logits to SoftmaxCrossEntropy(from_logits=True)"
            _check_distributions(prediction, "SoftmaxCrossEntropy prediction", hint)
            losses = -(u * np.log(np.maximum(prediction, np.finfo(prediction.dtype).tiny))).sum(axis=1)
            total = losses.sum(dtype=np.float64)
        return float(total / len(prediction))

    @underflow_to_zero
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `(p - u) / n` for logits, and `-u / p / n` for probabilities."""
        self._check_matching_shapes(prediction.shape, target)
        u = self._distribution(target, prediction)
        if self.from_logits:
            _, e, rest, largest = self._exponentials(prediction)
            rows, total = np.arange(len(u)), 1 + rest
            gradient: Array = e / total[:, None] - u
            # For the largest, p = 1 - rest / total: p - u keeps its last digits if u is taken from the 1 first.
            gradient[rows, largest] = (1 - u[rows, largest]) - rest / total
        else:
            gradient = -u / np.maximum(prediction, np.finfo(prediction.dtype).tiny)
        gradient /= len(gradient)
        return gradient

    def _exponentials(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """Return `z - max z`, its exponentials with 0 for the largest, their sum, and the class of the largest."""
        rows, largest = np.arange(len(z)), z.argmax(axis=1)
        with np.errstate(over="ignore"):  # exp(-infinity) is the right 0
            shifted: Array = z - z[rows, largest][:, None]
        e = np.exp(shifted)
        e[rows, largest] = 0
        return shifted, e, e.sum(axis=1), largest

    def _distribution(self, target: Array, prediction: Array) -> Array:
        """Return the smoothed targets, one row of probabilities a sample."""
        if target.ndim == 1:
            u = np.zeros(prediction.shape, prediction.dtype)
            u[np.arange(len(u)), target] = 1
        else:
            u = target
        if self.label_smoothing:
            u = (1 - self.label_smoothing) * u + self.label_smoothing / prediction.shape[1]
        return u

    def accuracy(self, prediction: Array, target: Array) -> float:
        """Return for what share of samples the largest prediction is that of the right class."""
        classes = target if target.ndim == 1 else target.argmax(axis=1)
        return float(np.count_nonzero(prediction.argmax(axis=1) == classes) / len(classes))

    def baseline_loss(self, target: Array) -> float | None:
        """Return `-sum_k u_k log u_k` of the mean smoothed target u, which is the lowest, with u the answer."""
        if target.ndim == 1 and self.label_smoothing:
            return None  # the mean depends on the number of classes, which indices do not tell
        frequencies = np.bincount(target) / len(target) if target.ndim == 1 else target.mean(axis=0, dtype=np.float64)
        u = (1 - self.label_smoothing) * frequencies + self.label_smoothing / len(frequencies)
        u = u[u > 0]
        entropy = -float(u @ np.log(u))
        return entropy if entropy > 0 else None

    def check_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError unless targets are rows like the predictions', or indices of their classes."""
        if len(shape) != 2 or shape[1] < 2:
            raise ValueError(
                f"SoftmaxCrossEntropy: expected a prediction (batch, classes) of at least 2 classes, received {shape}"
            )
        self._check_matching_shapes(shape, target)
        if target.ndim == 1 and target.dtype.kind in "iu" and target.max() >= shape[1]:
            raise ValueError(
                f"SoftmaxCrossEntropy target: expected class indices below {shape[1]}, the number of classes, "
                f"received {target.max()}"
            )

    def _check_matching_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        if target.shape not in (shape[:1], shape):
            hint = "; reshape it with target[:, 0]" if target.shape == (shape[0], 1) else ""
            raise ValueError(
                f"SoftmaxCrossEntropy: expected a target of shape ({shape[0]},) with class indices or {shape} with "
                f"probabilities, received {target.shape}{hint}"
            )

    def check_prediction(self, prediction: Array) -> None:
        """Raise a ValueError for predictions that are not finite, other than logits of -inf for masked classes."""
        if not self.from_logits:
            super().check_prediction(prediction)
        elif not is_finite(largest := prediction.max(axis=1)):  # NaN among them, where one of the row is
            row = int(np.isfinite(largest).argmin())
            raise ValueError(
                "SoftmaxCrossEntropy prediction: expected finite logits, or -inf for some of the classes, received "
                f"{largest[row]} as the largest in row {row}"
            )

    def check_target(self, target: Array) -> None:
        """Raise a ValueError for targets that are neither whole numbers from 0 nor rows of probabilities."""
        name = "SoftmaxCrossEntropy target"
        check_numbers(target, name)
        if target.ndim != 1:
            _check_distributions(target, name)
        elif target.dtype.kind not in "iu":
            raise ValueError(f"{name}: expected class indices of an integer dtype, received dtype {target.dtype}")
        elif target.min() < 0:
            raise ValueError(f"{name}: expected class indices of at least 0, received {target.min()}")

    def cast_target(self, target: Array, dtype: np.dtype[Any]) -> Array:
        """Return class indices as they are, and probabilities in the prediction's dtype."""
        return target if target.ndim == 1 else super().cast_target(target, dtype)

    def __repr__(self) -> str:
        return f"SoftmaxCrossEntropy(label_smoothing={self.label_smoothing:g}, from_logits={self.from_logits})"


def _distances(z: Array, u: Array) -> Array:
    """Return the sum of `u_k (max z - z_k)` for each row, in float64, where u = 0 makes 0 of infinity."""
    if np.isneginf(z[u > 0]).any():
        raise ValueError(
            "SoftmaxCrossEntropy: expected a target of probability 0, and no label_smoothing, for classes whose logit "
            "is -inf"
        )
    z = z.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        products = np.multiply(u, z.max(axis=1, keepdims=True) - z, out=np.zeros_like(z), where=u > 0)
    total: Array = products.sum(axis=1)
    return total


def _check_distributions(values: Array, name: str, hint: str = "") -> None:
    check_unit_interval(values, name, "probabilities", hint)
    sums = values.sum(axis=-1, dtype=np.float64)
    wrong = np.abs(sums - 1) > SUM_TOLERANCE
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name}: expected rows that sum to 1, received a sum of {sums.flat[row]:g} in row {row}{hint}"
        )
