"""LearningRateSchedule: a learning rate of its own for each epoch or each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from minidl._validation import is_natural, shown
from minidl.training.callbacks.callback import Callback
from minidl.training.run import Run


class LearningRateSchedule(Callback):
    """Sets the optimizer's learning rate for each epoch, or each training step, from a function of its number.

    Formula: epoch e, or step e of the run, trains with `learning_rate = function(e)`, e counted from 0.

    Arguments: `per` is "epoch" or "step", a step being one mini-batch. A function of the step is also called with the
    number after the last one.

    Raises: ValueError for another `per`, and, by the optimizer, for a rate that is not a finite number of at least 0.

    >>> schedule = LearningRateSchedule(lambda epoch: 0.1 * 0.5 ** (epoch // 10))
    >>> schedule = LearningRateSchedule(lambda step: 0.1 / (1 + step / 1000), per="step")
    """

    def __init__(self, function: Callable[[int], float], per: Literal["epoch", "step"] = "epoch") -> None:
        if per not in ("epoch", "step"):
            raise ValueError(f"LearningRateSchedule per: expected 'epoch' or 'step', received {shown(per)}")
        self.function, self.per = function, per
        self.step = 0

    def on_fit_begin(self, run: Run) -> None:
        """Set the rate of the first epoch or step to come."""
        if run.epoch == 0:
            self.step = 0
        if run.epoch < run.epochs:
            run.optimizer.learning_rate = self.function(self.step if self.per == "step" else run.epoch)

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        """Set the rate of the next step."""
        if self.per == "step":
            self.step += 1
            run.optimizer.learning_rate = self.function(self.step)

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Set the rate of the next epoch."""
        if self.per == "epoch" and epoch + 1 < run.epochs:
            run.optimizer.learning_rate = self.function(epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps, where these count."""
        return {"step": self.step} if self.per == "step" else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the number of steps.

        Raises: ValueError for anything that `state_dict` does not return.
        """
        if self.per == "step" or "step" in state:
            if self.per == "epoch" or not is_natural(state.get("step")):
                expected = "a whole number of steps" if self.per == "step" else "none"
                raise ValueError(
                    f"LearningRateSchedule state: expected {expected}, received {shown(state.get('step'))}"
                )
            self.step = int(state["step"])
