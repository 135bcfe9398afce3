"""Wide tables, of fewer rows than columns: minidl trains in its dual form, the peers as they always do.

    python -m benchmarks.wide

The time of a whole `fit` in mini-batches, from the table to trained weights. The second table is a file that all read
through `numpy.memmap`, in the page cache after the first round; minidl without the dual form reads it in every epoch,
as PyTorch does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.comparison import Comparison, Measurement, Target, compare, timed
from benchmarks.peers import PEERS, Job
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
from minidl._typing import Array

BATCH, LEARNING_RATE = 32, 1e-4


def measure() -> Iterable[Comparison]:
    yield fits("in memory", *table(300, 20_000), epochs=100, at_least=10.0, peers=("PyTorch", "JAX", "scikit-learn"))
    with tempfile.TemporaryDirectory() as folder:
        x, y = table(1_000, 50_000)
        mapped = np.memmap(Path(folder) / "x", np.float32, "w+", shape=x.shape)
        mapped[:] = x
        del x
        yield fits("in a file", mapped, y, epochs=20, at_least=2.0, peers=("PyTorch",))
        del mapped


def table(rows: int, columns: int) -> tuple[Array, Array]:
    """Return random numbers and classes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, columns), dtype=np.float32), rng.integers(0, 2, (rows, 1)).astype(np.float32)


def fits(where: str, x: Array, y: Array, epochs: int, at_least: float, peers: Sequence[str]) -> Comparison:
    """Compare the times of training one network."""
    dims = [x.shape[1], 16, 1]
    job = Job(mlp(dims, rng=0), x, y, LEARNING_RATE, BATCH)

    def fit(dual: bool | Literal["auto"]) -> Callable[[], object]:
        def run() -> object:
            model = mlp(dims, rng=0)
            trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE))
            return trainer.fit(x, y, epochs, BATCH, print_every=None, rng=0, dual=dual)

        return run

    runs: dict[str, Any] = {"minidl": fit("auto"), "minidl, dual=False": fit(False)}
    for name in peers:
        runs[name] = partial(PEERS[name](job).train, epochs) if PEERS[name].is_installed() else None
    rivals: dict[str, Measurement | None] = {name: run and timed(run) for name, run in runs.items()}
    return compare(
        f"{epochs} epochs of {dims} on {len(x)} rows {where}, batch {BATCH}, float32",
        rivals,
        repetitions=3,
        targets={"PyTorch": Target(at_least=at_least)},
    )


if __name__ == "__main__":
    show(measure())
