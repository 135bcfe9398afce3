"""Evaluation: loss and metrics of a problem's model over a set, in evaluation mode."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any

from minidl._calls import calling
from minidl._validation import is_finite
from minidl.data.batches import in_order
from minidl.errors import LayerInputError, NonFiniteError
from minidl.training.problem import Problem


def evaluate(problem: Problem, batches: Generator[tuple[Any, Any], None, None]) -> dict[str, float]:
    """Return the loss, the accuracy of a loss that classifies, and the metrics over all batches, which end here.

    Raises: NonFiniteError for outputs that are not finite; ValueError as the loss does.
    """
    tally = problem.tally()
    with calling(training=False), closing(batches):
        for x, target in batches:
            output = problem.model(x)
            if not is_finite(output):
                raise NonFiniteError("the network's output is not finite")
            cost = problem.loss(output, target)
            tally.add(problem.measured(cost, output, target), problem.loss.count(target))
    return tally.results()


def validate(problem: Problem) -> dict[str, float]:
    """Return what `evaluate` does of the validation samples, its names with `val_` before them, nothing without any.

    Raises: as `evaluate` does, with a word on the validation samples.
    """
    if problem.validation is None:
        return {}
    try:
        found = evaluate(problem, in_order(*problem.validation, problem.batches.batch_size))
    except NonFiniteError as error:
        raise NonFiniteError(f"{error} for the validation samples") from None
    except ValueError as error:
        if isinstance(error, LayerInputError) or str(error).startswith("validation"):  # it names them already
            raise
        raise ValueError(f"validation samples: {error}") from None
    return {f"val_{name}": value for name, value in found.items()}
