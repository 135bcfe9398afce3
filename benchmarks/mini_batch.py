"""One training step on a mini-batch: forward, loss, backward, update, in Trainer's own loop.

    python -m benchmarks.mini_batch

The time of a whole `fit`, divided by its steps: shuffling, fetching the rows, the record of cost and accuracy and the
checks of samples and weights are in it. PyTorch makes the same steps from the same weights in the usual loop, with
shuffled rows and a record of the cost; "bare" is without both. scikit-learn's is its own `fit`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.peers import scikit_learn_training, training
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Trainer, mlp

LEARNING_RATE = 0.01
# layer sizes, batch size, batches an epoch, epochs, how many times PyTorch's speed is the target
JOBS = (
    ([2, 4, 1], 32, 100, 30, 3.0),
    ([784, 128, 64, 1], 32, 100, 10, 1.8),
    ([784, 128, 64, 1], 256, 40, 6, 1.1),
    ([784, 128, 64, 1], 2048, 16, 3, 1.0),
    ([784, 512, 512, 1], 32, 100, 2, 0.97),
    ([784, 512, 512, 1], 256, 40, 2, 0.97),
    ([784, 512, 512, 1], 2048, 12, 1, 0.97),
    ([1024, 1024, 1024, 1024, 1], 32, 60, 1, 0.97),
    ([1024, 1024, 1024, 1024, 1], 256, 20, 1, 0.97),
)


def measure() -> Iterable[Comparison]:
    for dims, batch_size, batches, epochs, target in JOBS:
        yield step(dims, batch_size, batches, epochs, target)


def step(dims: list[int], batch_size: int, batches: int, epochs: int, target: float) -> Comparison:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch_size * batches, dims[0]), dtype=np.float32)
    y = rng.integers(0, 2, (len(x), 1)).astype(np.float32)
    model = mlp(dims, rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE))
    job = (x, y, LEARNING_RATE, batch_size, epochs)
    rivals = {
        "minidl": lambda: trainer.fit(x, y, epochs, batch_size, print_every=None, rng=0),
        "PyTorch": training(model, *job),
        "PyTorch, bare": training(model, *job, bare=True),
        "scikit-learn": scikit_learn_training(dims, *job),
    }
    return compare(
        f"training step of {dims}, batch {batch_size}, float32",
        {name: run and timed(run, per=batches * epochs) for name, run in rivals.items()},
        repetitions=7,
        targets={"PyTorch": Target(at_least=target)},
    )


if __name__ == "__main__":
    show(measure())
