"""Where the time goes: the shares of layers, update and the rest in a training step, and the calls of a small one.

    python -m benchmarks.profile

A step is one of `Trainer.fit`, as in the claims on the same jobs; the ratio of each part is its share of the whole.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from cProfile import Profile
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.comparison import Comparison
from benchmarks.convnet import BATCH, PICTURES, convnet_training, pictures
from benchmarks.report import show
from minidl import SGD, BatchNorm, BinaryCrossEntropy, Conv2D, Dense, MaxPool2D, ReLU, Trainer, mlp
from minidl.optimizers import Optimizer
from minidl.training.rewrites.dual_layer import DualLayer
from minidl.training.rewrites.wide_samples import WideSamples

REPETITIONS = 5
LAYERS = (Conv2D, BatchNorm, MaxPool2D, ReLU, Dense, DualLayer)
WHOLE, REST = "the whole step", "loss, batches, checks, record"


def measure() -> Iterable[Comparison]:
    article, photographs = [49152, 20, 7, 5, 1], 1321
    yield shares(f"a full-batch step of {article}, direct", 20, mlp_steps(article, photographs, None, 20, dual=False))
    yield shares(f"a full-batch step of {article}, dual", 2500, mlp_steps(article, photographs, None, 2500, dual=True))
    steps = 100 * -(-photographs // 32)
    run = mlp_steps(article, photographs, 32, 100, dual=True)
    yield shares(f"a step of {article}, batch 32, dual, of 100 epochs", steps, run)
    for dims, batch in (([784, 128, 64, 1], 32), ([784, 512, 512, 1], 2048), ([1024, 1024, 1024, 1024, 1], 32)):
        yield shares(f"a step of {dims}, batch {batch}", 16, mlp_steps(dims, 16 * batch, batch, 1))
    trainer, (x, y) = convnet_training(), pictures()
    yield shares(
        "a step of the convolutional network",
        PICTURES // BATCH,
        lambda: trainer.fit(x, y, 1, BATCH, print_every=None, rng=0),
    )
    yield calls("a step of [2, 4, 1], batch 32", 2000, mlp_steps([2, 4, 1], 2000 * 32, 32, 1))


def mlp_steps(
    dims: list[int], samples: int, batch: int | None, epochs: int, *, dual: bool = False
) -> Callable[[], object]:
    """Return a run of `Trainer.fit` that makes the steps."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, dims[0]), dtype=np.float32)
    y = rng.integers(0, 2, samples)
    model = mlp(dims, rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 1e-3))
    return lambda: trainer.fit(x, y, epochs, batch, print_every=None, rng=0, dual=dual)


def shares(job: str, steps: int, run: Callable[[], object]) -> Comparison:
    """Return the time of one of a run's steps, and of its parts."""
    values: dict[str, list[float]] = defaultdict(list)
    run()
    for _ in range(REPETITIONS):
        with timers() as seconds:
            start = time.perf_counter()
            run()
            whole = time.perf_counter() - start
        for name, value in {WHOLE: whole, **seconds, REST: whole - sum(seconds.values())}.items():
            values[name].append(value / steps)
    return Comparison(job, "s", values)


def calls(job: str, steps: int, run: Callable[[], object]) -> Comparison:
    """Return how many functions of Python and NumPy one of a run's steps calls."""
    profile = Profile()
    profile.runcall(run)
    return Comparison(job, "calls", {"functions": [sum(entry.callcount for entry in profile.getstats()) / steps]})


@contextmanager
def timers() -> Iterator[dict[str, float]]:
    """Add up the time that is spent in each kind of layer and in the optimizer, inside a `with` block."""
    seconds: dict[str, float] = defaultdict(float)

    def timing(owner: type, method: str, name: str) -> Any:
        original = vars(owner)[method]

        def wrapped(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*arguments, **named)
            finally:
                seconds[name] += time.perf_counter() - start

        return patch.object(owner, method, wrapped)

    with ExitStack() as stack:
        for layer in LAYERS:
            for method in ("forward", "backward", "backward_parameters"):
                if method in vars(layer):
                    stack.enter_context(timing(layer, method, f"{layer.__name__} {method.partition('_')[0]}"))
        stack.enter_context(timing(Optimizer, "step", "update"))
        stack.enter_context(timing(WideSamples, "products_with", "forming the Gram matrix"))
        yield seconds


if __name__ == "__main__":
    show(measure())
