"""Metric: a number for people, measured over a whole set in batches, with a direction."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minidl._typing import Array

MetricFunction: TypeAlias = Callable[[Array, Array], float]

CHUNK = 4096  # samples: a batch of 32 takes `Accuracy` 9 us, where each on its own takes 70 (a busy 2-core machine)
WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Metric:
    """The base of every metric.

    A new metric defines `measure(prediction, target)`, which returns what it needs to know of one batch, such as
    counts, and `result(measured)`, which makes the number out of what was measured of all batches. Measurements of two
    batches are joined by `merge`, a sum unless a metric says otherwise. A metric keeps no state, so that training and
    any number of evaluations may use one at the same time.

    Predictions are the model's outputs; targets are as the loss takes them. Weights of samples are a third argument of
    `measure`, `weight=None`, which a metric without them leaves out.

    Called with predictions and targets, a metric returns its number for these alone.

    >>> class LargestError(Metric):
    ...     def measure(self, prediction, target):
    ...         return np.abs(prediction - target).max()
    ...     def merge(self, first, second):
    ...         return max(first, second)
    ...     def result(self, measured):
    ...         return measured
    >>> metric = LargestError()
    >>> metric.name, float(metric(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    ('largest_error', 2.0)
    """

    higher_is_better: bool = False
    """The direction, for callbacks that compare epochs."""

    name: str = "metric"
    """What training records the metric as where it is given no other name: its class's name, in small letters."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = WORD_ENDS.sub("_", cls.__name__.strip("_")).lower()

    def __call__(self, prediction: Any, target: Any, weight: Any = None) -> float:
        """Return the number for one set of predictions and targets."""
        measure: Any = self.measure  # which takes weights where the metric does
        return self.result(measure(prediction, target) if weight is None else measure(prediction, target, weight))

    def measure(self, prediction: Array, target: Array) -> Any:
        """Return what is to be known of one batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define measure(prediction, target)")

    def merge(self, first: Any, second: Any) -> Any:
        """Return what is to be known of two batches together."""
        return first + second

    def result(self, measured: Any) -> float:
        """Return the number for all batches together."""
        raise NotImplementedError(f"{type(self).__name__} does not define result(measured)")


class CollectingMetric(Metric):
    """The base of metrics that need all samples of a set at once, and so collect them.

    A metric of this kind defines `of_all(prediction, target, weight)`, the number for a whole set.
    """

    def measure(self, prediction: Any, target: Any, weight: Any = None) -> tuple[list[Any], ...]:
        """Return copies of all."""
        return [np.array(prediction)], [np.array(target)], [None if weight is None else np.array(weight)]

    def merge(self, first: tuple[list[Any], ...], second: tuple[list[Any], ...]) -> tuple[list[Any], ...]:
        """Return the batches one after the other."""
        for one, other in zip(first, second, strict=True):
            one.extend(other)
        return first

    def result(self, measured: tuple[list[Any], ...]) -> float:
        """Return the number for all samples."""
        predictions, targets, weights = measured
        weight = None
        if any(part is not None for part in weights):
            pairs = zip(weights, targets, strict=True)
            weight = np.concatenate([np.ones(len(t)) if w is None else np.asarray(w).reshape(-1) for w, t in pairs])
        return float(self.of_all(np.concatenate(predictions), np.concatenate(targets), weight))

    def of_all(self, prediction: Array, target: Array, weight: Array | None) -> float:
        """Return the number for a whole set."""
        raise NotImplementedError(f"{type(self).__name__} does not define of_all(prediction, target, weight)")


class _Part(NamedTuple):
    """What a StreamingMetric knows of some batches: a total, and of those beside it arrays, samples and their kind."""

    total: Any
    batches: list[tuple[Array, ...]]
    waiting: int
    kind: Any = None  # the shape of a sample and the dtype of each array: only batches of one kind can be joined


class StreamingMetric(Metric):
    """The base of metrics that add up a total, and compute it for many small batches at once.

    Most of what a batch of 32 costs is the price of calling NumPy. Batches are copied and computed when there are
    `CHUNK` samples of them, or at the end. A metric of this kind defines `of_batch(prediction, target, weight)`, which
    returns the total for these samples, `of_total(total)`, the number, and, where totals are not added, `added`.
    """

    def measure(self, prediction: Any, target: Any, weight: Any = None) -> _Part:
        """Return copies of a small batch, the total of any other."""
        batch = (prediction, target) if weight is None else (prediction, target, weight)
        if all(type(array) is np.ndarray and array.ndim for array in batch):
            n = len(prediction)
            if n < CHUNK and all(len(array) == n for array in batch):
                kind = [(array.shape[1:], array.dtype) for array in batch]
                return _Part(None, [tuple([array.copy() for array in batch])], n, kind)
        return _Part(self.of_batch(prediction, target, weight), [], 0)

    def merge(self, first: _Part, second: _Part) -> _Part:
        """Return what is known of both, with a total for whole chunks."""
        if first.kind and second.kind and first.kind != second.kind:
            first = _Part(self._total(first), [], 0)
        first.batches.extend(second.batches)
        total, waiting = self._joined(first.total, second.total), first.waiting + second.waiting
        part = _Part(total, first.batches, waiting, first.kind or second.kind)
        return part if waiting < CHUNK else _Part(self._total(part), [], 0)

    def result(self, measured: _Part) -> float:
        """Return the number for all batches together."""
        return self.of_total(self._total(measured))

    def __call__(self, prediction: Any, target: Any, weight: Any = None) -> float:
        """Return the number for one set of predictions and targets."""
        return self.of_total(self.of_batch(prediction, target, weight))

    def _total(self, part: _Part) -> Any:
        if not part.batches:
            return part.total
        arrays = [np.concatenate(column) for column in zip(*part.batches, strict=True)]
        return self._joined(part.total, self.of_batch(*arrays))

    def _joined(self, first: Any, second: Any) -> Any:
        return second if first is None else first if second is None else self.added(first, second)

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> Any:
        """Return the total for some samples."""
        raise NotImplementedError

    def added(self, first: Any, second: Any) -> Any:
        """Return the total of two."""
        return first + second

    def of_total(self, total: Any) -> float:
        """Return the number that a total stands for."""
        raise NotImplementedError


class FunctionMetric(CollectingMetric):
    """A metric from a function of all predictions and targets of a set, which it collects.

    Arguments: `function(prediction, target)` returns a number; `higher_is_better` is the direction. Weights of samples
    are handed to a function with an argument `sample_weight`; for any other all samples count alike.

    >>> metric = FunctionMetric(lambda prediction, target: float(np.abs(prediction - target).max()))
    >>> metric.result(metric.measure(np.array([1.0, 4.0]), np.array([1.0, 2.0])))
    2.0
    """

    def __init__(self, function: MetricFunction, *, higher_is_better: bool = False) -> None:
        self.function = function
        self.higher_is_better = higher_is_better
        self.name = getattr(function, "__name__", type(function).__name__)

    def of_all(self, prediction: Array, target: Array, weight: Array | None) -> float:
        """Return the function's value."""
        if weight is None or not _takes_weights(self.function):
            return self.function(prediction, target)
        function: Any = self.function
        number: float = function(prediction, target, sample_weight=weight)
        return number


def _takes_weights(function: Callable[..., Any]) -> bool:
    from inspect import signature  # here, as `import minidl` need not wait for it

    try:
        return "sample_weight" in signature(function).parameters
    except (TypeError, ValueError):  # a function that says nothing of its arguments
        return False
