"""A step of an LSTM of 128 units over 64 steps of 128 features, batch 32: forward and backward.

    python -m benchmarks.lstm

The gradients of all parameters and of the input are computed, from a given gradient of all outputs; minidl's arrays
come from a buffer pool, as in `Trainer.fit`. Memory is what one pass over 256 steps of a batch of 128 adds to the peak
of a fresh process that has made a small one: saved arrays, work arrays, output and gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.machine import peer
from benchmarks.processes import added_memory
from benchmarks.report import show
from minidl import LSTM
from minidl._typing import Array
from minidl.ops.buffers import pool

BATCH, TIME, FEATURES, UNITS = 32, 64, 128, 128
STEPS = 10


def measure() -> Iterable[Comparison]:
    has_pytorch = peer("torch") is not None
    yield compare(
        f"forward and backward of an LSTM({FEATURES} -> {UNITS}), {TIME} steps, batch {BATCH}, float32",
        {
            "minidl": timed(minidl_steps(BATCH, TIME, STEPS), per=STEPS),
            "PyTorch": timed(pytorch_steps(BATCH, TIME, STEPS), per=STEPS) if has_pytorch else None,
        },
        repetitions=15,
        targets={"PyTorch": Target(at_least=1 / 1.3)},
    )
    small, large = "_steps(2, 4, 1)()", f"_steps({4 * BATCH}, {4 * TIME}, 1)()"
    names = {"minidl": "minidl", "PyTorch": "pytorch"}
    yield compare(
        f"memory that {4 * TIME} steps of a batch of {4 * BATCH} add",
        {
            name: added_memory("benchmarks.lstm", prefix + small, prefix + large)
            if prefix == "minidl" or has_pytorch
            else None
            for name, prefix in names.items()
        },
        repetitions=1,
        targets={"PyTorch": Target(at_least=1)},
        unit="MB",
        warmup=0,
    )


def sequences(batch: int, time: int) -> tuple[Array, Array]:
    """Return sequences and a gradient of the layer's output."""
    rng = np.random.default_rng(0)
    shapes = (batch, time, FEATURES), (batch, time, UNITS)
    x, grad_output = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    return x, grad_output


def minidl_steps(batch: int, time: int, count: int) -> Callable[[], None]:
    """Return what makes so many passes with minidl's layer."""
    layer, (x, grad_output) = LSTM(FEATURES, UNITS, rng=0), sequences(batch, time)

    def run() -> None:
        with pool():
            for _ in range(count):
                layer(x)
                layer.backward(grad_output)

    return run


def pytorch_steps(batch: int, time: int, count: int) -> Callable[[], None]:
    """Return what makes so many passes with PyTorch's layer."""
    torch = peer("torch")
    layer = torch.nn.LSTM(FEATURES, UNITS, batch_first=True)
    x, grad_output = (torch.from_numpy(array) for array in sequences(batch, time))
    x.requires_grad_()

    def run() -> None:
        for _ in range(count):
            layer.zero_grad()
            x.grad = None
            layer(x)[0].backward(grad_output)

    return run


if __name__ == "__main__":
    show(measure())
