"""One full-batch step of the article's network on its 1,321 photographs' worth of pixels: minidl and plain NumPy.

    python -m benchmarks.article_step

Plain NumPy is the article's own form, transcribed in tests/reference.py: samples in columns, float32 here as there
would be float64, so that both sides move the same number of bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.timing import alternate, table
from minidl import SGD, BinaryCrossEntropy, Dense, Trainer, mlp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import reference

SAMPLES, DIMS, LEARNING_RATE = 1321, [49152, 20, 7, 5, 1], 0.0075


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, DIMS[0]), dtype=np.float32)
    y = rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)
    model = mlp(DIMS, rng=0)
    dense = [layer for layer in model if isinstance(layer, Dense)]
    parameters = {f"W{i}": layer.weight.data.copy() for i, layer in enumerate(dense, 1)}
    parameters |= {f"b{i}": np.zeros((layer.out_features, 1), np.float32) for i, layer in enumerate(dense, 1)}
    columns, labels = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE))
    steps = 10

    seconds = alternate(
        {
            "article in NumPy": lambda: reference.train(columns, labels, parameters, LEARNING_RATE, steps),
            "minidl, Trainer.fit": lambda: trainer.fit(x, y, steps, print_every=None),
        },
        repetitions=7,
    )
    print(f"a full-batch step, {SAMPLES} x {DIMS}, float32 (mean of {steps} steps a run, 7 runs)")
    print(table({name: [value / steps for value in values] for name, values in seconds.items()}))


if __name__ == "__main__":
    main()
