"""ReduceOnPlateau: a smaller learning rate for a run that no longer improves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl._validation import is_natural, non_negative_number, positive_int, positive_number, shown
from minidl.training.callbacks._monitoring import Monitoring
from minidl.training.run import Run


class ReduceOnPlateau(Monitoring):
    """Multiplies the learning rate by a factor when a metric has not improved for so many epochs.

    Formula: `learning_rate <- max(factor * learning_rate, min_rate)`, `patience` epochs after the last improvement or
    the last reduction. An epoch improves when the metric is better than the best so far by more than `min_delta`, in
    the metric's own direction. A rate that is at most `min_rate` stays as it is. A `LearningRateSchedule` in the same
    run would set the rate anew.

    Raises: ValueError for a factor outside (0, 1), a patience below 1, a `min_delta` or `min_rate` below 0, and,
    before the first epoch, for a `monitor` that this run does not measure.

    >>> ReduceOnPlateau(factor=0.5, patience=3)
    ReduceOnPlateau(monitor='val_loss', factor=0.5, patience=3)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        min_rate: float = 0.0,
    ) -> None:
        self.factor = positive_number(factor, "ReduceOnPlateau factor")
        if self.factor >= 1:
            raise ValueError(f"ReduceOnPlateau factor: expected a number below 1, received {shown(factor)}")
        self.patience = positive_int(patience, "ReduceOnPlateau patience")
        self.min_delta = non_negative_number(min_delta, "ReduceOnPlateau min_delta")
        self.min_rate = non_negative_number(min_rate, "ReduceOnPlateau min_rate")
        super().__init__(monitor)

    def reset(self) -> None:
        """Forget the run before."""
        super().reset()
        self.waiting_since = -1  # the epoch of the last improvement or reduction

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note an improvement, or reduce the rate after too long without one."""
        if self.has_improved(epoch, metrics, by=self.min_delta):
            self.waiting_since = epoch
        elif epoch - self.waiting_since >= self.patience:
            self.waiting_since, rate = epoch, run.optimizer.learning_rate
            run.optimizer.learning_rate = min(rate, max(self.factor * rate, self.min_rate))

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, its epoch, and the epoch from which on it waits."""
        return {**super().state_dict(), "waiting_since": self.waiting_since}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises: ValueError for anything that `state_dict` does not return.
        """
        since = state.get("waiting_since")
        if not is_natural(since + 1 if isinstance(since, int) else None):
            raise ValueError(f"ReduceOnPlateau state: expected the epoch it waits from, received {shown(since)}")
        super().load_state_dict(state)
        self.waiting_since = int(state["waiting_since"])

    def __repr__(self) -> str:
        return f"ReduceOnPlateau(monitor={self.monitor!r}, factor={self.factor:g}, patience={self.patience})"
