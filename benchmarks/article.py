"""The article's job, 2,500 iterations on the pixels of 1,321 photographs, from uint8 to trained weights.

    python -m benchmarks.article

minidl's time is that of one `fit`, everything in it, the Gram matrix too. A peer's is that of making numbers of the
pixels once, of two iterations, in which it compiles where it does, and of some more, these multiplied to 2,500. The
same network is trained in 100 epochs of mini-batches, too; a peer makes two of them, the second of which stands for 99.
Peak memory is that of a fresh process, import and pixels included; a peer makes three iterations there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import numpy as np

from benchmarks.comparison import BEST_PEER, Comparison, Measurement, Target, compare
from benchmarks.peers import PEERS, Job, peers_for
from benchmarks.processes import peak_memory
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Flatten, Rescale, Sequential, Trainer, mlp
from minidl._typing import Array

PHOTOGRAPHS, DIMS, LEARNING_RATE, ITERATIONS = 1321, [49152, 20, 7, 5, 1], 0.0075, 2500
MEASURED = 20  # of a peer's iterations
BATCH, EPOCHS = 32, 100


def photographs() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (PHOTOGRAPHS, 128, 128, 3), dtype=np.uint8)
    return x, rng.integers(0, 2, (PHOTOGRAPHS, 1)).astype(np.float32)


def minidl_job(epochs: int = ITERATIONS, batch_size: int | None = None) -> float:
    """Return the seconds that `fit` takes."""
    x, y = photographs()
    model = Sequential(Rescale(), Flatten(), *mlp(DIMS, rng=0))
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE))
    start = time.perf_counter()
    trainer.fit(x, y, epochs, batch_size, print_every=None, rng=0)
    return time.perf_counter() - start


def peer_job(name: str, epochs: int, batch_size: int | None, first: int, measured: int) -> float:
    """Return the seconds of so many epochs, reckoned from the first and from some more."""
    pixels, y = photographs()
    start = time.perf_counter()
    x = np.divide(pixels.reshape(len(pixels), -1), np.float32(255), dtype=np.float32)
    peer = peers_for(batch_size)[name](Job(mlp(DIMS, rng=0), x, y, LEARNING_RATE, batch_size))
    measured = min(measured, peer.most_epochs)
    peer.train(first)
    prepared = time.perf_counter()
    peer.train(measured)
    return (prepared - start) + (time.perf_counter() - prepared) * (epochs - first) / measured


def peers(epochs: int, batch_size: int | None, first: int, measured: int) -> dict[str, Measurement | None]:
    """Return what measures each peer that is installed."""
    return {
        name: partial(peer_job, name, epochs, batch_size, first, measured) if kind.is_installed() else None
        for name, kind in peers_for(batch_size).items()
    }


def measure() -> Iterable[Comparison]:
    yield compare(
        f"{ITERATIONS} iterations on {PHOTOGRAPHS} x 128 x 128 x 3 uint8, network {DIMS}, float32",
        {"minidl": minidl_job, **peers(ITERATIONS, None, first=2, measured=MEASURED)},
        repetitions=3,
        targets={"minidl": Target(at_most=5.0), BEST_PEER: Target(at_least=50.0)},
        warmup=0,
    )
    yield compare(
        f"{EPOCHS} epochs of the same in shuffled batches of {BATCH}",
        {"minidl": lambda: minidl_job(EPOCHS, BATCH), **peers(EPOCHS, BATCH, first=1, measured=1)},
        repetitions=3,
        targets={"PyTorch": Target(at_least=10.0), BEST_PEER: Target(at_least=10.0)},
        warmup=0,
    )
    rivals: dict[str, Measurement | None] = {"minidl": peak_memory("benchmarks.article", "minidl_job()")}
    for name, kind in PEERS.items():
        call = f"peer_job({name!r}, 3, None, first=2, measured=1)"
        rivals[name] = peak_memory("benchmarks.article", call) if kind.is_installed() else None
    yield compare(
        "peak memory of a process that does it",
        rivals,
        repetitions=1,
        targets={"minidl": Target(at_most=250.0)},
        unit="MB",
        warmup=0,
    )


if __name__ == "__main__":
    show(measure())
