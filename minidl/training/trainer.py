"""Trainer: the loop of forward, cost, backward and update, and the evaluation beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array, Seed
from minidl._validation import check_finite, positive_int
from minidl.data.batches import Batches
from minidl.losses import Loss
from minidl.metrics import accuracy
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.fusion import through_logits
from minidl.training.history import History


class Trainer:
    """Fits a model to samples by means of a loss and an optimizer.

    Formula, for each batch: `cost = loss(model(x), y)`, then backward, then the optimizer's step. A model that ends in
    Sigmoid with BinaryCrossEntropy is trained through its logits (see `minidl.training.fusion`).

    Raises: TypeError for an argument of the wrong kind; ValueError for an optimizer that moves parameters of another
    model.

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
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self._body, self._body_loss, self._head = through_logits(model, loss)
        self._dtype = parameters[0].data.dtype

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int,
        batch_size: int | None = None,
        validation_data: tuple[Any, Any] | None = None,
        print_every: int | None = 50,
        rng: Seed = None,
    ) -> History:
        """Train for so many passes over the samples and return the history.

        Arguments: `x` (n, ...) and `y` (n,) or (n, outputs) are array-likes; `batch_size=None` is full-batch gradient
        descent, a number shuffles the samples with `rng` each epoch; `validation_data` is a pair (x, y) evaluated after
        each epoch; the cost is printed every `print_every` epochs and after the last, or never for None.

        Returns: a History with `"loss"`, one float an epoch: for the full batch the cost before that epoch's update,
        as the article records it, for mini-batches the mean over the samples as they passed; and `"val_loss"` and
        `"val_accuracy"` after the update, where there is validation data.

        Raises: ValueError, before anything is changed, for samples or targets that are empty, of different lengths, of
        the wrong shape, not finite or outside the loss's domain.
        """
        epochs = positive_int(epochs, "epochs")
        print_every = None if print_every is None else positive_int(print_every, "print_every")
        x, y = self._checked(x, y, "x", "y")
        batches = Batches(x, y, batch_size, rng)
        validation = None
        if validation_data is not None:
            validation = self._checked(*validation_data, "validation x", "validation y")
        unit = "iteration" if batch_size is None else "epoch"
        history = History()
        for epoch in range(epochs):
            metrics = {"loss": self._train_epoch(batches)}
            if validation is not None:
                metrics |= {f"val_{name}": value for name, value in self._evaluate(*validation).items()}
            history.append(**metrics)
            if print_every is not None and (epoch % print_every == 0 or epoch == epochs - 1):
                extra = "".join(f"  {name} {value:.4f}" for name, value in metrics.items() if name != "loss")
                print(f"Cost after {unit} {epoch}: {metrics['loss']:.6f}{extra}", flush=True)
        return history

    def evaluate(self, x: Any, y: Any, batch_size: int | None = None) -> dict[str, float]:
        """Return `{"loss", "accuracy"}` over all samples, in evaluation mode.

        Arguments: `batch_size` bounds how many samples are computed at once; it does not change the result beyond
        rounding.

        Raises: ValueError as `fit` does.
        """
        x, y = self._checked(x, y, "x", "y")
        return self._evaluate(x, y, batch_size)

    def _train_epoch(self, batches: Batches) -> float:
        total = 0.0
        with self.model.mode(training=True):
            for x, y in batches:
                output = self._body.forward(x)
                total += self._body_loss(output, _as_column(y, output)) * len(x)
                self._body.backward_parameters(self._body_loss.backward())
                self.optimizer.step()
        return total / len(batches.x)

    def _evaluate(self, x: Array, y: Array, batch_size: int | None = None) -> dict[str, float]:
        size = len(x) if batch_size is None else positive_int(batch_size, "batch_size")
        loss = right = 0.0
        with self.model.mode(training=False):
            for start in range(0, len(x), size):
                output = self._body.forward(x[start : start + size])
                target = _as_column(y[start : start + size], output)
                loss += self._body_loss(output, target) * len(output)
                right += accuracy(self._head.forward(output), target) * len(output)
        return {"loss": loss / len(x), "accuracy": right / len(x)}

    def _checked(self, x: Any, y: Any, x_name: str, y_name: str) -> tuple[Array, Array]:
        """Return samples and targets as arrays that need no further look in the loop."""
        x, y = np.asarray(x), np.asarray(y)
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
            raise ValueError(
                f"{x_name} and {y_name}: expected at least one sample and one target for each, "
                f"received shapes {x.shape} and {y.shape}"
            )
        check_finite(x, x_name)
        check_finite(y, y_name)
        self._body_loss.check_target(y)
        if x.dtype.kind == "f":
            x = x.astype(self._dtype, copy=False)
        return x, y.astype(self._dtype, copy=False)


def _as_column(y: Array, output: Array) -> Array:
    """Return targets (n,) as the (n, 1) that outputs of one unit have; leave everything else to the loss's check."""
    return y[:, None] if y.ndim == 1 and output.shape == (len(y), 1) else y
