"""Run: one run of `Trainer.fit`, which callbacks receive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from minidl._files import FilePath
from minidl._samples import each, is_outside_memory, leaves
from minidl.data.batches import Epoch
from minidl.errors import NonFiniteError
from minidl.ops.buffers import pool
from minidl.training.checkpoint import Stateful, TrainingState, describe_data
from minidl.training.checkpoint_file import write_checkpoint
from minidl.training.diagnosis import STUCK_EPOCHS, baseline_loss, is_stuck, non_finite_error, warn_of_being_stuck
from minidl.training.generators import random_generators, states_of
from minidl.training.history import History
from minidl.training.interrupts import Interrupts
from minidl.training.last_good import LastGoodState
from minidl.training.problem import Problem, WeightsElsewhere
from minidl.training.snapshot import Snapshot, restore, snapshot_of
from minidl.training.span import Span

DIAGNOSED_SAMPLES = 1 << 12  # at most, of those in memory, when training goes wrong


class Run:
    """One run of training: how far it is, what it has measured, and how to end or save it.

    Attributes: `model` and `optimizer` are the user's own, up to date whenever they are read; `epochs` is how many
    epochs there will be, `epoch` how many are completed; `history` has the metrics of all completed epochs, `metrics`
    those of the last one, `metric_names` the names that each epoch has; `span` is, after training in the dual form, the
    first layer's weight as a combination of the samples (see `Span`); `written` is the problem as it was given.
    """

    def __init__(
        self,
        written: Problem,
        problem: Problem,
        epochs: int,
        callbacks: Sequence[Stateful] = (),
        resumed: TrainingState | None = None,
        interrupts: Interrupts | None = None,
    ) -> None:
        self.model, self.optimizer = written.model, written.optimizer
        self.problem, self.written, self._callbacks = problem, written, callbacks
        self._accumulate, self.epochs, self.epoch, self.history = problem.accumulate, epochs, 0, History()
        self.span: Span | None = None
        self.metrics: Mapping[str, float] = {}
        validated = tuple(f"val_{name}" for name in problem.measured_names) if problem.validation else ()
        self.metric_names = (*problem.measured_names, *validated, "seconds")
        self.is_stopping = self._is_training = False
        self.interrupts = interrupts or Interrupts()
        self._generators = random_generators(self.model, written.batches)
        self._elsewhere: WeightsElsewhere | None = None  # set inside `training`
        self._batches: Epoch | None = None
        self._baseline_loss = baseline_loss(problem)
        if resumed is not None:
            resumed.check_fit(self.data, written.loss, self._generators, callbacks, self.metric_names)
            resumed.continue_in(self._generators, callbacks)
            self.epoch = resumed.epoch
            self.history = History({name: values.tolist() for name, values in resumed.history.items()})

    @cached_property
    def data(self) -> dict[str, Any]:
        """What tells the samples of this run and their batches from another's, for checkpoints."""
        return {**describe_data(self.written.batches), "accumulate": self._accumulate}

    def stop(self) -> None:
        """End `fit` after the present epoch."""
        self.is_stopping = True

    def higher_is_better(self, name: str) -> bool:
        """Return the direction of a metric of this run.

        Raises: ValueError for a name that is not in `metric_names`.
        """
        if name not in self.metric_names:
            raise ValueError(f"expected one of {', '.join(self.metric_names)}, received {name!r}")
        return self.problem.higher_is_better(name.removeprefix("val_"))

    def measures_before_update(self, name: str) -> bool:
        """Return whether a metric describes the weights at the beginning of its epoch: that of a full batch does."""
        return self.written.batches.batch_size is None and not name.startswith("val_")

    def save(self, path: FilePath) -> None:
        """Write all that the rest of this run depends on into one file, a checkpoint for `Trainer.resume`.

        Raises: OSError where the file cannot be written; a file that was there before is then still whole.
        """
        state = TrainingState(
            model=self.model.state_dict(),
            frozen=[name for name, buffer in self.model.named_state() if buffer.frozen],
            optimizer_name=type(self.optimizer).__name__,
            optimizer=self.optimizer.state_dict(),
            hyperparameters=self.optimizer.hyperparameters(),
            loss=repr(self.written.loss),
            data=self.data,
            generators=states_of(self._generators),
            callbacks=[{"name": type(c).__name__, "state": c.state_dict()} for c in self._callbacks],
            history={name: np.array(values) for name, values in self.history.items()},
            epoch=self.epoch,
        )
        with self.interrupts.deferred():  # Ctrl-C while the archive is being closed would leave half a file.
            write_checkpoint(path, state)
            self.accept_changes(always=True)  # A resumed run starts from the weights as written: so does this one.

    def snapshot(self) -> Snapshot:
        """Return the state of `model` and `optimizer`, to be put back later."""
        return snapshot_of(self.model, self.optimizer, self._elsewhere)

    def restore(self, snapshot: Snapshot) -> None:
        """Put the weights of a snapshot back, and what the optimizer remembers; the learning rate stays."""
        restore(snapshot, self.model, self.optimizer)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Prepare for the loop; whatever ends it, the state of the last completed epoch is in the model then.

        KeyboardInterrupt ends the block without an error, and the history says `interrupted`.
        """
        with ExitStack() as stack:
            stack.callback(self._release)
            if self.problem.weights_elsewhere is not None:
                self._elsewhere = stack.enter_context(self.problem.weights_elsewhere)
            self._last_good = LastGoodState(self.problem, self._generators, self.epoch)
            stack.enter_context(np.errstate(all="ignore"))  # an error of our own says more
            stack.enter_context(pool())
            self._is_training = True
            try:
                yield
            except KeyboardInterrupt:
                self._fall_back()
                self.history.interrupted = True
            except NonFiniteError as error:
                diagnosed = self._diagnosed(error)
                self._fall_back()
                raise diagnosed from None
            except BaseException:
                self._fall_back()
                raise

    def _release(self) -> None:
        """Drop the rewritten problem and its samples, which may be large."""
        self.span = None if self._elsewhere is None else self._elsewhere.span()
        self._elsewhere, self.problem, self._is_training, self._batches = None, self.written, False, None
        vars(self).pop("_last_good", None)  # there is none where preparing has failed

    def complete_epoch(self, metrics: Mapping[str, float]) -> None:
        """Count the epoch as completed."""
        self.interrupts.raise_if_lost()
        with self.interrupts.deferred():
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

    def batches(self) -> Epoch:
        """Return the batches of an epoch; what is read ahead of its turn ends where the run falls back."""
        self._batches = iter(self.problem.batches)
        return self._batches

    def push(self) -> None:
        """Go on from what a callback has made of the weights in the middle of an epoch."""
        if self._elsewhere is not None:
            with self.interrupts.deferred():
                self._elsewhere.push(always=False)

    def accept_changes(self, *, always: bool = False) -> None:
        """Count what callbacks have made of the weights as part of the last completed epoch.

        Raises: NonFiniteError where it is not finite; the weights of before are kept.
        """
        if not self._is_training:
            return
        with self.interrupts.deferred():  # until the weights and what is to be fallen back on belong together
            if self._elsewhere is not None:
                self._elsewhere.push(always=always)
            if not self._last_good.prepare():
                raise NonFiniteError("a parameter is not finite")
            self._last_good.publish(self.epoch)

    def warn_if_stuck(self) -> None:
        """Warn once where the cost stays at the baseline loss."""
        if self._baseline_loss is not None and self.epoch % STUCK_EPOCHS == 0:
            losses = self.history["loss"]
            if is_stuck(losses, self._baseline_loss):
                warn_of_being_stuck(losses[-1], self._baseline_loss, self.model, self._some_samples())
                self._baseline_loss = None

    def _diagnosed(self, error: NonFiniteError) -> NonFiniteError:
        y, *_ = leaves(each(np.asarray, self.written.batches.y[:]))
        rate = self.optimizer.learning_rate
        return non_finite_error(self.model, self._some_samples(), y, self.epoch, str(error), rate)

    def _some_samples(self) -> Any:
        """Return samples as the user gave them, of those outside memory one batch."""
        x, size = self.written.batches.x, self.written.batches.batch_size
        return each(np.asarray, x[: size if is_outside_memory(x) else DIAGNOSED_SAMPLES])

    def _fall_back(self) -> None:
        if self._batches is not None:  # first, as a thread that reads ahead may draw from the generators
            self._batches.close()
        self._last_good.restore()
        self.epoch = self._last_good.epochs
        self.history.truncate(self.epoch)
