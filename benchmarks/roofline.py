"""How fast the machine can be at all: its matrix products and its memory, and the least time of a training step.

A step of an `mlp` on b samples takes 2 b operations for each weight forward, as many for the weight's gradient and, but
for those of the first layer, as many for the gradient of the layer's input. It moves, at the least, the batch twice and
each weight three times: both are read forward and backward, and the weight is written in the update, its gradient never
leaving the cache. Operations over the speed of products or bytes over that of memory, the larger, is the limit.

The speed of products is that of large ones in float32, by NumPy's matrix library or PyTorch's, whichever is faster.
That of memory is measured on as many bytes as batch and weights have: that of a cache where they fit into one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from benchmarks.comparison import Limit, timed
from benchmarks.machine import peer

REPETITIONS = 7  # of which the fastest counts
SIDE = 2048  # of the matrices
SMALLEST = 1 << 20  # bytes: below, the time is that of calling NumPy
MOVED = 1 << 28  # bytes in one measurement


class Machine:
    """The limits of this machine, each measured when it is first asked for."""

    def __init__(self, side: int = SIDE, moved: int = MOVED) -> None:
        self._side, self._moved = side, moved
        self._operations = 0.0
        self._bandwidths: dict[int, float] = {}

    def operations(self) -> float:
        """Return the operations a second of large products, an addition and a multiplication counting as two."""
        if not self._operations:
            a, b = np.random.default_rng(0).standard_normal((2, self._side, self._side), dtype=np.float32)
            out = np.empty_like(a)
            seconds = [fastest(lambda: np.matmul(a, b, out=out))]
            if (torch := peer("torch")) is not None:
                tensors = [torch.from_numpy(array) for array in (a, b, out)]
                seconds.append(fastest(lambda: torch.mm(*tensors[:2], out=tensors[2])))
            self._operations = 2 * self._side**3 / min(seconds)
        return self._operations

    def bandwidth(self, size: int) -> float:
        """Return the bytes a second that all cores together read and write in copying `size` bytes again and again."""
        size = max(size, SMALLEST)
        if size not in self._bandwidths:
            self._bandwidths[size] = copying(size, self._moved)
        return self._bandwidths[size]

    def step(self, dims: Sequence[int], batch: int) -> Limit:
        """Return the least time of a training step of an `mlp` of these sizes."""
        operations, moved, size = costs(dims, batch)
        bandwidth = self.bandwidth(size)
        arithmetic, memory = operations / self.operations(), moved / bandwidth
        if arithmetic >= memory:
            return Limit(arithmetic, f"products at {self.operations() / 1e9:.0f} Gflop/s")
        return Limit(memory, f"memory at {bandwidth / 1e9:.0f} GB/s")


def costs(dims: Sequence[int], batch: int) -> tuple[int, int, int]:
    """Return a training step's operations, the bytes that it moves at the least, and those of batch and weights.

    >>> costs([3, 2, 1], batch=10)
    (360, 336, 152)
    """
    weights, samples = [before * after for before, after in pairwise(dims)], batch * dims[0]
    operations = 2 * batch * (3 * sum(weights) - weights[0])
    return operations, 4 * (2 * samples + 3 * sum(weights)), 4 * (samples + sum(weights))


def copying(size: int, moved: int) -> float:
    """Return the bytes a second that all cores read and write, copying shares of so many bytes again and again."""
    cores = os.cpu_count() or 1
    pairs = [(np.ones(size // (8 * cores), np.float32), np.ones(size // (8 * cores), np.float32)) for _ in range(cores)]
    copied = sum(source.nbytes + target.nbytes for source, target in pairs)
    rounds = max(1, moved // copied)

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(rounds):
            np.copyto(*pair)

    with ThreadPoolExecutor(cores) as threads:
        return rounds * copied / fastest(lambda: list(threads.map(copy, pairs)))


def fastest(run: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs."""
    run()
    return min(timed(run)() for _ in range(REPETITIONS))
