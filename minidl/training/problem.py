"""Problem: what is trained. `fit` makes one, rewrites return others that compute the same thing better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.data.batches import Batches
from minidl.errors import NonFiniteError
from minidl.losses import Loss
from minidl.metrics import Metric
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.parameter import Parameter
from minidl.training.span import Span


class WeightsElsewhere(Protocol):
    """Weights that training holds in another form than the model's own; inside `with` the model's own follow it.

    Attributes: `weight` is the Parameter that is trained so, the first layer's.
    """

    weight: Parameter

    def __enter__(self) -> WeightsElsewhere: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def push(self, *, always: bool) -> None:
        """Go on from the model's own weights, if something has changed them, or always."""

    def lazy_copies(self) -> dict[int, Any]:
        """Return these weights of this moment, computed when they are read, by the `id` of what holds them."""

    def span(self) -> Span | None:
        """Return the first layer's weight as a combination of the samples, if nothing else has changed it."""

    def watch(self, x: Array) -> Array:
        """Return what stands for further samples `x` in the rewritten problem, kept right until training ends."""

    def gradient_norm(self) -> float | None:
        """Return the norm of the weight's gradient; None before a step."""


@dataclass(frozen=True)
class Problem:
    """What one run trains: a model that is fed with batches, its loss, and the optimizer of its parameters.

    Attributes: `validation` is None or a pair (x, y); `metrics` are measured beside the loss, on the predictions that
    `activation` makes of the model's outputs where a rewrite has taken it off the model; `weights_elsewhere` holds
    weights that are not trained as they are. Where samples or classes have weights, the loss is a `WeightedLoss` and
    the targets are tuples (target, weight for the loss) or, with weights of samples, (..., weight for the metrics).
    `accumulate` is the number of batches that share an update.
    """

    model: Module
    loss: Loss
    optimizer: Optimizer
    batches: Batches
    validation: tuple[Any, Array] | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    activation: Module | None = None
    weights_elsewhere: WeightsElsewhere | None = None
    accumulate: int = 1

    def tally(self) -> Tally:
        """Return what sums up the measurements of one pass over a set."""
        return Tally(self.metrics)

    def cost(self, output: Array, y: Any) -> float:
        """Return the loss of a batch whose shapes and targets were checked before training.

        Raises: NonFiniteError where the output or its loss is not finite; ValueError as the loss does.
        """
        try:
            cost = float(self.loss.value(output, y))
        except ValueError:
            if is_finite(output):
                raise
            raise NonFiniteError("the network's output is not finite") from None
        if not math.isfinite(cost):
            what = f"the cost is {cost}" if is_finite(output) else "the network's output is not finite"
            raise NonFiniteError(what)
        return cost

    def measured(self, cost: float, output: Array, y: Any) -> dict[str, Any]:
        """Return what a batch adds to the record of an epoch: its means, and what each metric measured of it."""
        record: dict[str, Any] = {"loss": cost}
        if self.loss.classifies and "accuracy" not in self.metrics:
            record["accuracy"] = self.loss.accuracy(output, y)
        if self.metrics:
            prediction = output if self.activation is None else self.activation.forward(output)
            targets = (y[0], *y[2:]) if isinstance(y, tuple) else (y,)  # without the weights of the loss
            for name, metric in self.metrics.items():
                try:
                    record[name] = metric.measure(prediction, *targets)
                except ValueError as error:
                    raise ValueError(f"metrics {name}: {error}") from None
        return record

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The names in `measured`."""
        return tuple(dict.fromkeys(("loss", *(("accuracy",) if self.loss.classifies else ()), *self.metrics)))

    def higher_is_better(self, name: str) -> bool:
        """Return the direction of what is measured under this name."""
        return self.metrics[name].higher_is_better if name in self.metrics else name == "accuracy"


class Tally:
    """What the batches of one pass over a set have measured, summed up.

    >>> tally = Tally({})
    >>> tally.add({"loss": 2.0}, count=1)
    >>> tally.add({"loss": 5.0}, count=2)
    >>> tally.results()
    {'loss': 4.0}
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        self.count = 0.0
        self.sums: dict[str, Any] = {}

    def add(self, record: Mapping[str, Any], count: float) -> None:
        """Add a batch; what is no metric's measurement is the mean over so many targets."""
        self.count += count
        sums = self.sums
        for name, value in record.items():
            if name not in self.metrics:
                sums[name] = sums.get(name, 0.0) + value * count
            else:
                sums[name] = self.metrics[name].merge(sums[name], value) if name in sums else value

    def results(self) -> dict[str, float]:
        """Return the mean or the metric's result for all samples together."""
        return {
            name: _result(name, self.metrics[name], total) if name in self.metrics else float(total / (self.count or 1))
            for name, total in self.sums.items()
        }


def _result(name: str, metric: Metric, total: Any) -> float:
    try:
        return float(metric.result(total))
    except ValueError as error:
        raise ValueError(f"metrics {name}: {error}") from None
