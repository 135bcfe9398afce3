"""The article's job, 2,500 iterations on the pixels of 1,321 photographs, from uint8 to trained weights.

    python -m benchmarks.article

minidl's time is that of one `fit`, everything in it. PyTorch's is that of making numbers of the pixels once and of 30
iterations, these multiplied by 2,500 / 30. The same network is trained in 100 epochs of mini-batches, too; PyTorch
makes one of them, which is multiplied by 100. Peak memory is that of a fresh process, import and pixels included;
PyTorch makes three iterations there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from benchmarks.comparison import Comparison, Target, compare
from benchmarks.machine import peer
from benchmarks.peers import like, training
from benchmarks.processes import peak_memory
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Flatten, Rescale, Sequential, Trainer, mlp
from minidl._typing import Array

PHOTOGRAPHS, DIMS, LEARNING_RATE, ITERATIONS = 1321, [49152, 20, 7, 5, 1], 0.0075, 2500
MEASURED = 30  # of PyTorch's iterations
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


def pytorch_job(iterations: int) -> float:
    """Return the seconds of `ITERATIONS`, reckoned from so many."""
    torch = peer("torch")
    x, y = photographs()
    start = time.perf_counter()
    net = like(mlp(DIMS, rng=0))
    loss = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    inputs, targets = torch.from_numpy(x).flatten(1).float().div_(255), torch.from_numpy(y)
    prepared = time.perf_counter()
    for _ in range(iterations):
        optimizer.zero_grad()
        cost = loss(net(inputs), targets)
        cost.backward()
        optimizer.step()
        cost.item()
    return (prepared - start) + (time.perf_counter() - prepared) * ITERATIONS / iterations


def pytorch_mini_batches() -> float:
    """Return the seconds of `EPOCHS`, reckoned from one."""
    torch = peer("torch")
    x, y = photographs()
    start = time.perf_counter()
    inputs = torch.from_numpy(x).flatten(1).float().div_(255).numpy()
    run = training(mlp(DIMS, rng=0), inputs, y, LEARNING_RATE, BATCH, epochs=1)
    prepared = time.perf_counter()
    if run is not None:
        run()
    return (prepared - start) + (time.perf_counter() - prepared) * EPOCHS


def measure() -> Iterable[Comparison]:
    has_pytorch = peer("torch") is not None
    yield compare(
        f"{ITERATIONS} iterations on {PHOTOGRAPHS} x 128 x 128 x 3 uint8, network {DIMS}, float32",
        {"minidl": minidl_job, "PyTorch": (lambda: pytorch_job(MEASURED)) if has_pytorch else None},
        repetitions=3,
        targets={"minidl": Target(at_most=5.0), "PyTorch": Target(at_least=50.0)},
        warmup=0,
    )
    yield compare(
        f"{EPOCHS} epochs of the same in shuffled batches of {BATCH}",
        {"minidl": lambda: minidl_job(EPOCHS, BATCH), "PyTorch": pytorch_mini_batches if has_pytorch else None},
        repetitions=3,
        targets={"PyTorch": Target(at_least=10.0)},
        warmup=0,
    )
    yield compare(
        "peak memory of a process that does it",
        {
            "minidl": peak_memory("benchmarks.article", "minidl_job()"),
            "PyTorch": peak_memory("benchmarks.article", "pytorch_job(3)") if has_pytorch else None,
        },
        repetitions=1,
        targets={"minidl": Target(at_most=250.0)},
        unit="MB",
        warmup=0,
    )


if __name__ == "__main__":
    show(measure())
