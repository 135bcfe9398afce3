"""DistributedProblem: a problem whose batches are shared among processes, and whose measurements are of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.distributed.exchange import Exchange
from minidl.metrics import Metric
from minidl.training.problem import Problem, Tally


class DistributedTally(Tally):
    """What the batches of one pass have measured on all processes, each of its own part of them."""

    def __init__(self, metrics: Mapping[str, Metric], exchange: Exchange) -> None:
        super().__init__(metrics)
        self.exchange = exchange

    def add(self, record: Mapping[str, Any], count: float) -> None:
        """Add this process's part of a batch, if it has one."""
        if not self.exchange.is_stand_in:
            super().add(self.exchange.with_own_means(record), count)
        self.exchange.end_batch()

    def results(self) -> dict[str, float]:
        """Return the means and the metrics' results over all processes, which are the same numbers on all of them."""
        parts = self.exchange.group.allgather((self.count, self.sums))
        whole = Tally(self.metrics)
        for count, sums in parts:
            whole.count += count
            for name, value in sums.items():
                if name not in whole.sums:
                    whole.sums[name] = value
                elif name in self.metrics:
                    whole.sums[name] = self.metrics[name].merge(whole.sums[name], value)
                else:
                    whole.sums[name] += value
        return whole.results()


@dataclass(frozen=True)
class DistributedProblem(Problem):
    """A problem of which each process has its own samples, and the targets of all.

    Attributes: `exchange` has what the processes tell each other of the present batch; `validation` is this process's
    part.
    """

    exchange: Exchange = field(kw_only=True)

    def tally(self) -> Tally:
        """Return what sums up the measurements of all processes."""
        return DistributedTally(self.metrics, self.exchange)

    def cost(self, output: Array, y: Any) -> float:
        """Return the loss of this process's part of a batch.

        Where it is not finite the error comes with the optimizer's step, on all processes alike.
        """
        try:
            cost = float(self.loss.value(output, y))
        except ValueError:
            if is_finite(output):
                raise
            cost = math.nan
        names = [name for name in self.measured_names if name not in self.metrics]
        is_right = math.isfinite(cost)  # otherwise a metric may refuse such predictions
        self.exchange.keep(super().measured(cost, output, y) if is_right else {"loss": cost}, names)
        return cost

    def measured(self, cost: float, output: Array, y: Any) -> dict[str, Any]:
        """Return what a batch adds to the record of an epoch; in a training step, the loss is that of all processes."""
        record = self.exchange.take_record()
        return super().measured(cost, output, y) if record is None else record
