"""One full-batch step of the article's network without the dual form, on 1,321 photographs' worth of numbers.

    python -m benchmarks.article_step

"article in NumPy" is the article's own form, transcribed in tests/reference.py: samples in columns, float32 here where
there would be float64, so that all rivals move the same number of bytes. Each run is a whole `fit` of 25 steps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.comparison import BEST_PEER, Comparison, Target, compare, timed
from benchmarks.peers import Job, Minidl, step_times, time_of_step
from benchmarks.report import show
from benchmarks.roofline import Machine
from minidl import mlp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import reference

SAMPLES, DIMS, LEARNING_RATE, STEPS = 1321, [49152, 20, 7, 5, 1], 0.0075, 25


def measure() -> Iterable[Comparison]:
    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, DIMS[0]), dtype=np.float32)
    y = rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)
    model = mlp(DIMS, rng=0)
    job = Job(model, x, y, LEARNING_RATE)
    parameters = {f"W{i}": weight.copy() for i, (weight, _) in enumerate(job.weights, 1)}
    parameters |= {f"b{i}": bias.copy()[:, None] for i, (_, bias) in enumerate(job.weights, 1)}
    columns, labels = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
    peers = step_times(job, STEPS)  # before minidl trains the weights that they copy
    in_numpy = partial(reference.train, columns, labels, parameters, LEARNING_RATE, STEPS)
    yield compare(
        f"a full-batch step, {SAMPLES} x {DIMS}, float32",
        {
            "minidl, dual=False": time_of_step(Minidl(job, dual=False), STEPS),
            **peers,
            "article in NumPy": timed(in_numpy, per=STEPS),
        },
        repetitions=5,
        targets={BEST_PEER: Target(at_least=1.0)},
        limit=Machine().step(DIMS, SAMPLES),
    )


if __name__ == "__main__":
    show(measure())
