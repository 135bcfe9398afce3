"""One training step on a mini-batch: forward, loss, backward, update, in Trainer's own loop.

    python -m benchmarks.mini_batch

The time of a whole `fit`, divided by its steps: shuffling, fetching the rows, the record of cost and accuracy and the
checks of samples and weights are in it. Each peer makes the same steps from the same weights in its usual loop, with
shuffled rows and a record of the cost, compiled beforehand where it compiles. "Rows in order" is without shuffling, and
"one scan" compiles the whole epoch. `benchmarks.roofline` says what the limit of the machine is, measured in this run.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.comparison import BEST_PEER, Comparison, Target, compare
from benchmarks.peers import Job, Minidl, step_times, time_of_step
from benchmarks.report import show
from benchmarks.roofline import Machine
from minidl import mlp

LEARNING_RATE = 0.01
# layer sizes, batch size, batches an epoch, epochs, how many times the best peer's speed is the target
JOBS = (
    ([2, 4, 1], 32, 100, 30, 4.0),
    ([784, 128, 64, 1], 32, 100, 10, 1.8),
    ([784, 128, 64, 1], 256, 40, 6, 1.2),
    ([784, 128, 64, 1], 2048, 16, 3, 1.0),
    ([784, 512, 512, 1], 32, 100, 2, 0.97),
    ([784, 512, 512, 1], 256, 40, 2, 0.97),
    ([784, 512, 512, 1], 2048, 12, 1, 0.97),
    ([1024, 1024, 1024, 1024, 1], 32, 60, 1, 0.97),
    ([1024, 1024, 1024, 1024, 1], 256, 20, 1, 0.97),
)


def measure() -> Iterable[Comparison]:
    machine = Machine()
    for dims, batch_size, batches, epochs, target in JOBS:
        yield step(machine, dims, batch_size, batches, epochs, target)


def step(
    machine: Machine, dims: list[int], batch_size: int, batches: int, epochs: int, target: float, repetitions: int = 7
) -> Comparison:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch_size * batches, dims[0]), dtype=np.float32)
    y = rng.integers(0, 2, (len(x), 1)).astype(np.float32)
    job = Job(mlp(dims, rng=0), x, y, LEARNING_RATE, batch_size)
    peers = step_times(job, epochs)  # before minidl trains the weights that they copy
    return compare(
        f"training step of {dims}, batch {batch_size}, float32",
        {"minidl": time_of_step(Minidl(job), epochs), **peers},
        repetitions,
        targets={BEST_PEER: Target(at_least=target)},
        limit=machine.step(dims, batch_size),
    )


if __name__ == "__main__":
    show(measure())
