"""Metrics of numbers that are predicted: absolute and squared errors, and the share of the variance explained."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, check_finite
from minidl.metrics.metric import StreamingMetric
from minidl.metrics.weights import checked_weight, finite_sums, mean_of_defined, ratio


class MeanAbsoluteError(StreamingMetric):
    """The mean distance of predictions from their targets.

    Formula: `mean(|p - t|)`, over samples and outputs.

    Shapes: prediction and target alike, (n, ..., outputs), or (n,) beside (n, 1).

    Raises: ValueError for other shapes, for what is not finite, and for errors whose sum is not.

    >>> MeanAbsoluteError()([1.0, 4.0], [1.0, 2.0])
    1.0
    """

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> Array:
        """Return the weighted sum of the errors of each output, and that of the weights."""
        return _error_sums(prediction, target, weight, 1)

    def of_total(self, total: Array) -> float:
        """Return the mean."""
        return float(ratio(total[:-1], np.full(len(total) - 1, total[-1])).mean())


class RootMeanSquaredError(StreamingMetric):
    """The root of the mean squared error of each output, averaged over the outputs.

    Formula: `mean_k sqrt(mean_n (p_nk - t_nk)^2)`.

    Shapes, Raises: as for `MeanAbsoluteError`.

    >>> RootMeanSquaredError()([1.0, 4.0], [1.0, 2.0]) == 2**0.5
    True
    """

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> Array:
        """Return the weighted sum of the squared errors of each output, and that of the weights."""
        return _error_sums(prediction, target, weight, 2)

    def of_total(self, total: Array) -> float:
        """Return the mean of the roots."""
        return float(np.sqrt(ratio(total[:-1], np.full(len(total) - 1, total[-1]))).mean())


class _Moments(NamedTuple):
    """Of a set: the sum of the weights, the targets' means, their squared distances from these, the squared errors."""

    weight: float
    mean: Array
    spread: Array
    error: Array


class R2(StreamingMetric):
    """The share of the targets' variance that the predictions explain, averaged over the outputs.

    Formula: `1 - sum (t - p)^2 / sum (t - mean(t))^2`, for the outputs for which it is defined: those whose targets are
    not all the same. nan where there are none.

    Shapes, Raises: as for `MeanAbsoluteError`.

    Source: of two batches the sums about one mean are those of Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances", 1979.

    >>> R2()([1.0, 2.5, 3.0], [1.0, 2.0, 3.0])
    0.875
    """

    higher_is_better = True

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> _Moments:
        """Return the sums of a batch."""
        p, t, w = _outputs(prediction, target, weight)
        counted = w > 0
        p, t, w = p[counted], t[counted], w[counted]
        total, zero = float(w.sum()), np.zeros(p.shape[1])
        if total == 0:
            return _Moments(0.0, zero, zero, zero)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            mean = t[0] + (w / total) @ (t - t[0])  # exact for targets that are all the same
            spread, error = w @ np.square(t - mean), w @ np.square(t - p)
        return _Moments(total, mean, finite_sums(spread), finite_sums(error))

    def added(self, first: _Moments, second: _Moments) -> _Moments:
        """Return the sums of two batches together."""
        if first.weight == 0 or second.weight == 0:
            return second if first.weight == 0 else first
        total = first.weight + second.weight
        share = second.weight / total
        with np.errstate(over="ignore", under="ignore"):
            distance = second.mean - first.mean
            spread = first.spread + second.spread + np.square(distance) * first.weight * share
        return _Moments(total, first.mean + distance * share, finite_sums(spread), first.error + second.error)

    def of_total(self, total: _Moments) -> float:
        """Return the share."""
        with np.errstate(over="ignore"):
            return mean_of_defined(1 - ratio(total.error, total.spread))


def _error_sums(prediction: Any, target: Any, weight: Any, power: int) -> Array:
    """Return the weighted sum of a power of the errors of each output, and behind them that of the weights."""
    p, t, w = _outputs(prediction, target, weight)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return finite_sums(np.append(w @ np.abs(p - t) ** power, w.sum()))


def _outputs(prediction: Any, target: Any, weight: Any) -> tuple[Array, Array, Array]:
    """Return predictions and targets as float64 (samples, outputs), and weights (samples,)."""
    p, t = as_array(prediction, "prediction"), as_array(target, "target")
    if p.size == 0:
        raise ValueError(f"prediction: expected at least one sample, received shape {p.shape}")
    column = {(len(p),), (len(p), 1)} if p.ndim else set()
    if p.ndim == 0 or not (p.shape == t.shape or {p.shape, t.shape} <= column):
        raise ValueError(f"expected predictions and targets of one shape, received {p.shape} and {t.shape}")
    check_finite(p, "prediction")
    check_finite(t, "target")
    w = checked_weight(weight, len(p))
    outputs = p.shape[-1] if p.ndim > 1 else 1
    p, t = p.reshape(-1, outputs).astype(np.float64), t.reshape(-1, outputs).astype(np.float64)
    w = np.ones(len(p)) if w is None else np.repeat(w, len(p) // len(w))
    return p, t, w
