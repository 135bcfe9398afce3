"""LearningRateSchedule: a learning rate of its own for each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from minidl.training.callbacks.callback import Callback
from minidl.training.run import Run


class LearningRateSchedule(Callback):
    """Sets the optimizer's learning rate for each epoch from a function of the epoch's number.

    Formula: epoch e trains with `learning_rate = function(e)`, e counted from 0.

    Raises: ValueError, by the optimizer, for a rate that is not a finite number above 0.

    >>> schedule = LearningRateSchedule(lambda epoch: 0.1 * 0.5 ** (epoch // 10))
    """

    def __init__(self, function: Callable[[int], float]) -> None:
        self.function = function

    def on_fit_begin(self, run: Run) -> None:
        """Set the rate of the first epoch to come."""
        if run.epoch < run.epochs:
            run.optimizer.learning_rate = self.function(run.epoch)

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Set the rate of the next epoch."""
        if epoch + 1 < run.epochs:
            run.optimizer.learning_rate = self.function(epoch + 1)
