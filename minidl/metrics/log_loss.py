"""The logarithmic loss as a metric: how sure a network was of what is true."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import flag
from minidl.functional import logsumexp, softplus
from minidl.metrics.classes import (
    check_of_two,
    check_probabilities,
    in_unit_interval,
    meant_of_columns,
    paired_samples,
)
from minidl.metrics.metric import StreamingMetric
from minidl.metrics.weights import checked_weight, finite_sums, ratio, sums

HINT = "; for logits there is from_logits=True"


class LogLoss(StreamingMetric):
    """The mean negative logarithm of the probability of what is true.

    Formula: `-mean(log p_t)`, for one column `-mean(t log p + (1 - t) log(1 - p))`. Probabilities are taken from eps to
    1 - eps, the precision of their dtype, as in scikit-learn, so that a wrong answer without doubt does not count
    infinitely much. Of logits the logarithm is computed directly, and nothing is cut off.

    Shapes: prediction (n,) or (n, 1) and target alike, with numbers in [0, 1]; or prediction (n, classes) and target
    (n,), (n, 1) or rows of probabilities (n, classes).

    Raises: ValueError as all metrics, and for predictions that are not probabilities where no logits are expected.

    >>> round(LogLoss()([0.9, 0.2], [1, 0]), 4)
    0.1643
    >>> round(LogLoss(from_logits=True)([[2.0, 0.0, 0.0]], [0]), 4)
    0.2395
    """

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = flag(from_logits, "LogLoss from_logits")

    @without_false_alarms
    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> Array:
        """Return the sum of the losses and that of the weights."""
        p, t = paired_samples(prediction, target)
        with np.errstate(over="ignore"):
            losses = self._of_column(p, t) if p.ndim == 1 else self._of_columns(p, t)
            return finite_sums(sums(losses, checked_weight(weight, len(t))))

    def _of_column(self, p: Array, t: Array) -> Array:
        check_of_two(t)
        t = t.astype(np.float64)
        if self.from_logits:
            z = p.astype(np.float64)
            return softplus(z) - t * z
        if not in_unit_interval(p):
            raise ValueError(
                f"prediction: expected probabilities in [0, 1], received values from {p.min()} to {p.max()}{HINT}"
            )
        p, least = _as_float64(p)
        of_1, of_0 = np.clip(p, least, 1 - least), np.clip(1 - p, least, 1 - least)
        losses: Array = -(t * np.log(of_1) + (1 - t) * np.log(of_0))
        return losses

    def _of_columns(self, p: Array, t: Array) -> Array:
        classes = meant_of_columns(t, p.shape[1]).astype(np.intp)
        if self.from_logits:
            z = p.astype(np.float64)
            logs = z - logsumexp(z)[:, None]
        else:
            check_probabilities(p, "prediction", HINT)
            p, least = _as_float64(p)
            logs = np.log(np.clip(p, least, 1 - least))
        losses: Array = -logs[np.arange(len(p)), classes] if t.ndim == 1 else -(t * logs).sum(axis=1)
        return losses

    def of_total(self, total: Array) -> float:
        """Return the mean."""
        return float(ratio(total[0], total[1]))


def _as_float64(p: Array) -> tuple[Array, float]:
    """Return probabilities in float64, and the precision that they came in."""
    return p.astype(np.float64), float(np.finfo(p.dtype if p.dtype.kind == "f" else np.float64).eps)
