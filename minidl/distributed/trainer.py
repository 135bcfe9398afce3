"""DistributedTrainer: the loop of Trainer on several processes, each with its share of the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import BoundArguments, signature
from typing import Any, cast

from mpi4py import MPI

from minidl._calls import current_batch_sums
from minidl._context import Changed
from minidl._files import FilePath
from minidl._validation import positive_int
from minidl.distributed.group import Group, is_raised_by_all
from minidl.distributed.run import DistributedRun
from minidl.distributed.setup import DistributedSetup
from minidl.losses import Loss
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback
from minidl.training.checkpoint import TrainingState
from minidl.training.checkpoint_file import read_checkpoint
from minidl.training.history import History
from minidl.training.preparation import Metrics, checked_callbacks
from minidl.training.progress import Progress
from minidl.training.run import Run
from minidl.training.trainer import Trainer


class DistributedTrainer(Trainer):
    """A Trainer whose samples are shared among the processes that `mpiexec -n N python program.py` has started.

    Formula: process r has c_r of the c targets of a batch. Its gradient g_r, of its mean loss, is summed up as
    `g = sum_r (c_r / c) g_r`, by one MPI_Allreduce of all parameters in a step. So shares may be of different sizes,
    and the result is, but for rounding, that of `Trainer` with all samples and the same `batch_size`, whatever the
    number of processes: the batch size is that of all processes together, batches have the same samples, and
    BatchNorm takes its statistics over all of the batch. Only what Dropout and augmentation draw differs. In the dual
    form each process is sent all samples once, and has the rows of the Gram matrix that belong to its own.

    Arguments: `comm` is a communicator of mpi4py, else that of all processes. To `fit` and `evaluate` each process
    gives its share of samples, targets and weights, also of validation data: those of all processes in their order are
    the set. All other arguments are the same everywhere. Process 0's weights and seeds count, its clock too, and it
    alone prints and writes: callbacks that say `on_one_process = True` are called there alone. All processes must call
    `fit`, `evaluate`, `resume` and `Run.save`. In a `train_step` of your own `problem.optimizer` must make all steps.

    Ctrl-C on any process ends the run of all, with the state of the last completed epoch. Where one process fails
    inside `fit` or `evaluate` its message is printed and all are ended, by MPI_Abort; arguments that are wrong are
    refused on all processes alike.

    Raises: as `Trainer` does; `fit` and `evaluate` ValueError for arguments that differ from process to process.

    >>> from minidl import SGD, BinaryCrossEntropy, mlp
    >>> model = mlp([2, 4, 1], rng=0)
    >>> trainer = DistributedTrainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1.0))
    >>> x, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 1, 1])
    >>> rows = trainer.group.share(len(x))
    >>> history = trainer.fit(x[rows], y[rows], epochs=200, print_every=None)
    >>> trainer.evaluate(x[rows], y[rows])["accuracy"]
    1.0
    """

    def __init__(
        self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Metrics = None,
        comm: MPI.Intracomm | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, loss, optimizer, metrics)
        self.group = Group(comm)
        self._setup: DistributedSetup = DistributedSetup(self.group)

    def fit(self, *arguments: Any, **options: Any) -> History:
        """Train as `Trainer.fit` does, with its arguments, where each process gives its share."""
        self._has_begun = False
        with self.group.ending_together(may_exit=False):
            try:
                bound = self.group.together(lambda: self._bound(*arguments, **options))
                self._check_alike(bound.arguments)
                if not self.group.is_root:
                    bound.arguments["print_every"] = None
                history = Trainer.fit(*bound.args, **bound.kwargs)
                waiting = self.group.allgather(self._setup.exchange.interrupts.waiting)
                history.interrupted |= any(waiting)  # also by what came too late to end an epoch
                return history
            except Exception as error:
                if not self._has_begun and not is_raised_by_all(error):  # the others hear of it before they begin
                    self.group.raise_alike(error)
                raise

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Evaluate as `Trainer.evaluate` does, where each process gives its share; the result is the same on all."""
        with self.group.ending_together(may_exit=False):
            bound = self.group.together(lambda: signature(Trainer.evaluate).bind(self, *arguments, **options))
            batch_size = bound.arguments.get("batch_size")
            self.group.together(lambda: batch_size is None or positive_int(batch_size, "batch_size"))
            return super().evaluate(*arguments, **options)

    def resume(self, path: FilePath) -> None:
        """Continue the run that wrote a checkpoint, as `Trainer.resume` does, with any number of processes.

        Process 0 reads the file. With another number of processes than before, results are the same but for rounding.
        """
        read = self.group.together(lambda: read_checkpoint(path) if self.group.is_root else None)
        state = cast(TrainingState, self.group.broadcast(read))
        self.group.together(lambda: state.load_into(self.model, self.optimizer))
        self._resumed = state

    def _bound(self, *arguments: Any, **options: Any) -> BoundArguments:
        """Return the arguments of `fit` by name, with a list of callbacks."""
        bound = signature(Trainer.fit).bind(self, *arguments, **options)
        bound.apply_defaults()
        bound.arguments["callbacks"] = checked_callbacks(bound.arguments["callbacks"])
        return bound

    def _check_alike(self, given: Mapping[str, Any]) -> None:
        """Raise ValueError on all processes where arguments differ that decide what these tell each other, and when."""
        for name in ("epochs", "dual", "accumulate"):
            self._setup.check_alike(name, given[name])
        self._setup.check_alike("whether there is an augment", given["augment"] is not None)
        heard = [type(callback).__name__ for callback in given["callbacks"] if not callback.on_one_process]
        self._setup.check_alike("callbacks that are not on_one_process", heard)

    def _train(self, run: Run, callbacks: Sequence[Callback], progress: Progress) -> None:
        self.group.raise_alike(None)
        self._has_begun = True
        super()._train(run, self._setup.called_here(callbacks), progress)

    def _train_epoch(self, run: Run, callbacks: Sequence[Callback], progress: Progress) -> None:
        with Changed((current_batch_sums, self._setup.exchange if self.group.size > 1 else None)):
            super()._train_epoch(run, callbacks, progress)
        cast(DistributedRun, run).agree()
