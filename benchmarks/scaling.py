"""Fit over mini-batches of samples on disk when their number doubles: the time doubles, the memory does not.

    python -m benchmarks.scaling

The samples are read from a file as they are asked for. It is not mapped: pages of a mapped file are counted as memory
of the process, although the system takes them back when it needs them.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import Comparison, Target, compare
from benchmarks.processes import peak_memory
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Flatten, Rescale, Sequential, Trainer, mlp
from minidl._typing import Array

PICTURE, COUNT, EPOCHS = (64, 64, 3), 5000, 2


class OnDisk:
    """The first pictures of a file, read when they are asked for."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path: str, count: int) -> None:
        self.path, self.shape = path, (count, *PICTURE)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        size = math.prod(PICTURE)
        pictures = [np.fromfile(self.path, np.uint8, size, offset=row * size) for row in np.arange(len(self))[rows]]
        return np.stack(pictures).reshape(-1, *PICTURE)


def train(path: str, count: int) -> float:
    """Fit to the first pictures of a file and return the seconds."""
    model = Sequential(Rescale(), Flatten(), *mlp([64 * 64 * 3, 20, 1], rng=0))
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.01))
    start = time.perf_counter()
    trainer.fit(OnDisk(path, count), np.arange(count) % 2, EPOCHS, batch_size=32, print_every=None, rng=0)
    return time.perf_counter() - start


def measure() -> Iterable[Comparison]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "pictures")
        np.random.default_rng(0).integers(0, 256, (2 * COUNT, *PICTURE), dtype=np.uint8).tofile(path)
        names = f"{COUNT} samples", f"{2 * COUNT} samples"
        job = f"fit of pictures {PICTURE} in a file, batch 32, {EPOCHS} epochs"
        yield compare(
            f"{job}: time",
            {names[0]: lambda: train(path, COUNT), names[1]: lambda: train(path, 2 * COUNT)},
            repetitions=5,
            targets={names[1]: Target(at_most=2.2)},
        )
        yield compare(
            f"{job}: peak memory",
            {
                name: peak_memory("benchmarks.scaling", f"train({path!r}, {count})")
                for name, count in zip(names, (COUNT, 2 * COUNT), strict=True)
            },
            repetitions=1,
            targets={names[1]: Target(at_most=1.05)},
            unit="MB",
            warmup=0,
        )


if __name__ == "__main__":
    show(measure())
