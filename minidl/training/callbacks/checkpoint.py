"""Checkpoint: a run that can be resumed after a power cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from minidl._files import FilePath
from minidl._validation import positive_int
from minidl.training.callbacks.callback import Callback
from minidl.training.run import Run


class Checkpoint(Callback):
    """Writes a checkpoint every so many epochs and after the last one, each over the one before.

    The file is written under a temporary name, flushed to disk and renamed, so that at any moment, a power cut
    included, a whole checkpoint is there. `Trainer.resume` continues from it.

    Raises: ValueError for `every` below 1; FileNotFoundError, before the first epoch, where its folder is missing.

    >>> Checkpoint("run.ckpt", every=10)
    Checkpoint('run.ckpt', every=10)
    """

    def __init__(self, path: FilePath, every: int = 1) -> None:
        self.path = Path(path)
        self.every = positive_int(every, "Checkpoint every")

    def on_fit_begin(self, run: Run) -> None:
        """Refuse a folder that does not exist before any work is done."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"Checkpoint path: there is no folder {self.path.parent}")

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write, when it is time to."""
        if run.epoch % self.every == 0 or run.epoch == run.epochs or run.is_stopping:
            run.save(self.path)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every={self.every})"


def weight_reads(callbacks: Iterable[Callback], epochs: int) -> int:
    """Return how often the checkpoints of a run read the weights: twice each, as the run then starts anew from them.

    >>> weight_reads([Checkpoint("run.ckpt", every=4)], epochs=10)
    6
    """
    return sum(2 * math.ceil(epochs / each.every) for each in callbacks if isinstance(each, Checkpoint))
