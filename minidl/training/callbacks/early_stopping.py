"""EarlyStopping: the end of a run that no longer improves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl._validation import non_negative_number, positive_int, shown
from minidl.training.callbacks._monitoring import Monitoring
from minidl.training.run import Run


class EarlyStopping(Monitoring):
    """Stops training when a metric has not improved for so many epochs.

    An epoch improves when the metric is better than the best so far by more than `min_delta`, in the metric's own
    direction. With `restore_best` the weights that had the best value, and what the optimizer remembered with them, are
    in place after `fit`, however it ended except by Ctrl-C: for a metric of the validation samples those at the end of
    the best epoch, for one of a full batch of training samples, which is measured before the update, those at its
    beginning. A mini-batch epoch measures its training samples while the weights move; those at its end are kept.

    Raises: ValueError for a patience below 1 or a `min_delta` below 0, and, before the first epoch, for a `monitor`
    that this run does not measure.

    >>> EarlyStopping(patience=3)
    EarlyStopping(monitor='val_loss', patience=3)
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 10, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        self.patience = positive_int(patience, "EarlyStopping patience")
        self.min_delta = non_negative_number(min_delta, "EarlyStopping min_delta")
        self.restore_best = restore_best
        self._before_epoch: Mapping[str, Any] | None = None
        super().__init__(monitor)

    def reset(self) -> None:
        """Forget the run before."""
        super().reset()
        self.best_weights: Mapping[str, Any] | None = None

    def on_fit_begin(self, run: Run) -> None:
        """Check that the metric will be measured, and forget the run before; a resumed one may have ended already."""
        super().on_fit_begin(run)
        self._keeps_before = self.restore_best and run.measures_before_update(self.monitor)
        self._before_epoch = run.snapshot() if self._keeps_before else None
        if run.epoch > 0 and self._has_waited(run.epoch - 1):
            run.stop()

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note an improvement, or stop after too long without one."""
        if self.has_improved(epoch, metrics, by=self.min_delta):
            if self.restore_best:
                self.best_weights = self._before_epoch if self._keeps_before else run.snapshot()
        elif self._has_waited(epoch):
            run.stop()
        if self._keeps_before:
            self._before_epoch = run.snapshot()

    def _has_waited(self, epoch: int) -> bool:
        return epoch - self.best_epoch >= self.patience

    def on_fit_end(self, run: Run) -> None:
        """Put the best weights back."""
        if self.best_weights is not None and not run.history.interrupted:
            run.restore(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch and its weights."""
        return {**super().state_dict(), "best_weights": self.best_weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the best value, its epoch and its weights.

        Raises: ValueError for anything that `state_dict` does not return.
        """
        weights = state.get("best_weights")
        if weights is not None and not (isinstance(weights, dict) and weights.keys() == {"model", "optimizer"}):
            raise ValueError(f"EarlyStopping state: expected weights of model and optimizer, received {shown(weights)}")
        super().load_state_dict(state)
        self.best_weights = weights

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience})"
