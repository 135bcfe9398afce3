"""The constants of `minidl.ops.tuning`: what each fast path takes at its value, at others, and switched off.

    python -m benchmarks.tuning

A ratio above 1 means that the value is slower than the one in use. The values are measured in turn, A B A B. A field
that is a limit, such as `thin_batch`, is measured on jobs on both sides of it, where it should choose the faster way.
The limits on memory, `pool_sizes`, `gram_bytes`, `part_bytes` and `file_window`, are not measured. `pooled_bytes` comes
first: glibc returns less memory to the system after a process has freed large arrays.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.article import DIMS, photographs
from benchmarks.comparison import Comparison, Measurement, compare, timed
from benchmarks.loading import SIZE, draw
from benchmarks.machine import description
from benchmarks.report import table
from minidl import SGD, Adam, BatchNorm, BinaryCrossEntropy, Conv2D, Module, Parameter, ReLU, Rescale, Trainer, mlp
from minidl._typing import Array
from minidl.data import load_image_folders
from minidl.ops import tuning
from minidl.ops.buffers import empty, pool
from minidl.ops.matmul import dense_forward, dense_weight_grad
from minidl.training.rewrites.wide_samples import WideSamples

SHORTEST, LONG = 0.03, 0.3  # seconds: a measurement repeats what is shorter, and is repeated less if longer
NO_LIMIT = sys.maxsize
FLOAT = np.dtype(np.float32)


class Trial(NamedTuple):
    """A job and the values of a field to measure it with, beside the one in use."""

    field: str
    job: str
    run: Callable[[], object]
    others: Mapping[str, Any]


def main() -> None:
    print(description())
    field = None
    trials = (
        new_arrays, elementwise, updates, convolutions, thin, few_samples, wide, gram_matrix, dual_form, files
    )  # fmt: skip
    for trial in chain.from_iterable(make() for make in trials):
        if trial.field != field:
            field = trial.field
            print(f"\n== {field}")
        print(table(measured(trial)), flush=True)


def measured(trial: Trial) -> Comparison:
    """Return the times of a job, at the value in use first; the ratios are to that one."""
    in_use = getattr(tuning.TUNING, trial.field)
    values = {f"{in_use} (in use)": in_use, **trial.others}
    with pool():
        trial.run()
        seconds = timed(trial.run)()
        calls = max(1, round(SHORTEST / seconds))
        rivals = {name: at_value(trial, value, calls) for name, value in values.items()}
        return compare(trial.job, rivals, repetitions=9 if seconds < LONG else 3)


def at_value(trial: Trial, value: Any, calls: int) -> Measurement:
    """Return what measures the seconds of one call with this value of the field."""
    changed = tuning.TUNING._replace(**{trial.field: value})

    def measure() -> float:
        with patch.object(tuning, "TUNING", changed):
            return timed(lambda: [trial.run() for _ in range(calls)], per=calls)()

    return measure


def multiples(field: str, *factors: float) -> dict[str, int]:
    """Return multiples of the value in use by their names."""
    return {str(value): value for value in (int(getattr(tuning.TUNING, field) * factor) for factor in factors)}


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def passes(layer: Module, x: Array) -> Callable[[], object]:
    """Return what goes forward and backward through a layer."""
    grad_output = np.ones_like(layer(x))
    return lambda: (layer(x), layer.backward(grad_output))


def elementwise() -> Iterator[Trial]:
    relu, x = ReLU(), numbers(8_000_000)
    batch_norm = passes(BatchNorm(16), numbers(32, 64, 64, 16))
    others = multiples("cache_block", 1 / 4, 1 / 2, 2, 4, 16) | {"off": NO_LIMIT}
    yield Trial("cache_block", "ReLU forward, 8,000,000 numbers", lambda: relu(x), others)
    yield Trial("cache_block", "BatchNorm forward and backward, 32 x 64 x 64 x 16", batch_norm, others)
    part = x[: 5 << 18]
    others = multiples("block_multiple", 1 / 4, 1 / 2, 2)
    yield Trial("block_multiple", "ReLU forward, numbers of 5 blocks", lambda: relu(part), others)


def updates() -> Iterator[Trial]:
    others = multiples("update_block", 1 / 4, 1 / 2, 2, 4) | {"off": NO_LIMIT}
    for kind in (SGD, Adam):
        parameter = Parameter(numbers(1024, 1024))
        parameter.grad = numbers(1024, 1024)
        yield Trial("update_block", f"{kind.__name__} step, 1024 x 1024", kind([parameter], 1e-6).step, others)


def new_arrays() -> Iterator[Trial]:
    """Yield the trials of `pooled_bytes`: eight arrays, as a network's layers need them, made, filled and dropped."""
    others = {"0: from the pool": 0, "no limit: from NumPy": NO_LIMIT}
    for kilobytes in (4, 16, 32, 64, 128, 256, 1024, 8192):
        run = partial(make_arrays, 8, (kilobytes * 1024 // FLOAT.itemsize,))
        yield Trial("pooled_bytes", f"8 arrays of {kilobytes} kB", run, others)


def make_arrays(count: int, shape: tuple[int, ...]) -> None:
    arrays = [empty(shape, FLOAT) for _ in range(count)]
    for array in arrays:
        array.fill(1)


def convolutions() -> Iterator[Trial]:
    def convolution(before: int, after: int) -> Callable[[], object]:
        return passes(Conv2D(before, after, 3, padding="same", rng=0), numbers(32, 32, 32, before))

    others: dict[str, Any] = {"0: one product": 0, "no limit: stacks": NO_LIMIT}
    for before, after in ((3, 16), (16, 32), (64, 64), (96, 96)):
        job = f"convolution 3 x 3, {before} -> {after}, kernel of {9 * before * after} numbers"
        yield Trial("stacked_kernel", job, convolution(before, after), others)
    run = convolution(16, 32)
    for field in ("stacked_rows", "small_product"):
        yield Trial(field, "convolution 3 x 3, 16 -> 32", run, multiples(field, 1 / 4, 1 / 2, 2, 4))
    yield Trial("window_blocks", "convolution 3 x 3, 16 -> 32", run, multiples("window_blocks", 1 / 2, 2, 4))


def thin() -> Iterator[Trial]:
    def both_products(batch: int, inputs: int, outputs: int) -> tuple[str, Callable[[], object]]:
        x, weight, grad_output = numbers(batch, inputs), numbers(outputs, inputs), numbers(batch, outputs)
        job = f"Dense {inputs} -> {outputs}, batch {batch}, forward and weight gradient"
        return job, lambda: (dense_forward(x, weight, None), dense_weight_grad(grad_output, x))

    for batch in (16, 32, 64, 96, 128):
        others: dict[str, Any] = {"0: x @ W.T": 0, "no limit: W @ x.T": NO_LIMIT}
        yield Trial("thin_batch", *both_products(batch, 784, 128), others)
    for inputs, outputs in ((64, 128), (128, 128), (784, 128), (512, 256), (512, 512), (1024, 1024)):
        others = {"off: x @ W.T": (NO_LIMIT, 0), "W @ x.T": (0, 0), "W @ x.T in stacks": (0, NO_LIMIT)}
        yield Trial("thin_weight", *both_products(32, inputs, outputs), others)
    yield Trial("thin_run", *both_products(32, 784, 128), multiples("thin_run", 1 / 4, 1 / 2, 2, 4))


def few_samples() -> Iterator[Trial]:
    def forward(samples: int, inputs: int, outputs: int) -> tuple[str, Callable[[], object]]:
        x, weight = numbers(samples, inputs), numbers(outputs, inputs)
        return f"Dense {inputs} -> {outputs}, batch {samples}, forward", lambda: dense_forward(x, weight, None)

    for inputs, outputs in ((DIMS[0], DIMS[1]), (784, 128), (1024, 1024)):
        others = {"9215": 9215, "no limit: one product": NO_LIMIT}
        yield Trial("vector_product", *forward(1, inputs, outputs), others)
    for samples in (4, 8, 16):
        others = {"0: W @ x.T": 0, "no limit: stacks": NO_LIMIT}
        yield Trial("few_samples", *forward(samples, 784, 512), others)
    for samples, outputs in ((2, DIMS[1]), (8, DIMS[1]), (32, DIMS[1]), (64, DIMS[1]), (8, 64), (8, 128), (32, 64)):
        others = {"0: W @ x.T": 0, "no limit: tiles": NO_LIMIT}
        yield Trial("thin_wide", *forward(samples, DIMS[0], outputs), others)


def wide() -> Iterator[Trial]:
    samples, article = numbers(1321, DIMS[0]), DIMS[1]

    def both(field: str, others: Mapping[str, Any], n: int, d: int, outputs: int) -> tuple[Trial, Trial]:
        x, weight, grad_output = np.ascontiguousarray(samples[:n, :d]), numbers(outputs, d), numbers(n, outputs)
        job = f"{n} x {d} -> {outputs}"
        forward = Trial(field, f"{job}, forward", lambda: dense_forward(x, weight, None), others)
        return forward, Trial(field, f"{job}, weight gradient", lambda: dense_weight_grad(grad_output, x), others)

    ways = {"off: one product": (NO_LIMIT, 0), "tiles": (0, NO_LIMIT)}
    for outputs in (4, 8, article, 24, 32):
        yield from both("wide_outputs", ways, 1321, DIMS[0], outputs)
    limits = {"0: tiles": 0, "no limit: one product": NO_LIMIT}
    yield from both("wide_features", limits, 1321, 8192, article)
    for n in (300, 660, 1000):
        yield from both("wide_samples", limits, n, DIMS[0], article)
    for field, direction in (("wide_forward_rows", 0), ("wide_backward_rows", 1), ("wide_backward_features", 1)):
        yield both(field, multiples(field, 1 / 4, 1 / 2, 2, 4), 1321, DIMS[0], article)[direction]


def gram_matrix() -> Iterator[Trial]:
    x, _ = photographs()
    samples = WideSamples(x, [Rescale()], FLOAT)
    others = multiples("gram_features", 1 / 4, 1 / 2, 2, 4, 8) | {"off": NO_LIMIT}
    yield Trial("gram_features", f"Gram matrix of {x.shape} uint8", lambda: samples.products_with(samples, 1), others)


def dual_form() -> Iterator[Trial]:
    """Yield the trials of `dual_step`: 60 epochs that should be in the form that takes less time."""

    def fit(dims: list[int], n: int, batch_size: int | None) -> Callable[[], object]:
        x, y = numbers(n, dims[0]), np.arange(n) % 2

        def run() -> object:
            model = mlp(dims, rng=0)
            trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 1e-4))
            return trainer.fit(x, y, 60, batch_size, print_every=None, rng=0)

        return run

    others = {"0: the dual form": 0, "no limit: the direct form": NO_LIMIT}
    for features, outputs, n, batch_size in (
        (784, 20, 480, 32),
        (784, 20, 480, None),
        (1000, 20, 100, 16),
        (784, 128, 480, 32),
        (12288, 20, 300, 32),
    ):
        job = f"{n} x {features} -> {outputs}, batch {batch_size or n}"
        yield Trial("dual_step", job, fit([features, outputs, 1], n, batch_size), others)


def files() -> Iterator[Trial]:
    with tempfile.TemporaryDirectory() as name:
        folders = {path.name: path for path in draw(Path(name), 400, (200, 150))}
        others = multiples("file_chunk", 1 / 8, 1 / 2, 2, 8)
        yield Trial("file_chunk", "400 photographs", lambda: load_image_folders(folders, (SIZE, SIZE)), others)


if __name__ == "__main__":
    main()
