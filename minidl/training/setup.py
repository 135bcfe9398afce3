"""Setup: what `fit` and `evaluate` set up before they begin, of which training on several processes has its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minidl.losses import Loss
from minidl.metrics import Metric
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback
from minidl.training.checked_data import Data
from minidl.training.checkpoint import TrainingState
from minidl.training.interrupts import Interrupts
from minidl.training.preparation import problem_to_evaluate, written_problem
from minidl.training.problem import Problem
from minidl.training.run import Run


class Setup:
    """Makes what one process trains with out of what it is given.

    >>> Setup().interrupts().pressed
    0
    """

    def interrupts(self) -> Interrupts:
        """Return what handles Ctrl-C."""
        return Interrupts()

    def written(
        self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
    ) -> Problem:
        """Return the problem as its user has written it, after all checks."""
        return written_problem(model, loss, optimizer, metrics, given)

    def to_evaluate(
        self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
    ) -> Problem:
        """Return the problem whose batches are the samples to evaluate on, after all checks."""
        return problem_to_evaluate(model, loss, optimizer, metrics, given)

    def run(
        self,
        written: Problem,
        problem: Problem,
        epochs: int,
        callbacks: Sequence[Callback],
        resumed: TrainingState | None,
        interrupts: Interrupts,
    ) -> Run:
        """Return the run of a problem after its rewrites."""
        return Run(written, problem, epochs, callbacks, resumed, interrupts)

    def called_here(self, callbacks: Sequence[Callback]) -> Sequence[Callback]:
        """Return the callbacks that are called in this process: here all."""
        return callbacks


def begin(run: Run, callbacks: Sequence[Callback]) -> None:
    """Let the callbacks refuse what cannot work."""
    learning_rate = run.optimizer.learning_rate
    try:
        for callback in callbacks:
            callback.on_fit_begin(run)
    except BaseException:
        run.optimizer.learning_rate = learning_rate  # which an earlier callback may have set
        raise
