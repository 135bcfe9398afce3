"""A run of an example that Ctrl-C ends at a chosen moment."""

from __future__ import annotations

from collections.abc import Mapping

from minidl import Checkpoint, Run


def checkpoint_with_ctrl_c(after: int) -> type[Checkpoint]:
    """Return a Checkpoint that is written as ever, and behaves as if Ctrl-C came when so many epochs are complete."""

    class Interrupting(Checkpoint):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            super().on_epoch_end(run, epoch, metrics)
            if run.epoch == after:
                raise KeyboardInterrupt

    Interrupting.__name__ = "Checkpoint"  # by which a checkpoint names it
    return Interrupting
