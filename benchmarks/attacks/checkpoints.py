"""Checkpoints that are damaged, or made by somebody who means harm."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.attacks import archive_changes, damage
from benchmarks.attacks.limits import attempt, measured_attempt, memory_limit
from benchmarks.attacks.model_files import MEMORY, SECONDS, TIMES
from benchmarks.attacks.outcome import Outcome, told
from minidl import (
    SGD,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    History,
    NonFiniteError,
    Optimizer,
    ReLU,
    Rescale,
    Sequential,
    Trainer,
)
from minidl.data import Augment

EPOCHS = 4
X = np.random.default_rng(0).integers(0, 256, size=(12, 2, 2, 1), dtype=np.uint8)
Y = (X[:, 0, 0, 0] > X[:, 1, 1, 0]).astype(int)


def run(count: int, seed: int) -> Outcome:
    """Resume from checkpoints that are damaged byte by byte, or whose contents are changed under right checksums.

    Lost: a damaged file that is taken up and ends in other bits than an undisturbed run; a changed one after which
    `fit` ends in weights that are not finite, or in another number of epochs; any exception of `resume` and `fit` but
    ValueError, ModelFileError among it, OSError, and, of a changed file, NonFiniteError; a model or optimizer that has
    changed although `resume` refused; 5 s or 64 MB and 40 times the file.
    """
    outcome, rng = Outcome("checkpoints"), Random(seed)
    with tempfile.TemporaryDirectory() as folder, memory_limit(2_000), without_flushing():
        path = Path(folder, "damaged.ckpt")
        originals = [_original(path, kind) for kind in (0, 1)]
        for i in range(count):
            kind = i // 2 % 2
            data, right = originals[kind]
            what, changed = (damage.damaged if i % 2 else archive_changes.changed)(data, rng)
            path.write_bytes(changed)
            answer, problems = _answer(path, kind, right if i % 2 else None, len(changed))
            outcome.settle(answer, problems, f"attempt {i}, {what}")
    return outcome


@contextmanager
def without_flushing() -> Iterator[None]:
    """Leave out the flush to the disk, which only a power cut needs and which takes most of the time."""
    with mock.patch("os.fsync"):
        yield


def trainer_of(kind: int, seed: int) -> Trainer:
    """Return a trainer of one of two kinds of run, whose weights depend on the seed until it resumes."""
    model = Sequential(
        Rescale(), Flatten(), Dense(4, 3, rng=seed), BatchNorm(3), ReLU(), Dropout(0.3, rng=seed), Dense(3, 1, rng=seed)
    )
    make: Any = (partial(SGD, momentum=0.9), Adam)[kind]
    optimizer: Optimizer = make(model.parameters(), 0.1)
    return Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)


def fit(trainer: Trainer, epochs: int, kind: int, path: Path) -> History:
    """Train with all that a checkpoint keeps: callbacks with a state, an augmentation, generators."""
    callbacks = [EarlyStopping("loss", patience=9), Checkpoint(path)]
    size = 5 if kind == 0 else None
    augment = Augment(flip=True, brightness=0.1, rng=8)
    return trainer.fit(X, Y, epochs, size, None, None, rng=9, callbacks=callbacks, augment=augment)


def state_of(trainer: Trainer) -> dict[str, bytes]:
    """Return the bytes of all that model and optimizer hold."""
    state = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    return {name: np.asarray(value).tobytes() for name, value in state.items()}


def _original(path: Path, kind: int) -> tuple[bytes, dict[str, bytes]]:
    """Return a checkpoint of half a run, and the state at the end of the whole one."""
    trainer = trainer_of(kind, seed=0)
    fit(trainer, EPOCHS // 2, kind, path)
    data, resumed = path.read_bytes(), trainer_of(kind, seed=1)
    resumed.resume(path)
    fit(resumed, EPOCHS, kind, path)
    return data, state_of(resumed)


def _answer(path: Path, kind: int, right: dict[str, bytes] | None, size: int) -> tuple[str, list[str]]:
    """Resume and train on; return the kind of answer, and what is wrong with it."""
    trainer = trainer_of(kind, seed=2)
    before, problems = state_of(trainer), []
    resumed = measured_attempt(partial(trainer.resume, path), SECONDS)
    if resumed.memory > MEMORY + TIMES * size:
        problems.append(f"{resumed.memory / 1e6:.0f} MB for a file of {size:,} bytes")
    if resumed.error is not None:
        if not isinstance(resumed.error, (ValueError, OSError)):
            problems.append(f"resume: {told(resumed.error)}")
        if state_of(trainer) != before:
            problems.append("refused, but model or optimizer changed")
        return f"resume: {type(resumed.error).__name__}", problems
    fitted = attempt(partial(fit, trainer, EPOCHS, kind, path), SECONDS)
    if fitted.error is not None:
        allowed = (ValueError, OSError) if right else (ValueError, OSError, NonFiniteError)
        if not isinstance(fitted.error, allowed):
            problems.append(f"fit: {told(fitted.error)}")
        return f"fit: {type(fitted.error).__name__}", problems
    if right is not None and state_of(trainer) != right:
        problems.append("trained on, to other bits than an undisturbed run")
    if fitted.result.epochs != EPOCHS or len(fitted.result["loss"]) != EPOCHS:
        problems.append(f"trained on, to {fitted.result!r}")
    if not all(np.isfinite(array).all() for array in trainer.model.state_dict().values()):
        problems.append("trained on, to weights that are not finite")
    if not math.isfinite(fitted.result["loss"][-1]):
        problems.append("trained on, to a loss that is not finite")
    return "trained on", problems
