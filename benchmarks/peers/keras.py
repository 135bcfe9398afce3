"""Keras on JAX: `fit`, which compiles the step."""

from __future__ import annotations

import os
from itertools import chain
from typing import Any, ClassVar

import numpy as np

from benchmarks.machine import peer
from benchmarks.peers.peer import Job, Peer
from minidl._typing import Array


def keras_on_jax() -> Any:
    """Return Keras, None where it is missing or its first import, which decides on what it runs, chose another."""
    os.environ["KERAS_BACKEND"] = "jax"
    keras = peer("keras")
    return keras if keras is not None and keras.config.backend() == "jax" else None


class Keras(Peer):
    """A `Sequential` of Dense layers with logits at the end."""

    requires: ClassVar[tuple[str, ...]] = ("jax", "keras")

    @classmethod
    def is_installed(cls) -> bool:
        """Return whether Keras and JAX are installed."""
        return peer("jax") is not None and keras_on_jax() is not None

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.keras = keras = keras_on_jax()
        *hidden, last = (weight.shape[0] for weight, _ in job.weights)
        layers = [keras.layers.Dense(units, activation="relu") for units in hidden]
        self.net = keras.Sequential([keras.Input((job.x.shape[1],)), *layers, keras.layers.Dense(last)])
        self.net.set_weights(list(chain.from_iterable((weight.T, bias) for weight, bias in job.weights)))
        self.net.compile(
            optimizer=keras.optimizers.SGD(job.learning_rate), loss=keras.losses.BinaryCrossentropy(from_logits=True)
        )

    def epoch(self, order: Array | None) -> float:
        """Train by `fit` on the samples in this order."""
        x, y = (self.job.x, self.job.y) if order is None else (self.job.x[order], self.job.y[order])
        return float(self._fit(x, y, 1, shuffle=False))

    def predict(self, x: Array) -> Array:
        """Return the probabilities."""
        return np.asarray(self.keras.ops.sigmoid(self.net.predict(x, verbose=0)))

    def train(self, epochs: int) -> None:
        """Train by one `fit`, which shuffles."""
        self._fit(self.job.x, self.job.y, epochs, shuffle=self.job.batch_size is not None)

    def _fit(self, x: Array, y: Array, epochs: int, *, shuffle: bool) -> float:
        size = self.job.batch_size or len(x)
        history = self.net.fit(x, y, batch_size=size, epochs=epochs, shuffle=shuffle, verbose=0).history
        return history["loss"][-1]  # type: ignore[no-any-return]
