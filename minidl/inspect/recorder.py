"""Recorder: a callback that keeps what a playback of training needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minidl._samples import as_input, is_several
from minidl._typing import Array
from minidl._validation import check_finite, positive_int, shown
from minidl.inspect._moments import Moment, moments_of, state_of
from minidl.inspect._watching import Watching
from minidl.training import Callback, Run

PHOTOGRAPHS = 16  # at most


class Recorder(Callback):
    """Keeps costs, small weight pictures, activations, norms of gradients and dead units, spaced like a logarithm.

    `moments` are plain arrays (see `Moment`): one before training, one after epoch 1, and so on to the last epoch, the
    numbers of epochs being a geometric series, of which each is about the same share longer than the one before. With
    full batches, an epoch is an iteration. What is kept is bounded: see the arguments. In the dual form weights are
    not pulled; a resumed run goes on with the moments of its checkpoint.

    Arguments: `photographs` (n, ...) are samples as the network takes them, at most 16, whose activations are kept, of
    each layer at most 2,048 numbers a photograph: outputs that are pictures are reduced, others cut off. `limit` is the
    largest number of moments. `side` bounds the sides of weight pictures: pixels are means of squares of weights. Of
    the first layer at most 64 units are kept. Dead units are those that are 0 for 128 training samples.

    Raises: ValueError for other photographs, a `limit` below 2, a `side` below 1, and, before the first epoch, for
    photographs of another shape than the samples.

    >>> from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
    >>> model, recorder = mlp([2, 3, 1], rng=0), Recorder(photographs=[[0.0, 1.0]], limit=5)
    >>> trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1.0))
    >>> history = trainer.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1], epochs=100, print_every=None, callbacks=[recorder])
    >>> [moment.epoch for moment in recorder.moments], recorder.moments[-1].activations["3"].shape
    ([0, 1, 5, 22, 100], (1, 1))
    """

    on_one_process = True

    def __init__(self, photographs: Any = None, limit: int = 24, side: int = 24) -> None:
        self.limit, self.side = positive_int(limit, "Recorder limit"), positive_int(side, "Recorder side")
        if self.limit < 2:
            raise ValueError(f"Recorder limit: expected a whole number of at least 2, received {shown(limit)}")
        self.photographs = None
        if photographs is not None:
            if is_several(photographs):
                raise ValueError(f"Recorder photographs: expected one array, received a tuple of {len(photographs)}")
            self.photographs = np.array(as_input(photographs, "Recorder photographs"))
            if self.photographs.ndim < 2 or self.photographs.size == 0 or not 1 <= len(self.photographs) <= PHOTOGRAPHS:
                raise ValueError(
                    f"Recorder photographs: expected from 1 to {PHOTOGRAPHS} samples (n, ...), received shape "
                    f"{self.photographs.shape}"
                )
            check_finite(self.photographs, "Recorder photographs")
        self._moments: list[Moment] = []
        self._pending: dict[int, Callable[[], Array]] = {}  # weights that nothing has asked for yet, by epoch
        self._watching: Watching | None = None

    @property
    def moments(self) -> tuple[Moment, ...]:
        """What has been kept, from the first moment to the last."""
        for i, moment in enumerate(self._moments):
            if moment.epoch in self._pending:
                self._moments[i] = replace(moment, weights=self._pending[moment.epoch]())
                del self._pending[moment.epoch]
        self._pending.clear()  # those of moments that were dropped
        return tuple(self._moments)

    def on_fit_begin(self, run: Run) -> None:
        """Keep the moment before training, or go on with what a resumed run has kept."""
        shape = tuple(run.written.batches.x.shape[1:])
        if self.photographs is not None and self.photographs.shape[1:] != shape:
            received = self.photographs.shape
            raise ValueError(f"Recorder photographs: expected samples of shape {shape}, received {received}")
        self._watching = Watching(run, self.photographs, shape, self.side)
        self._due = set(recorded_epochs(run.epochs, self.limit))
        if run.epoch == 0:
            self._moments, self._pending = [], {}
            self._keep(run)

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep this moment, if it is one of those to keep."""
        if run.epoch in self._due or run.is_stopping:
            self._keep(run)

    def on_fit_end(self, run: Run) -> None:
        """Keep the last moment, where training has ended earlier than planned."""
        self._watching = None
        self._moments = [moment for moment in self._moments if moment.epoch <= run.epoch]
        if run.epoch > 0 and (not self._moments or self._moments[-1].epoch < run.epoch):
            self._watching = Watching(run, self.photographs, tuple(run.written.batches.x.shape[1:]), self.side)
            self._keep(run)
            self._watching = None

    def _keep(self, run: Run) -> None:
        watching = self._watching
        if watching is None:
            return
        metrics = {name: value for name, value in run.metrics.items() if run.epoch and name != "seconds"}
        weights = watching.weights()
        if weights is not None:
            self._pending[run.epoch] = weights
        moment = Moment(
            run.epoch, metrics.get("loss", float("nan")), metrics, None, watching.activations(),
            watching.gradient_norms() if run.epoch else {}, watching.dead(),
        )  # fmt: skip
        self._moments = [*(kept for kept in self._moments if kept.epoch < run.epoch), moment]
        while len(self._moments) > self.limit:  # of a run that was resumed to another number of epochs
            self._drop_one()

    def _drop_one(self) -> None:
        """Drop the moment, neither first nor last, without which the gap is the smallest for its epochs."""
        epochs = np.log1p([moment.epoch for moment in self._moments])
        del self._moments[1 + int(np.argmin(epochs[2:] - epochs[:-2]))]

    def state_dict(self) -> dict[str, Any]:
        """Return all moments."""
        return {"moments": state_of(self.moments)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises: ValueError for anything that it does not return.
        """
        self._moments, self._pending = moments_of(state.get("moments")), {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to the run that is under way."""
        return {**vars(self), "_moments": [*self.moments], "_pending": {}, "_watching": None}

    def __repr__(self) -> str:
        count = 0 if self.photographs is None else len(self.photographs)
        return f"Recorder(photographs={count}, limit={self.limit}, moments={len(self._moments)})"


def recorded_epochs(epochs: int, limit: int) -> list[int]:
    """Return after how many epochs a moment is kept: at most `limit - 1` numbers, spaced like a logarithm.

    >>> recorded_epochs(2500, 6)
    [1, 7, 50, 354, 2500]
    """
    if limit == 2:
        return [epochs]
    return sorted({round(epochs ** (i / (limit - 2))) for i in range(limit - 1)} | {epochs})
