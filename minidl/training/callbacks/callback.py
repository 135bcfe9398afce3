"""Callback: what is to happen beside training, at its beginning, between its steps and epochs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl.training.run import Run


class Callback:
    """The base of callbacks: four moments of `Trainer.fit` at which to look and act.

    Each receives the `Run`, with its `model`, `optimizer`, `history`, `epoch` (the number of completed epochs),
    `metric_names`, `stop()` and `save()`. The weights and the `.grad` of the parameters are up to date whenever they
    are read, and a callback may change the weights. A callback that keeps something from epoch to epoch returns it
    from `state_dict()` (numbers, strings, arrays, and dictionaries and lists of them), so that checkpoints carry it,
    and loads it in `load_state_dict`.

    >>> class Printer(Callback):
    ...     def on_epoch_end(self, run, epoch, metrics):
    ...         print(epoch, round(metrics["loss"], 1))
    """

    on_one_process: bool = False
    """Whether it only looks, prints or writes, and is called on process 0 alone where several train together."""

    def on_fit_begin(self, run: Run) -> None:
        """Run before the first epoch; what cannot work is best refused here."""

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        """Run after each training step: `batch` is its number in the epoch, from 0, `record` what it measured."""

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Run after epoch number `epoch`, counted from 0, with its metrics."""

    def on_fit_end(self, run: Run) -> None:
        """Run when training is over, however it ended: after the last epoch, Ctrl-C or an error."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of this callback."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
