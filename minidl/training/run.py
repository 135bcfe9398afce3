"""Run: one run of `Trainer.fit`, which callbacks receive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from minidl._files import FilePath
from minidl._typing import Array
from minidl.errors import NonFiniteError
from minidl.module import Module
from minidl.ops.buffers import pool
from minidl.optimizers import Optimizer
from minidl.training.checkpoint import Stateful, TrainingState, random_generators, write_checkpoint
from minidl.training.diagnosis import STUCK_EPOCHS, is_stuck, non_finite_error, warn_of_being_stuck
from minidl.training.history import History
from minidl.training.last_good import LastGoodState, uninterrupted
from minidl.training.problem import Problem

HIGHER_IS_BETTER = {"loss": False, "accuracy": True, "seconds": False}
DIAGNOSED_SAMPLES = 1 << 12  # at most, of those in memory, when training goes wrong


class Run:
    """One run of training: how far it is, what it has measured, and how to end or save it.

    Attributes: `model` and `optimizer` are the user's own, up to date whenever they are read; `epochs` is how many
    epochs there will be, `epoch` how many are completed; `history` has the metrics of all completed epochs, `metrics`
    those of the last one, and `metric_names` the names that each epoch has.
    """

    def __init__(
        self,
        written: Problem,
        problem: Problem,
        epochs: int,
        callbacks: Sequence[Stateful],
        resumed: TrainingState | None,
    ) -> None:
        self.model: Module = written.model
        self.optimizer: Optimizer = written.optimizer
        self.problem, self._written, self._callbacks = problem, written, callbacks
        self.epochs, self.epoch = epochs, 0
        self.history = History()
        self.metrics: Mapping[str, float] = {}
        validated = tuple(f"val_{name}" for name in problem.measured_names) if problem.validation else ()
        self.metric_names = (*problem.measured_names, *validated, "seconds")
        self.is_stopping = False
        if resumed is not None:
            resumed.continue_in(self.model, written.batches, callbacks, self.metric_names)
            self.epoch = resumed.epoch
            self.history = History({name: values.tolist() for name, values in resumed.history.items()})
        self._baseline_loss = problem.loss.baseline_loss(np.asarray(problem.batches.y))

    def stop(self) -> None:
        """End `fit` after the present epoch."""
        self.is_stopping = True

    def higher_is_better(self, name: str) -> bool:
        """Return the direction of a metric of this run.

        Raises: ValueError for a name that is not in `metric_names`.
        """
        if name not in self.metric_names:
            raise ValueError(f"expected one of {', '.join(self.metric_names)}, received {name!r}")
        name = name.removeprefix("val_")
        metric = self.problem.metrics.get(name)
        return HIGHER_IS_BETTER[name] if metric is None else metric.higher_is_better

    def save(self, path: FilePath) -> None:
        """Write all that the rest of this run depends on into one file, a checkpoint for `Trainer.resume`.

        Raises: OSError where the file cannot be written; a file that was there before is then still whole.
        """
        batches = self._written.batches
        generators = random_generators(self.model, batches)
        write_checkpoint(
            path,
            TrainingState(
                model=self.model.state_dict(),
                optimizer_name=type(self.optimizer).__name__,
                optimizer=self.optimizer.state_dict(),
                samples=len(batches.y),
                batch_size=batches.batch_size,
                generators={name: generator.bit_generator.state for name, generator in generators.items()},
                callbacks=[{"name": type(c).__name__, "state": c.state_dict()} for c in self._callbacks],
                history={name: np.array(values) for name, values in self.history.items()},
                epoch=self.epoch,
            ),
        )
        # A resumed run starts from the weights as they were written: so does the rest of this one, to the bit.
        self.accept_changes(always=True)

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return the state of `model` and `optimizer`, as their `load_state_dict` take it, to be put back later.

        Weights that training holds in another form are computed only when they are read.
        """
        elsewhere = self.problem.weights_elsewhere
        lazy = {} if elsewhere is None else elsewhere.lazy_copies()
        model = {name: lazy.get(id(b)) or b.data.copy() for name, b in self.model.named_state()}
        moments = {name: lazy.get(id(array)) or array.copy() for name, array in self.optimizer.named_state()}
        numbers = {"learning_rate": self.optimizer.learning_rate, "steps": self.optimizer.steps}
        return {"model": model, "optimizer": {**numbers, **moments}}

    def restore(self, snapshot: Mapping[str, Mapping[str, Any]]) -> None:
        """Put the weights of a snapshot back, and what the optimizer remembers; the learning rate stays."""
        self.model.load_state_dict(snapshot["model"])
        self.optimizer.load_state_dict({**snapshot["optimizer"], "learning_rate": self.optimizer.learning_rate})

    @contextmanager
    def training(self) -> Iterator[None]:
        """Prepare for the loop; whatever ends it, the state of the last completed epoch is in the model then.

        Ctrl-C ends the block without an error, and the history says `interrupted`.
        """
        with ExitStack() as stack:
            if self.problem.weights_elsewhere is not None:
                stack.enter_context(self.problem.weights_elsewhere)
            self._last_good = LastGoodState(self.problem, self.epoch)
            # Numbers that overflow are answered by an error of our own, which says more than NumPy's warnings.
            stack.enter_context(np.errstate(all="ignore"))
            stack.enter_context(pool())
            try:
                yield
            except KeyboardInterrupt:
                self._fall_back()
                self.history.interrupted = True
            except NonFiniteError as error:
                diagnosed = self._diagnosed(error)
                self._fall_back()
                raise diagnosed from None
            except Exception:
                self._fall_back()
                raise

    def complete_epoch(self, metrics: Mapping[str, float]) -> None:
        """Count the epoch as completed."""
        self.metrics = metrics
        self.history.record(metrics)
        self.epoch += 1
        self._last_good.publish(self.epoch)

    def check(self, metrics: Mapping[str, float]) -> None:
        """Raise NonFiniteError where an epoch has left a loss or a weight that is not finite."""
        if "loss" not in metrics:
            raise ValueError(f"train_step: expected it to return a 'loss', received {', '.join(metrics) or 'nothing'}")
        if not math.isfinite(metrics["loss"]):
            raise NonFiniteError(f"the cost is {metrics['loss']}")
        if not self._last_good.prepare():
            raise NonFiniteError("a parameter is not finite")

    def accept_changes(self, *, always: bool = False) -> None:
        """Count what callbacks have made of the weights as part of the last completed epoch, if it is finite."""
        with uninterrupted():  # until the weights and what is to be fallen back on belong together
            if self.problem.weights_elsewhere is not None:
                self.problem.weights_elsewhere.push(always=always)
            if self._last_good.prepare():
                self._last_good.publish(self.epoch)

    def warn_if_stuck(self) -> None:
        """Warn once where the cost stays at the baseline loss."""
        if self._baseline_loss is not None and self.epoch % STUCK_EPOCHS == 0:
            losses = self.history["loss"]
            if is_stuck(losses, self._baseline_loss):
                warn_of_being_stuck(losses[-1], self._baseline_loss, self.model, self._some_samples())
                self._baseline_loss = None

    def _diagnosed(self, error: NonFiniteError) -> NonFiniteError:
        return non_finite_error(self.model, self._some_samples(), self.epoch, str(error), self.optimizer.learning_rate)

    def _some_samples(self) -> Array:
        """Return samples as the user gave them, of those outside memory one batch."""
        batches = self._written.batches
        count = DIAGNOSED_SAMPLES if type(batches.x) is np.ndarray else batches.batch_size
        samples: Array = batches.x[:count]
        return samples

    def _fall_back(self) -> None:
        self._last_good.restore()
        self.epoch = self._last_good.epochs
        self.history.truncate(self.epoch)
