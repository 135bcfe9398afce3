"""Checkpoints: everything that the rest of a run depends on, in one file, so that it can go on bit for bit."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._typing import Array
from minidl._validation import positive_int
from minidl.archive import ModelFileError, read_archive, write_archive
from minidl.data.batches import Batches
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback

if TYPE_CHECKING:
    from minidl.training.trainer import Trainer

KIND = "checkpoint"
ARRAY, FLOAT = "$array", "$float"  # the names by which the header's JSON refers to what it cannot hold


class Checkpoint(Callback):
    """Writes a checkpoint every so many epochs and after the last one, each over the one before.

    The file is written under a temporary name, flushed to disk and renamed, so that at any moment, a power cut
    included, a whole checkpoint is there. `Trainer.resume` takes it up.

    Raises: ValueError for `every` below 1; FileNotFoundError, before the first epoch, where its folder is missing.

    >>> Checkpoint("run.ckpt", every=10)
    Checkpoint('run.ckpt', every=10)
    """

    reads_model = False

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = Path(path)
        self.every = positive_int(every, "Checkpoint every")

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Refuse a folder that does not exist before any work is done."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"Checkpoint path: there is no folder {self.path.parent}")

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write, when it is time to."""
        if trainer.epoch % self.every == 0 or trainer.epoch == trainer.epochs or trainer.stopping:
            trainer.save_checkpoint(self.path)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, every={self.every})"


@dataclass(frozen=True)
class TrainingState:
    """What a checkpoint holds, and how it is put back."""

    model: dict[str, Array]
    optimizer_name: str
    optimizer: dict[str, Any]
    samples: int
    batch_size: int | None
    generators: dict[str, Any]
    callbacks: list[dict[str, Any]]
    history: dict[str, Array]
    epoch: int

    @classmethod
    def of(cls, trainer: Trainer, batches: Batches, callbacks: Sequence[Callback]) -> TrainingState:
        """Return the present state of a run."""
        return cls(
            model=trainer.model.state_dict(),
            optimizer_name=type(trainer.optimizer).__name__,
            optimizer=trainer.optimizer.state_dict(),
            samples=len(batches.y),
            batch_size=batches.batch_size,
            generators={name: g.bit_generator.state for name, g in _generators(trainer.model, batches).items()},
            callbacks=[{"name": type(callback).__name__, "state": callback.state_dict()} for callback in callbacks],
            history={name: np.array(values) for name, values in trainer.history.items()},
            epoch=trainer.epoch,
        )

    def load_into(self, model: Module, optimizer: Optimizer) -> None:
        """Put weights and the optimizer's state back, or change nothing.

        Raises: ValueError for another kind of optimizer or arrays that do not fit.
        """
        if type(optimizer).__name__ != self.optimizer_name:
            raise ValueError(f"resume: the checkpoint is of {self.optimizer_name}, received {optimizer!r}")
        before = model.state_dict()
        model.load_state_dict(self.model)
        try:
            optimizer.load_state_dict(self.optimizer)
        except ValueError:
            model.load_state_dict(before)
            raise

    def take_up(self, trainer: Trainer, batches: Batches, callbacks: Sequence[Callback]) -> None:
        """Put the state of generators and callbacks back into a run that is about to go on.

        Raises: ValueError for other numbers of samples, another batch size, other metrics, generators or callbacks.
        """
        generators = _generators(trainer.model, batches)
        for what, saved, given in (
            ("samples", self.samples, len(batches.y)),
            ("batch_size", self.batch_size, batches.batch_size),
            ("metrics", list(self.history), list(trainer.metric_names)),
            ("random generators", list(self.generators), list(generators)),
            ("callbacks", [entry["name"] for entry in self.callbacks], [type(c).__name__ for c in callbacks]),
        ):
            if saved != given:
                raise ValueError(f"fit after resume, {what}: expected {saved}, as in the checkpoint, received {given}")
        for name, generator in generators.items():
            generator.bit_generator.state = self.generators[name]
        for callback, entry in zip(callbacks, self.callbacks, strict=True):
            callback.load_state_dict(entry["state"])


def write_checkpoint(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Write a state into one file, whole or not at all."""
    arrays: dict[str, Array] = {}
    header = _without_arrays(vars(state), "state", arrays)
    write_archive(path, KIND, header, arrays)


def read_checkpoint(path: str | os.PathLike[str]) -> TrainingState:
    """Read a state back.

    Raises: FileNotFoundError; ValueError for a file that is no whole checkpoint.
    """
    header, arrays = read_archive(path, KIND)
    try:
        return TrainingState(**_with_arrays(header, arrays))
    except (TypeError, KeyError) as error:  # fields or arrays that no checkpoint has, or that every one has
        raise ModelFileError(f"{path}: expected the fields of a checkpoint: {error}") from error


def _generators(model: Module, batches: Batches) -> dict[str, np.random.Generator]:
    """Return every random generator that the rest of a run draws from, by name."""
    owners: list[tuple[str, object]] = [*model.named_modules(), ("batches.augment", batches.augment)]
    found = {"batches": batches.rng}
    for prefix, owner in owners:
        for name, value in getattr(owner, "__dict__", {}).items():
            if isinstance(value, np.random.Generator):
                found[f"{prefix}.{name}"] = value
    return found


def _without_arrays(tree: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return `tree` with each array replaced by a reference to its name, and collect the arrays.

    JSON has no word for NaN and infinity, such as the best value so far before there is one: they are spelt out.
    """
    if isinstance(tree, np.ndarray):
        arrays[name] = tree
        return {ARRAY: name}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {FLOAT: str(float(tree))}
    if isinstance(tree, Mapping):
        return {key: _without_arrays(value, f"{name}.{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_without_arrays(value, f"{name}.{i}", arrays) for i, value in enumerate(tree)]
    return tree


def _with_arrays(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """Return `tree` with each reference replaced by its array, and each number that is spelt out by the number."""
    if isinstance(tree, Mapping):
        if list(tree) == [ARRAY]:
            return arrays[tree[ARRAY]]
        if list(tree) == [FLOAT]:
            return float(tree[FLOAT])
        return {key: _with_arrays(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays) for value in tree]
    return tree
