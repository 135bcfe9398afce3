"""scikit-learn: `MLPClassifier`."""

from __future__ import annotations

import sys
import warnings
from typing import Any, ClassVar

import numpy as np

from benchmarks.machine import peer
from benchmarks.peers.peer import Job, Peer
from minidl._typing import Array


class ScikitLearn(Peer):
    """A classifier of two classes, whose `fit` goes on where it is."""

    requires: ClassVar[tuple[str, ...]] = ("sklearn",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        settings: dict[str, Any] = {
            "hidden_layer_sizes": [weight.shape[0] for weight, _ in job.weights[:-1]],
            "solver": "sgd",
            "momentum": 0.0,
            "alpha": 0.0,
            "learning_rate_init": job.learning_rate,
            "batch_size": job.batch_size or len(job.x),
            "warm_start": True,
            "n_iter_no_change": sys.maxsize,  # warm, it counts epochs without progress from one `fit` to the next
        }
        self.classifier = peer("sklearn.neural_network").MLPClassifier(**settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the batch is larger than these two samples, which make the weights
            self.classifier.partial_fit(job.x[:2], [0, 1], classes=[0, 1])
        for (weight, bias), own, own_bias in zip(
            job.weights, self.classifier.coefs_, self.classifier.intercepts_, strict=True
        ):
            own[...], own_bias[...] = weight.T, bias

    def epoch(self, order: Array | None) -> float:
        """Train by `partial_fit` on the samples in this order."""
        x, y = (self.job.x, self.job.y) if order is None else (self.job.x[order], self.job.y[order])
        self.classifier.set_params(shuffle=False).partial_fit(x, y.ravel())
        return float(self.classifier.loss_)

    def predict(self, x: Array) -> Array:
        """Return the probabilities of class 1."""
        return np.asarray(self.classifier.predict_proba(x)[:, 1:])

    def train(self, epochs: int) -> None:
        """Train by one `fit`, which shuffles."""
        shuffle = self.job.batch_size is not None
        self.classifier.set_params(max_iter=epochs, shuffle=shuffle)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns at the end of the epochs that were asked for
            self.classifier.fit(self.job.x, self.job.y.ravel())
