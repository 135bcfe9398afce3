"""Checkpoints: all that the rest of a run depends on, in one file, so that it can go on bit for bit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minidl._attributes import members
from minidl._files import FilePath
from minidl._typing import Array
from minidl.archive import read_archive, write_archive
from minidl.data.batches import Batches
from minidl.errors import ModelFileError
from minidl.module import Module
from minidl.optimizers import Optimizer

KIND = "checkpoint"
ARRAY, FLOAT = "$array", "$float"  # the names by which the header's JSON refers to what it cannot hold


class Stateful(Protocol):
    """A callback, as far as a checkpoint knows it."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Load what `state_dict` returned."""


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

    def continue_in(
        self, model: Module, batches: Batches, callbacks: Sequence[Stateful], metric_names: Sequence[str]
    ) -> None:
        """Put the state of generators and callbacks back into a run that is about to go on.

        Raises: ValueError for other numbers of samples, another batch size, other metrics, generators or callbacks.
        """
        generators = random_generators(model, batches)
        for what, saved, given in (
            ("samples", self.samples, len(batches.y)),
            ("batch_size", self.batch_size, batches.batch_size),
            ("metrics", list(self.history), list(metric_names)),
            ("random generators", list(self.generators), list(generators)),
            ("callbacks", [entry["name"] for entry in self.callbacks], [type(c).__name__ for c in callbacks]),
        ):
            if saved != given:
                raise ValueError(f"fit after resume, {what}: expected {saved}, as in the checkpoint, received {given}")
        for name, generator in generators.items():
            generator.bit_generator.state = self.generators[name]
        for callback, entry in zip(callbacks, self.callbacks, strict=True):
            callback.load_state_dict(entry["state"])


def write_checkpoint(path: FilePath, state: TrainingState) -> None:
    """Write a state into one file, whole or not at all."""
    arrays: dict[str, Array] = {}
    header = _without_arrays(vars(state), "state", arrays)
    write_archive(path, KIND, header, arrays)


def read_checkpoint(path: FilePath) -> TrainingState:
    """Read a state back.

    Raises: FileNotFoundError; ValueError for a file that is no whole checkpoint.
    """
    header, arrays = read_archive(path, KIND)
    try:
        return TrainingState(**_with_arrays(header, arrays))
    except (TypeError, KeyError) as error:  # fields or arrays that no checkpoint has, or that every one has
        raise ModelFileError(f"{path}: expected the fields of a checkpoint: {error}") from error


def random_generators(model: Module, batches: Batches) -> dict[str, np.random.Generator]:
    """Return every random generator that the rest of a run draws from, by name."""
    owners: list[tuple[str, object]] = [*model.named_modules(), ("batches.augment", batches.augment)]
    found = {"batches": batches.rng}
    for prefix, owner in owners:
        for name, generator in members(owner, (np.random.Generator,)):
            found[f"{prefix}.{name}"] = generator
    return found


def _without_arrays(tree: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return `tree` with each array replaced by a reference to its name, and collect the arrays.

    JSON has no word for NaN and infinity, such as the best value so far before there is one: they become strings.
    """
    if hasattr(tree, "__array__") and not isinstance(tree, np.generic):
        arrays[name] = np.asarray(tree)
        return {ARRAY: name}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {FLOAT: str(float(tree))}
    if isinstance(tree, Mapping):
        return {key: _without_arrays(value, f"{name}.{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_without_arrays(value, f"{name}.{i}", arrays) for i, value in enumerate(tree)]
    return tree


def _with_arrays(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """Return `tree` with each reference replaced by its array, and each number that is a string by the number."""
    if isinstance(tree, Mapping):
        if list(tree) == [ARRAY]:
            return arrays[tree[ARRAY]]
        if list(tree) == [FLOAT]:
            return float(tree[FLOAT])
        return {key: _with_arrays(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays) for value in tree]
    return tree
