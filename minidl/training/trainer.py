"""Trainer: the loop of forward, cost, backward, update and metrics, and the evaluation beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from minidl._calls import calling
from minidl._context import unchanged
from minidl._false_alarms import without_false_alarms
from minidl._files import FilePath
from minidl._typing import Array, Seed
from minidl._validation import positive_int
from minidl.losses import Loss
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback
from minidl.training.callbacks.checkpoint import weight_reads
from minidl.training.checked_data import Data
from minidl.training.checkpoint import TrainingState
from minidl.training.checkpoint_file import read_checkpoint
from minidl.training.evaluation import evaluate, validate
from minidl.training.history import History
from minidl.training.preparation import (
    Metrics,
    check_parts,
    checked_callbacks,
    checked_metrics,
    errors_with_paths_of,
)
from minidl.training.problem import Problem
from minidl.training.progress import Progress, checked_print_every, make_progress
from minidl.training.rewrites import accumulated, activation_before, rewritten, through_logits
from minidl.training.run import Run
from minidl.training.setup import Setup, begin
from minidl.training.weights import ClassWeight


class Trainer:
    """Fits a model to samples by means of a loss and an optimizer.

    Formula, for each batch: `cost = loss(model(x), y)`, then backward, then the optimizer's step: see `train_step`.

    Arguments: `metrics` are measured beside the loss in every epoch: objects like `minidl.metrics.F1()`, or functions
    `(predictions, targets) -> number`, in a mapping from names, or in a list, where each has a name of its own.

    Attributes: `model`, `loss`, `optimizer`, `metrics`, and `run`, the present or last run of `fit`.

    Raises: TypeError for an argument of the wrong kind; ValueError for an optimizer that moves parameters of another
    model, for a metric whose name is taken, and for a model that ends in Sigmoid or Softmax with a loss that takes
    logits, or in LogSoftmax with one that takes probabilities.

    >>> from minidl import SGD, BinaryCrossEntropy, mlp
    >>> model = mlp([2, 4, 1], rng=0)
    >>> trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1.0))
    >>> x, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 1]
    >>> history = trainer.fit(x, y, epochs=200, print_every=None)
    >>> trainer.evaluate(x, y)["accuracy"]
    1.0
    """

    _setup = Setup()

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Metrics = None) -> None:
        check_parts(model, loss, optimizer)
        activation_before(model, loss)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = checked_metrics(metrics)
        self.run: Run | None = None
        self._resumed: TrainingState | None = None

    @property
    def history(self) -> History:
        """The history of the present or last run."""
        return History() if self.run is None else self.run.history

    @property
    def epoch(self) -> int:
        """How many epochs the present or last run has completed."""
        return 0 if self.run is None else self.run.epoch

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation_data: tuple[Any, ...] | None = None,
        print_every: int | Literal["auto"] | None = "auto",
        rng: Seed = None,
        callbacks: Iterable[Callback] | None = None,
        dual: bool | Literal["auto"] = "auto",
        augment: Callable[..., Any] | None = None,
        sample_weight: Any = None,
        class_weight: ClassWeight = None,
        validation_split: float | None = None,
        drop_last: bool = False,
        accumulate: int = 1,
    ) -> History:
        """Train for so many passes over the samples and return the history.

        Arguments: `x` (n, ...) and `y` (n,) or (n, outputs) are array-likes; `x` may slice by index, as a
        `numpy.memmap`, of which memory holds a batch, be a tuple of inputs, or, without `y`, an iterable of batches
        (x, y), or a function that returns one anew each epoch. `batch_size=None` is full-batch gradient descent, a
        number shuffles with `rng` each epoch. `validation_data` (x, y) is evaluated after each epoch. The cost is
        printed every `print_every` epochs, some 50 times for "auto", and after the last, or, with tqdm, shown in a bar
        on terminals and in notebooks; None prints nothing. After `resume`, `epochs` counts from the start of that run.
        `dual` trains a wide first Dense in its dual form (see `minidl.training.rewrites.dual`): "auto" where it pays,
        True always, False never. `augment`, like `minidl.data.Augment`, changes each batch's samples, like `MixUp` its
        targets. `class_weight`, a mapping of class numbers or "balanced", weights the loss alone, also of validation
        data; `sample_weight` (n,) loss and metrics, a third item of `validation_data` those of its samples.
        `validation_split` holds out a share, `drop_last` drops a smaller last batch, `accumulate` batches share a step.

        Returns: the `History`; its `"loss"` is the article's, the cost before each update, for mini-batches the mean
        over an epoch. After Ctrl-C, all is as after the last completed epoch, and the history says `interrupted`.

        Raises: ValueError, before anything is changed, for samples or targets that are empty, of different lengths, of
        the wrong shape, not finite or outside the loss's domain, and for `dual=True` where that is not possible;
        NonFiniteError when the cost or a parameter is NaN or infinite; all is then as after the last good epoch.
        """
        data = Data(
            x, y, batch_size, validation_data, rng, augment, sample_weight, class_weight, validation_split, drop_last
        )
        epochs = positive_int(epochs, "epochs")
        print_every = checked_print_every(print_every, epochs)
        run, interrupts, ordered = None, self._setup.interrupts(), checked_callbacks(callbacks)
        try:
            with interrupts.handled(), unchanged(), errors_with_paths_of(self.model):
                overridden = type(self).train_step is not Trainer.train_step
                with interrupts.allowed():
                    written = self._setup.written(self.model, self.loss, self.optimizer, self.metrics, data)
                    problem = written if overridden else rewritten(written, dual, epochs, weight_reads(ordered, epochs))
                    problem = accumulated(problem, accumulate)
                    run = self._setup.run(written, problem, epochs, ordered, self._resumed, interrupts)
                    begin(run, self._setup.called_here(ordered))
                self._train(run, ordered, make_progress(run.epoch, epochs, print_every, problem.batches))
        except KeyboardInterrupt:
            if run is None or run is not self.run:  # before anything was changed
                return History.of_interrupted()
            run.history.interrupted = True
        run.history.interrupted |= interrupts.pressed > 0
        return run.history

    @without_false_alarms
    def _train(self, run: Run, callbacks: Sequence[Callback], progress: Progress) -> None:
        """Train to the end; whatever comes, weights are in place, and the callbacks and the display come to theirs."""
        self.run, self._resumed = run, None
        with ExitStack() as at_the_end:
            at_the_end.callback(progress.close)
            for callback in reversed(callbacks):
                at_the_end.callback(callback.on_fit_end, run)
            with run.training(), run.interrupts.allowed():
                while run.epoch < run.epochs and not run.is_stopping:
                    self._train_epoch(run, callbacks, progress)

    def _train_epoch(self, run: Run, callbacks: Sequence[Callback], progress: Progress) -> None:
        """Go over all batches once, evaluate, and call the callbacks."""
        start, problem, tally = time.perf_counter(), run.problem, run.problem.tally()
        watching = [callback for callback in callbacks if type(callback).on_batch_end is not Callback.on_batch_end]
        with calling(training=True):
            for number, (x, y) in enumerate(run.batches()):
                record = self.train_step(problem, x, y)
                tally.add(record, problem.loss.count(y))
                progress.batch_done(number, record)
                for callback in watching:
                    callback.on_batch_end(run, number, record)
                    run.push()
        metrics = tally.results()
        run.check(metrics)
        run.complete_epoch({**metrics, **validate(problem), "seconds": time.perf_counter() - start})
        progress.epoch_done(run.epoch - 1, run.metrics)
        for callback in callbacks:
            callback.on_epoch_end(run, run.epoch - 1, run.metrics)
        if callbacks:
            run.accept_changes()
        run.warn_if_stuck()

    def train_step(self, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
        """Train on one batch: forward, cost, backward, update, metrics.

        A subclass may override it, for several losses, penalties or models that train each other. It is given the
        problem as it was written, `problem.model` being `self.model`, and returns at least a `"loss"`; numbers are
        averaged over the epoch's samples. With weights, `y` is a tuple (target, weight, ...), as `problem.loss` takes.
        """
        output = problem.model(x)
        cost = problem.cost(output, y)
        problem.model.backward(problem.loss.gradient(output, y))
        problem.optimizer.step()
        return problem.measured(cost, output, y)

    def evaluate(
        self, x: Any, y: Any = None, batch_size: int | None = None, sample_weight: Any = None
    ) -> dict[str, float]:
        """Return the loss, the accuracy of a loss that classifies, and the metrics over all samples.

        Arguments: `x` and `y` are as for `fit`; `batch_size` bounds how many samples of arrays are computed at once;
        `sample_weight` (n,) weights all means.

        Raises: ValueError as `fit` does; NonFiniteError for outputs that are not finite.
        """
        batch_size = None if batch_size is None else positive_int(batch_size, "batch_size")
        data = Data(x, y, batch_size, sample_weight=sample_weight)
        with errors_with_paths_of(self.model):
            problem = self._setup.to_evaluate(self.model, self.loss, self.optimizer, self.metrics, data)
            return evaluate(through_logits(problem), problem.batches.in_order(batch_size))

    def resume(self, path: FilePath) -> None:
        """Continue the run that wrote a checkpoint: the next `fit`, to the same total, goes on where it ended.

        `fit` must be given the same samples, batch size and callbacks again; it then ends in the same bits, and the
        same history but for the seconds, as the run would have without the break.

        Raises: FileNotFoundError; ValueError for a file that is not a checkpoint or does not fit model and optimizer.
        """
        state = read_checkpoint(path)
        state.load_into(self.model, self.optimizer)
        self._resumed = state
