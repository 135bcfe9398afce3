"""Callbacks: what is to happen beside training, between its epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from minidl._typing import Array
from minidl._validation import non_negative_number, positive_int

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer


class Callback:
    """The base of callbacks: three moments of `Trainer.fit` at which to look and act.

    The trainer offers `model`, `optimizer`, `history`, `epoch` (the number of completed epochs), `metric_names` and
    `stop()`. A callback that keeps something from epoch to epoch returns it from `state_dict()` (numbers, strings,
    arrays, and dictionaries and lists of them), so that checkpoints carry it, and takes it back in `load_state_dict`.

    `reads_model = False` promises that `on_epoch_end` looks at the weights through `trainer.model` only, which lets
    training put off computing them until then.

    >>> class Printer(Callback):
    ...     def on_epoch_end(self, trainer, epoch, metrics):
    ...         print(epoch, round(metrics["loss"], 1))
    """

    reads_model = True

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Run before the first epoch; what cannot work is best refused here."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        """Run after epoch number `epoch`, counted from 0, with its metrics."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Run after the last epoch, and after Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of this callback."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""


class EarlyStopping(Callback):
    """Stops training when a metric has not improved for so many epochs.

    An epoch improves when the metric is better than the best so far by more than `min_delta`: lower, or higher for
    an accuracy. With `restore_best` the weights of the best epoch are in the model after `fit`, however it ended
    except by Ctrl-C.

    Raises: ValueError for a patience below 1 or a `min_delta` below 0, and, before the first epoch, for a `monitor`
    that this run does not measure.

    >>> EarlyStopping(patience=3)
    EarlyStopping(monitor='val_loss', patience=3)
    """

    reads_model = False

    def __init__(
        self, monitor: str = "val_loss", patience: int = 10, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        self.monitor = monitor
        self.patience = positive_int(patience, "EarlyStopping patience")
        self.min_delta = non_negative_number(min_delta, "EarlyStopping min_delta")
        self.restore_best = restore_best
        self._reset()

    def _reset(self) -> None:
        self.best = math.inf  # of the metric, negated where more is better
        self.best_epoch = -1
        self.best_weights: Callable[[], dict[str, Array]] | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Check that the metric will be measured, and forget the run before; a resumed one may have ended already."""
        if self.monitor not in trainer.metric_names:
            hint = "; pass validation_data to fit" if self.monitor.startswith("val_") else ""
            names = ", ".join(trainer.metric_names)
            raise ValueError(f"EarlyStopping monitor: expected one of {names}, received {self.monitor!r}{hint}")
        if trainer.epoch == 0:
            self._reset()
        elif self._waited(trainer.epoch - 1):
            trainer.stop()

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note an improvement, or stop after too long without one."""
        value = -metrics[self.monitor] if "accuracy" in self.monitor else metrics[self.monitor]
        if value < self.best - self.min_delta:
            self.best, self.best_epoch = value, epoch
            if self.restore_best:
                self.best_weights = trainer.snapshot()
        elif self._waited(epoch):
            trainer.stop()

    def _waited(self, epoch: int) -> bool:
        return epoch - self.best_epoch >= self.patience

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put the best weights back."""
        if self.best_weights is not None and not trainer.history.interrupted:
            trainer.model.load_state_dict(self.best_weights())

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch and its weights."""
        weights = None if self.best_weights is None else self.best_weights()
        return {"best": self.best, "best_epoch": self.best_epoch, "best_weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the best value, its epoch and its weights."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        weights = state["best_weights"]
        self.best_weights = None if weights is None else lambda: weights

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience})"


class LearningRateSchedule(Callback):
    """Sets the optimizer's learning rate for each epoch from a function of the epoch's number.

    Formula: epoch e trains with `learning_rate = function(e)`, e counted from 0.

    Raises: ValueError, by the optimizer, for a rate that is not a finite number above 0.

    >>> schedule = LearningRateSchedule(lambda epoch: 0.1 * 0.5 ** (epoch // 10))
    """

    reads_model = False

    def __init__(self, function: Callable[[int], float]) -> None:
        self.function = function

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Set the rate of the first epoch to come."""
        if trainer.epoch < trainer.epochs:
            trainer.optimizer.learning_rate = self.function(trainer.epoch)

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        """Set the rate of the next epoch."""
        if epoch + 1 < trainer.epochs:
            trainer.optimizer.learning_rate = self.function(epoch + 1)
