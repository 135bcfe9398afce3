"""The loop itself: epochs of batches, each forward, cost, backward, update."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.training.callbacks import Callback
from minidl.training.completed import Completed, uninterrupted
from minidl.training.diagnosis import WINDOW, NonFiniteError, is_stuck, non_finite_error, warn_of_being_stuck
from minidl.training.direct import Direct
from minidl.training.fusion import Network
from minidl.training.progress import Progress
from minidl.training.samples import as_column
from minidl.training.workspace import work_arrays

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer


class Loop:
    """One run of `Trainer.fit`: it moves the trainer's epoch and history forward until the total, a stop or an error.

    `form` says how the run trains (see `direct` and `dual`).
    """

    def __init__(self, trainer: Trainer, form: Direct, callbacks: Sequence[Callback], progress: Progress) -> None:
        self.trainer, self.form, self.callbacks, self.progress = trainer, form, callbacks, progress
        self.completed = Completed([holder for _, holder in form.network.body.named_state()], trainer.epoch)
        self.constant_answer = form.network.loss.constant_answer(np.asarray(form.batches.y))

    def run(self) -> None:
        """Run the epochs; Ctrl-C and errors leave the last completed epoch's state behind."""
        trainer, body = self.trainer, self.form.network.body
        try:
            # Numbers that overflow are answered by an error of our own, which says more than NumPy's warnings.
            modes = self.form.model.mode(training=True), body.mode(training=True)
            with modes[0], modes[1], np.errstate(all="ignore"), work_arrays(body):
                while trainer.epoch < trainer.epochs and not trainer.stopping:
                    self._epoch()
        except KeyboardInterrupt:
            self._fall_back()
            trainer.history.interrupted = True
        except Exception:
            self._fall_back()
            raise
        finally:
            self.progress.close()
            self.form.sync()

    def rebase(self) -> None:
        """Go on from the model's own weights, which may have been changed; Ctrl-C waits until that is whole."""
        with uninterrupted():
            self.form.rebase()
            self._keep()

    def _keep(self) -> None:
        """Count what callbacks have made of the weights as part of the last completed epoch, if it is finite."""
        if self.completed.prepare():
            self.completed.publish(self.trainer.epoch)

    def _epoch(self) -> None:
        trainer, start = self.trainer, time.perf_counter()
        metrics = self._train()
        if self.form.validation is not None:
            x, y = self.form.validation
            found = evaluate(self.form.network, x, y, self.form.batches.batch_size)
            metrics |= {f"val_{name}": value for name, value in found.items()}
        metrics["seconds"] = time.perf_counter() - start
        trainer.history.record(metrics)
        trainer.epoch += 1
        self.completed.publish(trainer.epoch)
        self.progress.epoch_done(trainer.epoch - 1, metrics)
        for callback in self.callbacks:
            self._call(callback, metrics)
        if self.constant_answer is not None and trainer.epoch % WINDOW == 0:
            losses = trainer.history["loss"]
            if is_stuck(losses, self.constant_answer):
                warn_of_being_stuck(losses[-1], self.constant_answer, *self.form.for_diagnosis())
                self.constant_answer = None

    def _call(self, callback: Callback, metrics: Mapping[str, float]) -> None:
        if callback.reads_model:
            self.form.sync()
        callback.on_epoch_end(self.trainer, self.trainer.epoch - 1, metrics)
        if callback.reads_model:
            with uninterrupted():
                if self.form.model_changed():
                    self.form.rebase()
                self._keep()

    def _train(self) -> dict[str, float]:
        """Pass over all samples once; return the mean of the costs and the share of right answers."""
        body, loss = self.form.network
        cost_sum = right = 0.0
        for x, targets in self.form.batches:
            output = body.forward(x)
            y = as_column(targets, output.shape)
            cost = self._cost(output, y)
            cost_sum += cost * len(x)
            if loss.classifies:
                right += loss.accuracy(output, y) * len(x)
            body.backward_parameters(loss.backward())
            self.form.step()
        if not self.completed.prepare():
            raise self._non_finite("a parameter is not finite")
        n = len(self.form.batches.y)
        return {"loss": cost_sum / n, "accuracy": right / n} if loss.classifies else {"loss": cost_sum / n}

    def _cost(self, output: Array, y: Array) -> float:
        """Return the cost of a batch, whose shapes and targets were checked before the first epoch.

        Where any number is in the loss's domain, a cost that is not finite tells of all that can still go wrong.

        Raises: NonFiniteError where the cost, or the output it is of, is not finite; ValueError as the loss does.
        """
        loss = self.form.network.loss
        if loss.accepts_any_number:
            cost = loss.forward(output, y)
        elif is_finite(output):
            cost = loss(output, y)
        else:
            raise self._non_finite("the network's output is not finite")
        if not math.isfinite(cost):
            raise self._non_finite(f"the cost is {cost}")
        return cost

    def _non_finite(self, what: str) -> NonFiniteError:
        rate = self.trainer.optimizer.learning_rate
        return non_finite_error(*self.form.for_diagnosis(), self.trainer.epoch, what, rate)

    def _fall_back(self) -> None:
        self.completed.restore()
        self.trainer.epoch = self.completed.epochs
        self.trainer.history.truncate(self.completed.epochs)


def evaluate(network: Network, x: Any, y: Array, batch_size: int | None) -> dict[str, float]:
    """Return the loss, and the accuracy of a loss that classifies, over all samples in evaluation mode."""
    body, loss = network
    size = len(x) if batch_size is None else batch_size
    cost_sum = right = 0.0
    with body.mode(training=False):
        for start in range(0, len(x), size):
            output = body.forward(x[start : start + size])
            target = as_column(y[start : start + size], output.shape)
            cost_sum += loss(output, target) * len(output)
            if loss.classifies:
                right += loss.accuracy(output, target) * len(output)
    metrics = {"loss": cost_sum / len(x)}
    return metrics | {"accuracy": right / len(x)} if loss.classifies else metrics
