"""Memory, threads and files of a process that trains for a long time."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.attacks.jobs import After
from benchmarks.attacks.outcome import Outcome
from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    MaxPool2D,
    Module,
    Optimizer,
    ReLU,
    Sequential,
    Trainer,
)
from minidl.ops.buffers import pool

# How much more of each may be held: the allocator keeps some of the memory that it was given back.
ALLOWED = {"MB": 8.0, "objects": 100, "threads": 0, "open files": 0}
LOOKS = 40
SECONDS = 3600.0  # for one job, at most
_RNG = np.random.default_rng(0)
PICTURES = _RNG.normal(size=(64, 16, 16, 3)).astype(np.float32)
WIDE = _RNG.normal(size=(30, 2000)).astype(np.float32)
Y = (PICTURES[:, 0, 0, :1] > 0).astype(np.float32)


def run(count: int, seed: int) -> Outcome:
    """Train for `count` steps in each of four ways, and compare the process in the beginning and later.

    The ways are a loop of one's own with batches of varying sizes in a buffer pool, one long `fit`, many short ones in
    mini-batches, and many in the dual form. Lost: a resident memory that grows by more than 8 MB; threads, open files
    or Python objects that become more.
    """
    outcome, rng = Outcome("memory"), Random(seed)
    jobs: dict[str, Job] = {
        "batches of varying sizes": lambda watch: _vary(watch, rng),
        "one long fit": _fit_once,
        "many short fits": lambda watch: _fit_often(watch, WIDE[:, :200], dual=False, batch_size=8),
        "many fits in the dual form": lambda watch: _fit_often(watch, WIDE, dual=True, batch_size=None),
    }
    for name, job in jobs.items():
        watch, start = _Watch(count), time.monotonic()
        job(watch)
        problems = watch.growth()
        if time.monotonic() - start > SECONDS:
            problems.append(f"more than {SECONDS:g} s")
        outcome.settle(name, problems, f"{name}, {count} steps")
        outcome.tried += count - 1
    return outcome


class _Watch:
    """Counts steps and looks at the process at each fortieth of them, but for the first eighth.

    What a process holds goes up and down while it works, so the most that it held in the first half of this time is
    compared with the most in the second.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.done = steps, 0
        self.seen: list[dict[str, float]] = []

    def step(self, count: int = 1) -> None:
        """Count so many steps."""
        looks_before = LOOKS * self.done // self.steps
        self.done += count
        if LOOKS * self.done // self.steps > looks_before >= LOOKS // 8:
            self.seen.append(_held())

    def growth(self) -> list[str]:
        """Return what has grown."""
        half = len(self.seen) // 2
        if half < LOOKS // 4:
            return [f"{self.done} steps of {self.steps}, {len(self.seen)} looks"]
        grown = {
            name: max(held[name] for held in self.seen[half:]) - max(held[name] for held in self.seen[:half])
            for name in ALLOWED
        }
        return [f"{grown[name]:g} {name} more" for name, allowed in ALLOWED.items() if grown[name] > allowed]


def _held() -> dict[str, float]:
    """Return what this process holds."""
    gc.collect()
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return {
        "MB": next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0),
        "objects": len(gc.get_objects()),
        "threads": threading.active_count(),
        "open files": len(list(Path("/proc/self/fd").iterdir())) if status.exists() else 0,
    }


Job = Callable[[_Watch], None]


def _network() -> tuple[Module, Optimizer]:
    model = Sequential(
        Conv2D(3, 8, 3, padding="same", rng=0), BatchNorm(8), ReLU(), MaxPool2D(2), Dropout(0.2, rng=1), Flatten(),
        Dense(512, 16, rng=2), ReLU(), Dense(16, 1, rng=3),
    )  # fmt: skip
    return model, SGD(model.parameters(), 1e-3, momentum=0.9)


def _vary(watch: _Watch, rng: Random) -> None:
    model, optimizer = _network()
    loss = BinaryCrossEntropy(from_logits=True)
    with pool():
        while watch.done < watch.steps:
            n = rng.randint(2, len(Y))
            output = model(PICTURES[:n])
            model.backward(loss.gradient(output, Y[:n]))
            optimizer.step()
            watch.step()


def _fit_once(watch: _Watch) -> None:
    trainer, batches = _trainer(200), 4
    report = After(lambda _: watch.step(batches))
    trainer.fit(WIDE[:, :200], Y[:30], watch.steps // batches + 1, 8, rng=0, print_every=None, callbacks=[report])


def _fit_often(watch: _Watch, x: np.ndarray, dual: bool, batch_size: int | None) -> None:
    """Fit again and again: one trainer, and a new one each time."""
    epochs, held_out = 5, (x[25:], Y[25:30])
    kept = _trainer(x.shape[1])
    while watch.done < watch.steps:
        trainer = kept if watch.done // epochs % 2 else _trainer(x.shape[1])
        callbacks = [EarlyStopping(patience=9)]
        trainer.fit(x[:25], Y[:25], epochs, batch_size, held_out, None, watch.done, callbacks, dual)
        watch.step(epochs * (1 if dual else 4))


def _trainer(features: int) -> Trainer:
    model = Sequential(Dense(features, 4, rng=0), ReLU(), Dropout(0.2, rng=1), Dense(4, 1, rng=2))
    return Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 1e-4, momentum=0.5))
