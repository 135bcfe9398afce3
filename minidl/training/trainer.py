"""Trainer: the loop of forward, cost, backward and update, and the evaluation beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal

from minidl._typing import Array, Seed
from minidl._validation import positive_int
from minidl.data.batches import Batches
from minidl.losses import Loss
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback
from minidl.training.checkpoint import Checkpoint, TrainingState, read_checkpoint, write_checkpoint
from minidl.training.direct import probe
from minidl.training.dual import choose_form
from minidl.training.fusion import Network, through_logits
from minidl.training.history import History
from minidl.training.loop import Loop, evaluate
from minidl.training.progress import make_progress
from minidl.training.samples import checked_samples


class Trainer:
    """Fits a model to samples by means of a loss and an optimizer.

    Formula, for each batch: `cost = loss(model(x), y)`, then backward, then the optimizer's step. A model that ends in
    Sigmoid with BinaryCrossEntropy is trained through its logits (see `minidl.training.fusion`).

    Attributes: `model`, `loss`, `optimizer`; during and after `fit` also `history`, `epoch` (how many epochs are
    completed), `epochs` (how many there will be) and `metric_names`.

    Raises: TypeError for an argument of the wrong kind; ValueError for an optimizer that moves parameters of another
    model, and for a model that ends in Sigmoid or Softmax with a loss that takes logits.

    >>> from minidl import SGD, BinaryCrossEntropy, mlp
    >>> model = mlp([2, 4, 1], rng=0)
    >>> trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1.0))
    >>> x, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 1]
    >>> history = trainer.fit(x, y, epochs=200, print_every=None)
    >>> trainer.evaluate(x, y)["accuracy"]
    1.0
    """

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer) -> None:
        for value, kind, name in ((model, Module, "model"), (loss, Loss, "loss"), (optimizer, Optimizer, "optimizer")):
            if not isinstance(value, kind):
                raise TypeError(f"Trainer {name}: expected a {kind.__name__}, received {value!r}")
        parameters = model.parameters()
        for i, parameter in enumerate(optimizer.parameters):
            if not any(parameter is own for own in parameters):
                raise ValueError(
                    f"Trainer optimizer: its parameter {i}, {parameter!r}, is not the model's; "
                    "make the optimizer with model.parameters() of this model"
                )
        self._model = model
        self.loss = loss
        self.optimizer = optimizer
        self.history = History()
        self.epoch = self.epochs = 0
        self.metric_names: tuple[str, ...] = ()
        self.stopping = False
        through_logits(model, loss)
        self._dtype = parameters[0].data.dtype
        self._resumed: TrainingState | None = None
        self._loop: Loop | None = None

    @property
    def model(self) -> Module:
        """The model, its weights up to date even in the middle of training."""
        if self._loop is not None:
            self._loop.form.sync()
        return self._model

    def snapshot(self) -> Callable[[], dict[str, Array]]:
        """Keep the model's present state, and return what gives it as a state dictionary; for callbacks.

        It costs less than `model.state_dict()` while the weights are not written out.
        """
        if self._loop is not None:
            return self._loop.form.snapshot()
        state = self._model.state_dict()
        return lambda: state

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int,
        batch_size: int | None = None,
        validation_data: tuple[Any, Any] | None = None,
        print_every: int | None = 50,
        rng: Seed = None,
        callbacks: Iterable[Callback] = (),
        dual: bool | Literal["auto"] = "auto",
        augment: Callable[[Array], Array] | None = None,
    ) -> History:
        """Train for so many passes over the samples and return the history.

        Arguments: `x` (n, ...) and `y` (n,) or (n, outputs) are array-likes; for mini-batches `x` may be anything that
        slices by index, such as a `numpy.memmap`, and only a batch of it is in memory. `batch_size=None` is full-batch
        gradient descent, a number shuffles the samples with `rng` each epoch. `validation_data` is a pair (x, y)
        evaluated after each epoch. The cost is printed every `print_every` epochs and after the last, or, on a
        terminal with tqdm installed, shown in a bar; None prints nothing. After `resume`, `epochs` counts from the
        start of the run that is resumed. `dual` trains a first Dense that is wider than the set is long in its dual
        form, the same descent at a fraction of the cost (see `minidl.training.dual`): "auto" where that is possible
        and pays, True always, False never. `augment` changes the samples of each training batch, as
        `minidl.data.Augment` does; generators among its attributes are kept in checkpoints.

        Returns: the `History`; `"loss"` is for the full batch the cost before that epoch's update, as the article
        records it, for mini-batches the mean over the samples as they passed. Ctrl-C ends the run after the last
        completed epoch, with its weights, and the history says `interrupted`.

        Raises: ValueError, before anything is changed, for samples or targets that are empty, of different lengths, of
        the wrong shape, not finite or outside the loss's domain, and for `dual=True` where that is not possible;
        NonFiniteError when the cost or a parameter becomes NaN or infinite, with the weights of the last completed
        epoch in place.
        """
        if dual not in ("auto", True, False):
            raise ValueError(f"dual: expected 'auto', True or False, received {dual!r}")
        self.epochs = positive_int(epochs, "epochs")
        print_every = None if print_every is None else positive_int(print_every, "print_every")
        x, y = self._samples(x, y, "", whole=batch_size is None)
        batches = self._batches = Batches(x, y, batch_size, rng, augment)
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError(f"validation_data: expected a pair (x, y), received {type(validation_data).__name__}")
            validation = self._samples(*validation_data, "validation ", whole=batch_size is None)
        # Checkpoints come last, so that they hold what the other callbacks made of the epoch.
        self._callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))
        network = self._network
        for pair in (x, y), validation:
            if pair is not None:
                probe(self._model, network, *pair)
        form = choose_form(dual, network, self.optimizer, batches, self.epochs)
        self._begin(validation is not None)
        prepared = form(self._model, network, self.optimizer, batches, validation)
        progress = make_progress(self.epoch, self.epochs, print_every, "iteration" if batch_size is None else "epoch")
        self._loop = Loop(self, prepared, self._callbacks, progress)
        try:
            self._loop.run()
        finally:
            self._loop = None
        for callback in self._callbacks:
            callback.on_fit_end(self)
        return self.history

    def evaluate(self, x: Any, y: Any, batch_size: int | None = None) -> dict[str, float]:
        """Return `{"loss", "accuracy"}` over all samples, in evaluation mode.

        Arguments: `batch_size` bounds how many samples are computed at once; it does not change the result beyond
        rounding.

        Raises: ValueError as `fit` does.
        """
        x, y = self._samples(x, y, "", whole=batch_size is None)
        batch_size = None if batch_size is None else positive_int(batch_size, "batch_size")
        with self.model.mode(training=False):
            return evaluate(self._network, x, y, batch_size)

    def stop(self) -> None:
        """End `fit` after the present epoch; for callbacks."""
        self.stopping = True

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write everything that the rest of this run depends on into one file; for callbacks such as `Checkpoint`.

        Raises: OSError where the file cannot be written; a file that was there before is then still whole.
        """
        write_checkpoint(path, TrainingState.of(self, self._batches, self._callbacks))
        if self._loop is not None:
            self._loop.rebase()

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Take up the run that wrote a checkpoint: the next `fit`, to the same total, goes on where it left off.

        `fit` must be given the same samples, batch size and callbacks again; it then ends in the same bits, and the
        same history but for the seconds, as the run would have without the break.

        Raises: FileNotFoundError; ValueError for a file that is not a checkpoint or does not fit model and optimizer.
        """
        state = read_checkpoint(path)
        state.load_into(self.model, self.optimizer)
        self._resumed = state

    def _begin(self, has_validation: bool) -> None:
        """Start from nothing, or from where a resumed run left off, and let the callbacks refuse what cannot work."""
        measured = ("loss", "accuracy") if self.loss.classifies else ("loss",)
        validated = tuple(f"val_{name}" for name in measured) if has_validation else ()
        self.metric_names = (*measured, *validated, "seconds")
        self.epoch, self.history, self.stopping = 0, History(), False
        if self._resumed is not None:
            state = self._resumed
            state.take_up(self, self._batches, self._callbacks)
            self.epoch = state.epoch
            self.history = History({name: values.tolist() for name, values in state.history.items()})
        learning_rate = self.optimizer.learning_rate
        try:
            for callback in self._callbacks:
                callback.on_fit_begin(self)
        except Exception:
            self.optimizer.learning_rate = learning_rate  # which an earlier callback may have set
            raise
        self._resumed = None

    @property
    def _network(self) -> Network:
        """What is trained of the model as it is now."""
        return through_logits(self._model, self.loss)

    def _samples(self, x: Any, y: Any, prefix: str, *, whole: bool = False) -> tuple[Any, Array]:
        return checked_samples(x, y, prefix, self._network.loss, self._dtype, whole=whole)
