"""minidl's side: `Trainer.fit`."""

from __future__ import annotations

from typing import Literal

from benchmarks.peers.peer import Job, Peer
from minidl import SGD, BinaryCrossEntropy, Trainer
from minidl._typing import Array


class Minidl(Peer):
    """An `mlp` in a Trainer; it trains `job.model` itself."""

    def __init__(self, job: Job, dual: bool | Literal["auto"] = "auto") -> None:
        super().__init__(job)
        self.trainer = Trainer(job.model, BinaryCrossEntropy(), SGD(job.model.parameters(), job.learning_rate))
        self.dual = dual

    def epoch(self, order: Array | None) -> float:
        """Train on the batches as they are given."""
        batches = [(self.job.x[rows], self.job.y[rows]) for rows in self.job.rows(order)]
        return self.trainer.fit(lambda: batches, epochs=1, print_every=None)["loss"][-1]

    def predict(self, x: Array) -> Array:
        """Return the probabilities."""
        return self.job.model.predict(x)

    def train(self, epochs: int) -> None:
        """Train by one `fit`, which shuffles."""
        job = self.job
        self.trainer.fit(job.x, job.y, epochs, job.batch_size, print_every=None, rng=0, dual=self.dual)
