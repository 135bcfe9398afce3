"""SoftmaxCrossEntropy: the loss of a network that chooses one of several classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import flag, fraction, is_finite, whole_number
from minidl.losses._distributions import check_distributions, check_logits, distances, exponentials, with_zeros
from minidl.losses.loss import Loss, check_numbers


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
    probabilities, one-hot rows among them. The mean is over the n samples. Further axes may stand before the classes,
    such as (batch, time, classes) with targets (batch, time); the mean is then over all targets.

    Arguments: `label_smoothing` in [0, 1) is the share of each target that is spread over all classes; `from_logits`
    chooses the form; targets of the class index `ignore_index`, such as padding, do not count: the mean is over the
    others, and their gradient is 0. A batch of which none counts has the loss 0.

    Raises: ValueError for class indices that are out of range or not integers, rows of probabilities that are
    outside [0, 1] or do not sum to 1, probabilities beside an `ignore_index`, and logits that are not finite. A logit
    may be -inf, which leaves its class out, where the target's probability is 0 and another logit is finite.

    Source: Szegedy et al., Rethinking the inception architecture (2016), section 7, for the smoothing.

    >>> loss, z, t = SoftmaxCrossEntropy(), np.array([[0.0, 100.0, 0.0]]), np.array([0])
    >>> loss(z, t), loss.gradient(z, t).tolist()
    (100.0, [[-1.0, 1.0, 3.720075976020836e-44]])
    """

    classifies = True

    def __init__(self, label_smoothing: float = 0.0, from_logits: bool = True, ignore_index: int | None = None) -> None:
        self.label_smoothing = fraction(label_smoothing, "SoftmaxCrossEntropy label_smoothing")
        self.from_logits = flag(from_logits, "SoftmaxCrossEntropy from_logits")
        name = "SoftmaxCrossEntropy ignore_index"
        self.ignore_index = None if ignore_index is None else whole_number(ignore_index, name)

    def of_logits(self) -> SoftmaxCrossEntropy:
        """Return the same loss in its form from logits."""
        return SoftmaxCrossEntropy(self.label_smoothing, from_logits=True, ignore_index=self.ignore_index)

    @without_false_alarms
    def value(self, prediction: Array, target: Array) -> float:
        """Return the mean cross-entropy."""
        losses, _ = self._losses(prediction, target)
        return float(losses.sum(dtype=np.float64) / len(losses)) if len(losses) else 0.0  # where none counts

    def values(self, prediction: Array, target: Array) -> Array:
        """Return the cross-entropy of each target, 0 for those that do not count."""
        losses, counted = self._losses(prediction, target)
        return with_zeros(losses, counted).reshape(prediction.shape[:-1])

    def values_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape without the classes."""
        return shape[:-1]

    def _losses(self, prediction: Array, target: Array) -> tuple[Array, Array | None]:
        """Return the cross-entropy of each target that counts, and which of all do."""
        rows, u, counted = self._rows(prediction, target)
        if len(rows) == 0:
            return np.zeros(0, prediction.dtype), counted
        if self.from_logits:
            # logsumexp(z) = max z + log(1 + rest), where rest sums the exponentials but the largest, which is 1: so a
            # sample that is nearly certain keeps the last digits of its small loss.
            shifted, _, rest, _ = exponentials(rows)
            with np.errstate(invalid="ignore"):  # 0 * infinity, for a class that is masked or 10^38 behind
                losses: Array = np.log1p(rest) - (u * shifted).sum(axis=1)
            return (losses if is_finite(losses) else np.log1p(rest) + distances(rows, u)), counted
        hint = "; pass logits to SoftmaxCrossEntropy(from_logits=True)"
        check_distributions(prediction, "SoftmaxCrossEntropy prediction", hint)
        return -(u * np.log(np.maximum(rows, np.finfo(rows.dtype).tiny))).sum(axis=1), counted

    @without_false_alarms
    def gradient(self, prediction: Array, target: Array) -> Array:
        """Return `(p - u) / n` for logits, and `-u / p / n` for probabilities; 0 for targets that do not count."""
        self._check_matching_shapes(prediction.shape, target)
        z, u, counted = self._rows(prediction, target)
        if len(z) == 0:
            return np.zeros_like(prediction)
        if self.from_logits:
            _, e, rest, largest = exponentials(z)
            rows, total = np.arange(len(u)), 1 + rest
            gradient: Array = e / total[:, None] - u
            # For the largest, p = 1 - rest / total: p - u keeps its last digits if u is taken from the 1 first.
            gradient[rows, largest] = (1 - u[rows, largest]) - rest / total
        else:
            gradient = -u / np.maximum(z, np.finfo(z.dtype).tiny)
        gradient /= len(gradient)
        return with_zeros(gradient, counted).reshape(prediction.shape)

    def _rows(self, prediction: Array, target: Array) -> tuple[Array, Array, Array | None]:
        """Return predictions and smoothed targets (rows, classes) of the targets that count, and which of all do."""
        classes = prediction.shape[-1]
        rows = prediction.reshape(-1, classes)
        if target.ndim == prediction.ndim:
            u, counted = target.reshape(-1, classes), None
        else:
            indices = target.reshape(-1)
            counted = self.counted(indices)
            counted = None if counted is None or counted.all() else counted
            if counted is not None:
                rows, indices = rows[counted], indices[counted]
            u = np.zeros(rows.shape, prediction.dtype)
            u[np.arange(len(u)), indices] = 1
        if self.label_smoothing:
            u = (1 - self.label_smoothing) * u + self.label_smoothing / classes
        return rows, u.astype(prediction.dtype, copy=False), counted

    def counted(self, target: Array) -> Array | None:
        """Return which class indices are not `ignore_index`, None where there is no such index."""
        counted: Array | None = None if self.ignore_index is None else np.not_equal(target, self.ignore_index)
        return counted

    def right(self, prediction: Array, target: Array) -> Array:
        """Return for which targets the largest prediction is that of the right class."""
        classes = target if target.ndim < prediction.ndim else target.argmax(axis=-1)
        right: Array = prediction.argmax(axis=-1) == classes
        return right

    def class_weights(self, shape: tuple[int, ...], target: Array, weights: Array) -> Array:
        """Return the weight of the class, of a distribution over classes the mean of their weights."""
        if target.shape == shape:
            return np.asarray(target @ weights)
        counted = self.counted(target)
        return np.asarray(weights[target if counted is None else np.where(counted, target, 0)])

    def baseline_loss(self, target: Array) -> float | None:
        """Return `-sum_k u_k log u_k` of the mean smoothed target u, which is the lowest, with u the answer."""
        is_indices = target.dtype.kind in "iu"
        if is_indices and (self.label_smoothing or (target.ndim > 1 and (target.sum(axis=-1) == 1).all())):
            return None  # indices do not tell the number of classes, nor one-hot rows whether they are indices
        if is_indices:
            classes = self._classes(target)
            frequencies = np.bincount(classes) / len(classes)
        else:
            frequencies = target.reshape(-1, target.shape[-1]).mean(axis=0, dtype=np.float64)
        u = (1 - self.label_smoothing) * frequencies + self.label_smoothing / len(frequencies)
        u = u[u > 0]
        entropy = -float(u @ np.log(u))
        return entropy if entropy > 0 else None

    def check_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        """Raise a ValueError unless targets are rows like the predictions', or indices of their classes."""
        if len(shape) < 2 or shape[-1] < 2:
            raise ValueError(
                "SoftmaxCrossEntropy: expected a prediction (batch, ..., classes) of at least 2 classes, received "
                f"{shape}"
            )
        self._check_matching_shapes(shape, target)
        if target.shape == shape and self.ignore_index is not None:
            raise ValueError("SoftmaxCrossEntropy target: expected class indices beside an ignore_index, received rows")
        if target.shape == shape and target.dtype.kind in "iu":
            check_distributions(target, "SoftmaxCrossEntropy target")
        elif target.dtype.kind in "iu" and (largest := self._classes(target).max(initial=0)) >= shape[-1]:
            raise ValueError(
                f"SoftmaxCrossEntropy target: expected class indices below {shape[-1]}, the number of classes, "
                f"received {largest}"
            )

    def _classes(self, target: Array) -> Array:
        """Return the class indices that count, flat."""
        counted = self.counted(target)
        return target.reshape(-1) if counted is None else target[counted]

    def _check_matching_shapes(self, shape: tuple[int, ...], target: Array) -> None:
        if target.shape not in (shape[:-1], shape):
            hint = "; reshape it with target[:, 0]" if target.shape == (shape[0], 1) else ""
            raise ValueError(
                f"SoftmaxCrossEntropy: expected a target of shape {shape[:-1]} with class indices or {shape} with "
                f"probabilities, received {target.shape}{hint}"
            )

    def check_prediction(self, prediction: Array) -> None:
        """Raise a ValueError for predictions that are not finite, other than logits of -inf for masked classes."""
        if self.from_logits:
            check_logits(prediction, "SoftmaxCrossEntropy prediction")
        else:
            super().check_prediction(prediction)

    def check_target(self, target: Array) -> None:
        """Raise a ValueError for targets that are neither whole numbers from 0 nor rows of probabilities."""
        name = "SoftmaxCrossEntropy target"
        check_numbers(target, name)
        if target.dtype.kind in "iu":  # indices; as one-hot rows they are checked beside the predictions
            if (least := self._classes(target).min(initial=0)) < 0:
                raise ValueError(f"{name}: expected class indices of at least 0, received {least}")
        elif target.ndim == 1:
            raise ValueError(f"{name}: expected class indices of an integer dtype, received dtype {target.dtype}")
        else:
            is_whole = np.array_equal(target, np.floor(target))
            check_distributions(target, name, "; class indices have an integer dtype" if is_whole else "")

    def cast_target(self, target: Array, dtype: np.dtype[Any]) -> Array:
        """Return class indices as they are, and probabilities in the prediction's dtype."""
        return target if target.dtype.kind in "iu" else super().cast_target(target, dtype)

    def __repr__(self) -> str:
        ignored = "" if self.ignore_index is None else f", ignore_index={self.ignore_index}"
        return f"SoftmaxCrossEntropy(label_smoothing={self.label_smoothing:g}, from_logits={self.from_logits}{ignored})"
