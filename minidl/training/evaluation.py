"""Evaluation: loss and metrics of a problem's model over a set, in evaluation mode."""

from __future__ import annotations

from typing import Any

from minidl._calls import calling
from minidl._typing import Array
from minidl.training.problem import Problem, Tally


def evaluate(problem: Problem, x: Any, y: Array, batch_size: int | None) -> dict[str, float]:
    """Return the loss, the accuracy of a loss that classifies, and the metrics over all samples.

    Raises: ValueError as the loss does, for predictions that are not finite among others.
    """
    size = len(x) if batch_size is None else batch_size
    tally = Tally(problem.metrics)
    with calling(training=False):
        for start in range(0, len(x), size):
            output = problem.model(x[start : start + size])
            target = y[start : start + size]
            cost = problem.loss(output, target)
            tally.add(problem.measured(cost, output, target), len(output))
    return tally.results()
