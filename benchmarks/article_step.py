"""One full-batch step of the article's network without the dual form, on 1,321 photographs' worth of numbers.

    python -m benchmarks.article_step

"article in NumPy" is the article's own form, transcribed in tests/reference.py: samples in columns, float32 here where
there would be float64, so that all rivals move the same number of bytes. Each run is a whole `fit` of ten steps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.peers import scikit_learn_training, training
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Dense, Trainer, mlp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import reference

SAMPLES, DIMS, LEARNING_RATE, STEPS = 1321, [49152, 20, 7, 5, 1], 0.0075, 25


def measure() -> Iterable[Comparison]:
    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, DIMS[0]), dtype=np.float32)
    y = rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)
    model = mlp(DIMS, rng=0)
    dense = [layer for layer in model if isinstance(layer, Dense)]
    parameters = {f"W{i}": layer.weight.data.copy() for i, layer in enumerate(dense, 1)}
    parameters |= {f"b{i}": np.zeros((layer.out_features, 1), np.float32) for i, layer in enumerate(dense, 1)}
    columns, labels = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE))
    job = (x, y, LEARNING_RATE, SAMPLES, STEPS)
    rivals = {
        "minidl, dual=False": lambda: trainer.fit(x, y, STEPS, print_every=None, dual=False),
        "PyTorch": training(model, *job, bare=True),
        "scikit-learn": scikit_learn_training(DIMS, *job),
        "article in NumPy": lambda: reference.train(columns, labels, parameters, LEARNING_RATE, STEPS),
    }
    yield compare(
        f"a full-batch step, {SAMPLES} x {DIMS}, float32",
        {name: run and timed(run, per=STEPS) for name, run in rivals.items()},
        repetitions=5,
        targets={"PyTorch": Target(at_least=1.0)},
    )


if __name__ == "__main__":
    show(measure())
