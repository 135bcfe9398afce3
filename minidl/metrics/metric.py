"""Metric: a number for people, measured over a whole set in batches, with a direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minidl._typing import Array

MetricFunction: TypeAlias = Callable[[Array, Array], float]


class Metric:
    """The base of every metric.

    A new metric defines `measure(prediction, target)`, which returns what it needs to know of one batch, such as
    counts, and `result(measured)`, which makes the number out of what was measured of all batches. Measurements of two
    batches are joined by `merge`, a sum unless a metric says otherwise. A metric keeps no state, so that training and
    any number of evaluations may use one at the same time.

    Predictions are the model's outputs; targets are as the loss takes them.

    >>> class MeanAbsoluteError(Metric):
    ...     def measure(self, prediction, target):
    ...         return np.array([np.abs(prediction - target).sum(), target.size])
    ...     def result(self, measured):
    ...         return measured[0] / measured[1]
    """

    higher_is_better: bool = False
    """The direction, for callbacks that compare epochs."""

    def measure(self, prediction: Array, target: Array) -> Any:
        """Return what is to be known of one batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define measure(prediction, target)")

    def merge(self, first: Any, second: Any) -> Any:
        """Return what is to be known of two batches together."""
        return first + second

    def result(self, measured: Any) -> float:
        """Return the number for all batches together."""
        raise NotImplementedError(f"{type(self).__name__} does not define result(measured)")


class FunctionMetric(Metric):
    """A metric from a function of all predictions and targets of a set, which it collects.

    Arguments: `function(prediction, target)` returns a number; `higher_is_better` is the direction.

    >>> metric = FunctionMetric(lambda prediction, target: float(np.abs(prediction - target).max()))
    >>> metric.result(metric.measure(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    2.0
    """

    def __init__(self, function: MetricFunction, *, higher_is_better: bool = False) -> None:
        self.function = function
        self.higher_is_better = higher_is_better

    def measure(self, prediction: Array, target: Array) -> tuple[list[Array], list[Array]]:
        """Return copies of both."""
        return [prediction.copy()], [target.copy()]

    def merge(
        self, first: tuple[list[Array], list[Array]], second: tuple[list[Array], list[Array]]
    ) -> tuple[list[Array], list[Array]]:
        """Return the batches one after the other."""
        first[0].extend(second[0])
        first[1].extend(second[1])
        return first

    def result(self, measured: tuple[list[Array], list[Array]]) -> float:
        """Return the function's value for all samples."""
        return float(self.function(np.concatenate(measured[0]), np.concatenate(measured[1])))
