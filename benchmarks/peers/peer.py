"""A job, and the interface of all that train on it."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks.machine import peer
from minidl import Dense, Sequential
from minidl._typing import Array


@dataclass(frozen=True)
class Job:
    """Binary classification by an `mlp`, trained by plain SGD on the mean binary cross-entropy.

    Attributes: `model` has the first weights, which each side copies; `x` is (n, features) and `y` (n, 1), float32;
    `batch_size=None` is the full batch, in order.
    """

    model: Sequential
    x: Array
    y: Array
    learning_rate: float
    batch_size: int | None = None

    @property
    def weights(self) -> list[tuple[Array, Array]]:
        """The weight (outputs, inputs) and the bias (outputs,) of each Dense layer."""
        return weights_of(self.model)

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        return math.ceil(len(self.x) / (self.batch_size or len(self.x)))

    def orders(self, epochs: int) -> Iterator[Array | None]:
        """Yield the order of the samples in each epoch, None for that in which they are."""
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            yield None if self.batch_size is None else rng.permutation(len(self.x))

    def rows(self, order: Array | None) -> Iterator[Any]:
        """Yield the rows of each batch of an epoch in this order."""
        size = self.batch_size or len(self.x)
        for start in range(0, len(self.x), size):
            batch = slice(start, start + size)
            yield batch if order is None else order[batch]


def weights_of(model: Sequential) -> list[tuple[Array, Array]]:
    """Return the weight (outputs, inputs) and the bias (outputs,) of each Dense layer."""
    pairs = []
    for layer in model:
        if isinstance(layer, Dense):
            bias = np.zeros(layer.out_features, layer.dtype) if layer.bias is None else layer.bias.data
            pairs.append((layer.weight.data, bias))
    return pairs


class Peer(ABC):
    """One framework's network and loop for a job.

    Attributes: `requires` are the modules that it needs; `most_epochs` bounds those that are measured at a time, of a
    side that takes long for each.
    """

    requires: ClassVar[tuple[str, ...]] = ()
    most_epochs: ClassVar[int] = sys.maxsize

    def __init__(self, job: Job) -> None:
        self.job = job

    @classmethod
    def is_installed(cls) -> bool:
        """Return whether all that it needs is installed."""
        return all(peer(name) is not None for name in cls.requires)

    @abstractmethod
    def epoch(self, order: Array | None) -> float:
        """Train on batches of the samples in this order, and return the mean loss of a sample, before each update."""

    @abstractmethod
    def predict(self, x: Array) -> Array:
        """Return the probabilities (n, 1)."""

    def train(self, epochs: int) -> None:
        """Train for so many epochs more, shuffled anew in each unless the batch is full."""
        for order in self.job.orders(epochs):
            self.epoch(order)
