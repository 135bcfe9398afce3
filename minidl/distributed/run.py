"""DistributedRun: one run of training on several processes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

import numpy as np

from minidl._files import FilePath
from minidl.distributed.batches import DistributedBatches
from minidl.distributed.exchange import Exchange
from minidl.distributed.group import alike
from minidl.distributed.problem import DistributedProblem
from minidl.errors import NonFiniteError
from minidl.training.checkpoint import describe_data
from minidl.training.run import Run


class DistributedRun(Run):
    """A run that process 0 alone writes of, and that all processes end after the same epoch."""

    written: DistributedProblem

    @property
    def exchange(self) -> Exchange:
        """What the processes tell each other."""
        return self.written.exchange

    @cached_property
    def data(self) -> dict[str, Any]:
        """What tells the samples of this run from another's, whatever the number of processes."""
        batches = cast(DistributedBatches, self.written.batches)
        return {**describe_data(batches.described()), "accumulate": self._accumulate}

    def save(self, path: FilePath) -> None:
        """Write a checkpoint on process 0; all processes must call it.

        Raises: OSError as `Run.save` does.
        """
        _ = self.data  # for which each process has a part
        if self.exchange.group.is_root:
            super().save(path)
        else:
            self.accept_changes(always=True)

    def check(self, metrics: Mapping[str, float]) -> None:
        """Raise NonFiniteError, on all processes, where an epoch has left a loss or a weight that is not finite."""
        with alike(NonFiniteError):
            super().check(metrics)

    def complete_epoch(self, metrics: Mapping[str, float]) -> None:
        """Count the epoch as completed, with the numbers of process 0, whose clock counts."""
        super().complete_epoch(self.exchange.group.broadcast(dict(metrics)))

    def agree(self) -> None:
        """End the epoch alike: with one learning rate, and the end of the run where a callback stops it anywhere.

        Raises: RuntimeError where the weights differ from process to process; KeyboardInterrupt after Ctrl-C on any.
        """
        state = 0
        for _, buffer in self.problem.model.named_state():
            state = zlib.crc32(np.ascontiguousarray(buffer.data).data, zlib.crc32(bytes([buffer.frozen]), state))
        own = self.is_stopping, self.optimizer.learning_rate, state, self.exchange.interrupts.waiting
        stopping, rates, states, pressed = zip(*self.exchange.group.allgather(own), strict=True)
        self.is_stopping = any(stopping)
        if self.optimizer.learning_rate != rates[0]:
            self.optimizer.learning_rate = rates[0]
        if len(set(states)) > 1:
            self.exchange.group.raise_alike(
                RuntimeError(
                    "the weights differ from process to process, or which of them are frozen: a callback has changed "
                    "them on one alone, or train_step has moved them by an optimizer other than problem.optimizer"
                )
            )
        self.exchange.interrupts.agree(sum(pressed))

    def warn_if_stuck(self) -> None:
        """Warn on process 0 alone."""
        if self.exchange.group.is_root:
            super().warn_if_stuck()
