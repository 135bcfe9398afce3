"""What callbacks share that watch one metric: its direction and the best value so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from minidl._validation import is_natural, shown
from minidl.training.callbacks.callback import Callback
from minidl.training.run import Run


class Monitoring(Callback):
    """The base of callbacks that compare a metric with its best value so far, in the metric's own direction."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self._sign = 1.0
        self.reset()

    def reset(self) -> None:
        """Forget the run before."""
        self.best = math.inf  # of the metric, negated where higher is better
        self.best_epoch = -1

    def on_fit_begin(self, run: Run) -> None:
        """Check that the metric will be measured, and forget the run before unless this one goes on with it."""
        try:
            self._sign = -1.0 if run.higher_is_better(self.monitor) else 1.0
        except ValueError as error:
            missing = self.monitor.startswith("val_") and not any(n.startswith("val_") for n in run.metric_names)
            hint = "; pass validation_data to fit" if missing else ""
            raise ValueError(f"{type(self).__name__} monitor: {error}{hint}") from None
        if run.epoch == 0:
            self.reset()

    def has_improved(self, epoch: int, metrics: Mapping[str, float], by: float = 0.0) -> bool:
        """Note the metric of an epoch and return whether it is the best so far, by more than so much."""
        value = self._sign * metrics[self.monitor]
        if not value < self.best - by:
            return False
        self.best, self.best_epoch = value, epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the best value and its epoch.

        Raises: ValueError for anything that `state_dict` does not return.
        """
        best, epoch = state.get("best"), state.get("best_epoch")
        is_number = isinstance(best, (int, float)) and not isinstance(best, bool) and not math.isnan(best)
        if not is_number or not is_natural(epoch + 1 if isinstance(epoch, int) else None):
            raise ValueError(
                f"{type(self).__name__} state: expected a best value and its epoch, "
                f"received {shown(best)}, {shown(epoch)}"
            )
        self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
