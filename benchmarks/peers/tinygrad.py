"""tinygrad: its usual loop, the step captured by TinyJit."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from benchmarks.machine import peer
from benchmarks.peers.peer import Job, Peer
from minidl._typing import Array


class Tinygrad(Peer):
    """Tensors, their autograd and an optimizer; NumPy takes the rows of a batch."""

    requires: ClassVar[tuple[str, ...]] = ("tinygrad",)
    most_epochs: ClassVar[int] = 1

    @classmethod
    @cache
    def is_installed(cls) -> bool:
        """Return whether it is installed, 0.14 or later, and finds a compiler."""
        if not super().is_installed() or not hasattr(peer("tinygrad").Tensor, "is_param_"):
            return False
        try:
            (peer("tinygrad").Tensor([1.0]) + 1).item()
        except (OSError, RuntimeError):
            return False
        return True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.tinygrad = tinygrad = peer("tinygrad")
        self.parameters = [
            tuple(tinygrad.Tensor(array.copy()).realize() for array in weight_and_bias)
            for weight_and_bias in job.weights
        ]
        flat = [array for weight_and_bias in self.parameters for array in weight_and_bias]
        self.optimizer = peer("tinygrad.nn.optim").SGD(flat, lr=job.learning_rate)
        self.steps: dict[int, Any] = {}

    def epoch(self, order: Array | None) -> float:
        """Train by a step for each size of a batch, as TinyJit takes one shape only."""
        tensor, total = self.tinygrad.Tensor, 0.0
        with self.tinygrad.Context(TRAINING=1):
            for rows in self.job.rows(order):
                x, y = self.job.x[rows], self.job.y[rows]
                if len(x) not in self.steps:
                    self.steps[len(x)] = self.tinygrad.TinyJit(self._step)
                total += self.steps[len(x)](tensor(x).realize(), tensor(y).realize()).item() * len(x)
        return total / len(self.job.x)

    def predict(self, x: Array) -> Array:
        """Return the probabilities."""
        return self._logits(self.tinygrad.Tensor(x)).sigmoid().numpy()  # type: ignore[no-any-return]

    def _logits(self, x: Any) -> Any:
        for weight, bias in self.parameters[:-1]:
            x = x.linear(weight.transpose(), bias).relu()
        weight, bias = self.parameters[-1]
        return x.linear(weight.transpose(), bias)

    def _step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        cost = self._logits(x).binary_crossentropy_logits(y).backward()
        return cost.realize(*self.optimizer.schedule_step())
