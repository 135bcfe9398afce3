"""Training on two processes beside one, each on one core of its own, with the same batches of all together.

    python -m benchmarks.distributed

The first line of each job is an epoch of two processes, the second one of a single process; the ratio is at most 2.
Of each job it also prints what to expect on machines in a network, from the step of one process and the bytes that a
step sums up: with a ring, each of N machines sends and receives 2 (N - 1) / N of them, in 2 (N - 1) messages.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.comparison import Comparison, Target
from benchmarks.report import show
from minidl import Adam, BinaryCrossEntropy, Module, Rescale, Sequential, convnet, mlp
from minidl._typing import Array

EPOCHS, ROUNDS = 4, 3  # the first epoch is left out
BANDWIDTH, LATENCY = 1.25e9, 30e-6  # of 10 Gbit/s Ethernet: bytes a second, and seconds a message
MACHINES = 8


class Job(NamedTuple):
    """A network, and samples for it."""

    title: str
    model: Module
    x: Array
    batch_size: int
    at_least: float  # the ratio of one process's epoch to that of two


class Figures(NamedTuple):
    """What the processes of a job have measured: the seconds of an epoch, a step, and its sums, and their bytes."""

    epoch: float
    step: float
    sums: float
    size: int


def job_of(name: str) -> Job:
    """Return the job of this name."""
    rng = np.random.default_rng(0)
    if name == "dense":
        x = rng.normal(size=(8192, 784)).astype(np.float32)
        return Job("[784, 512, 512, 1], batch 2,048", mlp([784, 512, 512, 1], rng=0), x, 2048, 1.4)
    x = rng.integers(0, 256, (512, 64, 64, 3), np.uint8)
    model = Sequential(Rescale(), *convnet((64, 64, 3), (16, 32, 64, 64), 1, rng=0))
    return Job("convnet on 64 x 64 pixels, batch 64", model, x, 64, 1.4)


JOBS = ("dense", "convnet")


def main(name: str) -> None:
    """Train as one of the processes of a job, and print the figures on process 0."""
    from minidl.distributed import DistributedTrainer

    job = job_of(name)
    loss, optimizer = BinaryCrossEntropy(from_logits=name != "dense"), Adam(job.model.parameters())
    trainer = DistributedTrainer(job.model, loss, optimizer)
    group, times, sizes = trainer.group, [], []
    allreduce_sum = group.allreduce_sum

    def timed_sum(array: Array) -> None:
        start = time.perf_counter()
        allreduce_sum(array)
        times.append(time.perf_counter() - start)
        sizes.append(array.nbytes)

    group.allreduce_sum = timed_sum  # type: ignore[method-assign]
    rows = group.share(len(job.x))
    x, y = job.x[rows], (np.arange(len(job.x)) % 2)[rows]
    history = trainer.fit(x, y, EPOCHS, job.batch_size, rng=0, print_every=None)
    if group.is_root:
        steps = -(-len(job.x) // job.batch_size)
        epoch = statistics.median(history["seconds"][1:])
        print(json.dumps(Figures(epoch, epoch / steps, sum(times) / (EPOCHS * steps), sum(sizes) // (EPOCHS * steps))))


def run(name: str, processes: int) -> Figures:
    """Return the figures of a job on so many processes, each with one thread on a core of its own."""
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else "mpiexec"
    command = [mpiexec, "-bind-to", "core", "-n", str(processes), sys.executable, "-m", "benchmarks.distributed", name]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    root = Path(__file__).parent.parent
    found = subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return Figures(*json.loads(found.stdout))


def measure() -> Iterable[Comparison]:
    for name in JOBS:
        job = job_of(name)
        title = f"an epoch of {job.title} in all, Adam"
        if not has_mpi():
            yield Comparison(title, "s", {"2 processes": [], "1 process": []})
            continue
        rounds = [(run(name, 2), run(name, 1)) for _ in range(ROUNDS)]
        two, one = zip(*rounds, strict=True)
        values = {"2 processes": [f.epoch for f in two], "1 process": [f.epoch for f in one]}
        yield Comparison(title, "s", values, {"1 process": Target(at_least=job.at_least)})
        sums = statistics.median(f.sums / f.step for f in two)
        print(f"  of a step of two processes {sums:.0%} is the sum of {two[0].size / 1e6:.3g} MB and waiting for it")
        print(f"  {expectation(statistics.median(f.step for f in one), two[0].size)}\n", flush=True)


def expectation(step: float, size: int, machines: int = MACHINES) -> str:
    """Return what to expect of so many machines that each take the batch of one.

    >>> expectation(0.1, 1_000_000)
    '8 machines on 10 Gbit/s: 100 ms a step + 1.82 ms of sums = 98 % of 8 times the samples a second'
    """
    sums = seconds_of_sums(size, machines)
    share = step / (step + sums)
    return (
        f"{machines} machines on 10 Gbit/s: {1e3 * step:.3g} ms a step + {1e3 * sums:.3g} ms of sums = "
        f"{100 * share:.0f} % of {machines} times the samples a second"
    )


def seconds_of_sums(size: int, machines: int, bandwidth: float = BANDWIDTH, latency: float = LATENCY) -> float:
    """Return `2 (N - 1) / N * size / bandwidth + 2 (N - 1) * latency`, the time of a sum around a ring of N machines.

    >>> seconds_of_sums(1_000_000, 2, bandwidth=1e9, latency=1e-6)
    0.001002
    """
    return 2 * (machines - 1) / machines * size / bandwidth + 2 * (machines - 1) * latency


def has_mpi() -> bool:
    """Return whether mpi4py and a launcher are installed."""
    try:
        import minidl.distributed  # noqa: F401
    except ImportError:
        return False
    return (Path(sys.executable).parent / "mpiexec").exists() or shutil.which("mpiexec") is not None


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        show(measure())
