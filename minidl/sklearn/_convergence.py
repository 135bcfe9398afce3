"""Convergence: the end of a run that no longer improves, and its learning rate, by scikit-learn's rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.sklearn._settings import Settings
from minidl.training import Callback, Run
from minidl.training.snapshot import Snapshot

SMALLEST_RATE = 1e-6  # scikit-learn's: a rate that is not above it is not divided again


class Convergence(Callback):
    """Records the loss of each epoch, with its penalty, and stops when it no longer improves, or the score does not.

    Formula: an epoch improves when its loss is at most the best so far minus `tol`, or its score at least the best so
    far plus `tol`. After more than `n_iter_no_change` epochs in a row that do not, training stops, or, for an
    "adaptive" learning rate above 1e-6, goes on with a fifth of it.

    Arguments: `averaged` is the number of outputs of which the loss is a sum and its record a mean, as scikit-learn's;
    `penalty` is the factor of `sum(w^2) / 2` over the weights that decay; `samples_seen` and `best_loss` are those of
    the runs that this one goes on from; `score` is a function of the network, measured on held-out samples, and the
    weights of the best score are put back at the end.
    """

    def __init__(
        self,
        settings: Settings,
        samples: int,
        averaged: int,
        penalty: float,
        samples_seen: int = 0,
        best_loss: float = math.inf,
        score: Callable[[Module], float] | None = None,
    ) -> None:
        self.settings, self.samples, self.averaged = settings, samples, averaged
        self.penalty, self.score = penalty, score
        self.samples_seen, self.best_loss, self.best_score = samples_seen, best_loss, -math.inf
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.without_improvement = 0
        self.has_converged = False
        self._best: Snapshot | None = None

    def on_fit_begin(self, run: Run) -> None:
        """Note which weights decay, and the penalty that the first epoch begins with."""
        moving = [parameter for parameter in run.optimizer.parameters if not parameter.frozen]
        self._decaying = [parameter for parameter in moving if parameter.data.ndim > 1]
        self._penalty_before = self._penalty()

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record the epoch, and stop or lower the learning rate where it is time to."""
        self.losses.append(metrics["loss"] / self.averaged + self._penalty_before)
        self._penalty_before = self._penalty()
        if self.score is None:
            self._count(self.losses[-1] <= self.best_loss - self.settings.tol)
            self.best_loss = min(self.best_loss, self.losses[-1])
        else:
            self._note_score(run, self.score(run.model))
        self.samples_seen += self.samples
        if self.settings.learning_rate == "invscaling":
            share = (self.samples_seen + 1.0) ** -self.settings.power_t
            _set_rate(run.optimizer, self.settings.learning_rate_init * share)
        if self.without_improvement > self.settings.n_iter_no_change:
            self._end_or_slow_down(run)

    def on_fit_end(self, run: Run) -> None:
        """Put the weights of the best score back."""
        if self._best is not None:
            run.restore(self._best)
            self._best = None

    def _note_score(self, run: Run, score: float) -> None:
        self.scores.append(score)
        self._count(score >= self.best_score + self.settings.tol)
        if score > self.best_score:
            self.best_score, self._best = score, run.snapshot()

    def _count(self, has_improved: bool) -> None:
        self.without_improvement = 0 if has_improved else self.without_improvement + 1

    def _end_or_slow_down(self, run: Run) -> None:
        rate = run.optimizer.learning_rate
        if self.settings.learning_rate == "adaptive" and rate > SMALLEST_RATE:
            _set_rate(run.optimizer, rate / 5)
            self.without_improvement = 0
        else:
            self.has_converged = True
            run.stop()

    def _penalty(self) -> float:
        if not self.penalty:
            return 0.0
        return 0.5 * self.penalty * sum(float(np.vdot(weight.data, weight.data)) for weight in self._decaying)


def _set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate; a velocity goes on at its own pace, as scikit-learn's has the rate in it."""
    for state in optimizer.state:
        if "velocity" in state and rate > 0:
            state["velocity"] *= optimizer.learning_rate / rate
    optimizer.learning_rate = rate
