"""Gradient accumulation: one update for several mini-batches, with the mean gradient over all their samples."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from minidl._typing import Array
from minidl._validation import positive_int
from minidl.data.batches import Batches
from minidl.losses import Loss
from minidl.optimizers import Optimizer
from minidl.training.problem import Problem
from minidl.training.rewrites.wrapped_optimizer import WrappedOptimizer


def accumulated(problem: Problem, every: int) -> Problem:
    """Return the problem with one update for `every` mini-batches of an epoch; those left at its end have one, too.

    Formula: with the gradients g_i of the mean losses of batches of n_i samples, `g = sum(n_i g_i) / sum(n_i)`, which
    is the gradient of the mean loss of all these samples together.

    Raises: ValueError for an `every` below 1, and for more than 1 with a full batch, of which an epoch has one alone.
    """
    every = positive_int(every, "accumulate")
    if every == 1:
        return problem
    if problem.batches.batch_size is None:
        raise ValueError(f"accumulate: expected a batch_size with it, received accumulate={every} and batch_size=None")
    optimizer = Accumulation(problem.optimizer, every)
    batches = WeighedBatches(problem.batches, optimizer, problem.loss)
    return replace(problem, optimizer=optimizer, batches=batches, accumulate=every)


class Accumulation(WrappedOptimizer):
    """Another optimizer, which steps once for so many steps of this one, along the mean of the gradients.

    Attributes: `weight` is the number of samples of the present batch.
    """

    def __init__(self, inner: Optimizer, every: int) -> None:
        super().__init__(inner)
        self.every = every
        self.restart()

    def restart(self) -> None:
        """Forget the gradients of a group of batches that broke off."""
        self.weight: float = 1
        self._total, self._count = 0.0, 0
        self._means: dict[int, Array] = {}

    def step(self) -> None:
        """Take the gradients of a batch into the mean, and step with the last batch of a group."""
        gradients = self._gradients()
        self._total += self.weight
        self._count += 1
        for i, gradient in gradients.items():
            if i not in self._means:  # the first batch, or the first since the parameter was unfrozen
                self._means[i] = gradient.copy()
            elif self._total > 0:
                self._means[i] += (gradient - self._means[i]) * (self.weight / self._total)
        if self._count == self.every:
            self.finish()

    def finish(self) -> None:
        """Step along the mean of what has come since the last step, if anything has."""
        if self._count:
            for i, mean in self._means.items():
                self.parameters[i].grad = mean
            self.restart()
            self.inner.step()


class WeighedBatches(Batches):
    """Batches that give an `Accumulation` the weight of each, and the sign when an epoch ends."""

    def __init__(self, own: Batches, optimizer: Accumulation, loss: Loss) -> None:
        vars(self).update(vars(own))
        self._own, self._optimizer, self._loss = own, optimizer, loss

    def __iter__(self) -> Generator[tuple[Any, Any], None, None]:
        self._optimizer.restart()
        batches = iter(self._own)
        try:
            for x, y in batches:
                self._optimizer.weight = self._loss.count(y)
                yield x, y
        finally:
            batches.close()  # where they are read ahead, by another thread
        self._optimizer.finish()
