"""Processes that are forked or spawned, while the parent's threads are at work."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import numpy as np

import minidl
from benchmarks.attacks.outcome import Outcome, told
from minidl import SGD, BatchNorm, BinaryCrossEntropy, Dense, LayerInputError, MaxPool2D, ReLU, Sequential, Trainer

TIMEOUT = 60.0
ENDING = 10.0  # seconds for idle processes to end
METHODS = [name for name in ("fork", "spawn", "forkserver") if name in multiprocessing.get_all_start_methods()]
X = np.random.default_rng(0).normal(size=(3000, 300)).astype(np.float32)  # enough for all cores
PICTURES = np.random.default_rng(1).normal(size=(64, 48, 48, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
ERRORS: list[Exception] = [
    LayerInputError("ReLU()", "expected floating numbers", "body.2"),
    LayerInputError(ReLU(), "expected floating numbers"),
    minidl.ModelFileError("cat.npz: damaged"),
    minidl.ImageFileError(Path("cat.jpg"), "the file is empty"),
    minidl.NonFiniteError("epoch 3"),
    minidl.StuckWarning("the cost has stayed"),
    minidl.GradientError("gradient of input"),
    minidl.ContractError("backward"),
]


def run(count: int, seed: int) -> Outcome:
    """Predict, train and raise errors in forked and spawned processes, after the parent has used all cores.

    Every second round threads of the parent are at work while the processes start; where they fork, these do not
    multiply matrices, which a forked process of OpenBLAS does not survive. Lost: other predictions or
    weights than the parent's; an error that arrives as another, or without its attributes; a process that does not
    end within a minute.
    """
    outcome = Outcome("processes")
    right = predict(seed), train(seed)
    for i in range(count):
        method, is_busy = METHODS[i % len(METHODS)], i // len(METHODS) % 2 == 1
        what = f"{method}{', parent at work' * is_busy}"
        with warnings.catch_warnings(), _Work(method) if is_busy else nullcontext():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: that is the attack
            outcome.settle(what, _trouble_in_pool(method, seed, right), f"attempt {i}, pool, {what}")
            if method == "fork":
                outcome.settle(f"os.{what}", _trouble_in_fork(seed, right), f"attempt {i}, os.fork, {what}")
    return outcome


def network(seed: int) -> Sequential:
    """Return a network that works in blocks on all cores."""
    return Sequential(Dense(300, 64, rng=seed), BatchNorm(64), ReLU(), Dense(64, 1, rng=seed))


def predict(seed: int) -> bytes:
    """Return the bytes of predictions."""
    return network(seed).predict(X).tobytes() + pool_pictures()


def train(seed: int) -> bytes:
    """Return the bytes of weights that were trained."""
    model = network(seed)
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.05, momentum=0.9))
    trainer.fit(X, Y, 2, batch_size=1000, rng=seed, print_every=None)
    return b"".join(array.tobytes() for array in model.state_dict().values())


def fail(number: int) -> None:
    """Raise one of the errors."""
    raise ERRORS[number]


def pool_pictures(_: int = 0) -> bytes:
    """Return the bytes of pictures that were pooled, on all cores and without the matrix library.

    A process that is forked while another thread is in a product of OpenBLAS cannot multiply matrices any more; that is
    the library's own limit.
    """
    return Sequential(MaxPool2D(2), BatchNorm(4), ReLU()).predict(PICTURES).tobytes()


class _Work:
    """Threads of this process that work inside the block."""

    def __init__(self, method: str) -> None:
        self._calls = (pool_pictures,) * 3 if method == "fork" else (predict, train, pool_pictures)

    def __enter__(self) -> None:
        self._ended = Event()
        self._threads = [Thread(target=self._run, args=(call,), daemon=True) for call in self._calls]
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def _run(self, call: Any) -> None:
        while not self._ended.is_set():
            call(0)


def _trouble_in_pool(method: str, seed: int, right: tuple[bytes, bytes]) -> list[str]:
    pool, problems = ProcessPoolExecutor(2, multiprocessing.get_context(method)), []
    try:
        jobs = [pool.submit(predict, seed), pool.submit(train, seed), pool.submit(predict, seed)]
        for job, name, expected in zip(jobs, ("prediction", "weights", "prediction"), (*right, right[0]), strict=True):
            if job.result(TIMEOUT) != expected:
                problems.append(f"other {name}")
        for number, error in enumerate(ERRORS):
            problems += _differences(pool.submit(fail, number).exception(TIMEOUT), error)
    except Exception as error:
        problems.append(told(error))
    finally:
        problems += _trouble_at_the_end(pool)
    return problems


def _trouble_at_the_end(pool: ProcessPoolExecutor) -> list[str]:
    """Wait for the processes of a pool, and kill them if they do not end."""
    processes, killed = list((pool._processes or {}).values()), Event()

    def kill() -> None:
        killed.set()
        for process in processes:
            process.kill()

    timer = Timer(ENDING, kill)
    timer.start()
    pool.shutdown(cancel_futures=True)
    timer.cancel()
    return ["a process did not end"] if killed.is_set() else []


def _differences(found: BaseException | None, right: Exception) -> list[str]:
    """Return how an error differs from the one that was raised; a layer arrives as its `repr`."""
    if type(found) is not type(right) or str(found) != str(right):
        return [f"{right!r} arrived as {found!r}"]
    return [
        f"{name} of {right!r} arrived as {vars(found).get(name)!r}"
        for name, value in vars(right).items()
        if name not in ("__cause__", "__notes__") and str(vars(found).get(name)) != str(value)
    ]


def _trouble_in_fork(seed: int, right: tuple[bytes, bytes]) -> list[str]:
    """Fork by hand: the child has no thread but its own."""
    process = os.fork()
    if process == 0:
        status = 2
        try:
            status = 0 if (predict(seed), train(seed)) == right else 1
        finally:
            sys.stderr.flush()
            os._exit(status)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return [] if status == 0 else [f"the child ended with status {os.waitstatus_to_exitcode(status)}"]
        time.sleep(0.01)
    os.kill(process, 9)
    os.waitpid(process, 0)
    return [f"the child did not end within {TIMEOUT:g} s"]
