"""Checkpoints: all that the rest of a run depends on, and how it is put back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from minidl._samples import JointSamples, each, leaves
from minidl._typing import Array
from minidl._validation import is_natural, shown
from minidl.data.batch_source import BatchSource
from minidl.data.batches import Batches
from minidl.errors import ModelFileError
from minidl.losses import Loss
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.generators import Generators, set_states

DIGESTED_BYTES = 1 << 26  # of samples in memory: up to here their digest costs less than a tenth of a second


class Stateful(Protocol):
    """A callback, as far as a checkpoint knows it."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Load what `state_dict` returned."""


@dataclass(frozen=True)
class TrainingState:
    """What a checkpoint holds."""

    model: dict[str, Array]
    frozen: list[str]
    optimizer_name: str
    optimizer: dict[str, Any]
    hyperparameters: dict[str, Any]
    loss: str
    data: dict[str, Any]
    generators: dict[str, Any]
    callbacks: list[dict[str, Any]]
    history: dict[str, Array]
    epoch: int

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> TrainingState:
        """Return the state of these values, which may come from anywhere.

        Raises: ModelFileError that names the field whose type or range is none that a checkpoint has.
        """
        names = [field.name for field in fields(cls)]
        if sorted(values) != sorted(names):
            raise ModelFileError(f"expected the fields {', '.join(names)}, received {', '.join(map(str, values))}")
        for name, (is_right, expected) in _FIELDS.items():
            if not is_right(values[name]):
                raise ModelFileError(f"{name}: expected {expected}, received {shown(values[name])}")
        lengths = {name: len(column) for name, column in values["history"].items()}
        if any(length != values["epoch"] for length in lengths.values()):
            raise ModelFileError(
                f"epoch: expected the length of the history, {shown(lengths)}, received {shown(values['epoch'])}"
            )
        if not set(values["frozen"]) <= set(values["model"]):
            raise ModelFileError(f"frozen: expected names of the model's arrays, received {shown(values['frozen'])}")
        return cls(**values)

    def load_into(self, model: Module, optimizer: Optimizer) -> None:
        """Put weights, what of them is frozen, and the optimizer's state back, or change nothing.

        Raises: ValueError for an optimizer of another kind or with other settings, and for arrays that do not fit.
        """
        if type(optimizer).__name__ != self.optimizer_name:
            raise ValueError(f"resume: the checkpoint is of {self.optimizer_name}, received {optimizer!r}")
        given = optimizer.hyperparameters()
        different = [
            f"{name}: expected {shown(self.hyperparameters.get(name))}, received {shown(given.get(name))}"
            for name in sorted({*self.hyperparameters, *given})
            if self.hyperparameters.get(name) != given.get(name)
        ]
        if different:
            raise ValueError(
                f"resume: the checkpoint's {self.optimizer_name} has other settings; {'; '.join(different)}"
            )
        before = model.state_dict()
        model.load_state_dict(self.model)
        try:
            optimizer.load_state_dict(self.optimizer)
        except (ValueError, TypeError, OverflowError) as error:
            model.load_state_dict(before)
            raise ValueError(f"resume: {error}") from None
        for name, buffer in model.named_state():
            buffer.frozen = name in self.frozen

    def check_fit(
        self,
        data: Mapping[str, Any],
        loss: Loss,
        generators: Generators,
        callbacks: Sequence[Stateful],
        metric_names: Sequence[str],
    ) -> None:
        """Raise a ValueError where a run that is about to go on differs from the one that wrote the checkpoint."""
        given = {**data, "loss": repr(loss), "metrics": list(metric_names), "random generators": list(generators)}
        given["callbacks"] = [type(callback).__name__ for callback in callbacks]
        saved = {**self.data, "loss": self.loss, "metrics": list(self.history)}
        saved["random generators"] = list(self.generators)
        saved["callbacks"] = [entry["name"] for entry in self.callbacks]
        for name, value in given.items():
            if saved.get(name) != value:
                place, expected, received = _first_difference(name, saved.get(name), value)
                expected = f"expected {expected}, as in the checkpoint"
                raise ValueError(f"fit after resume, {place}: {expected}, received {received}")

    def continue_in(self, generators: Generators, callbacks: Sequence[Stateful]) -> None:
        """Put the states of generators and callbacks back.

        Raises: ValueError for a state that a generator or a callback cannot have.
        """
        set_states(generators, self.generators)
        for callback, entry in zip(callbacks, self.callbacks, strict=True):
            try:
                callback.load_state_dict(entry["state"])
            except (TypeError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
                raise ValueError(f"fit after resume, {entry['name']}: cannot load its state: {error!r}") from error


def _first_difference(name: str, expected: Any, received: Any) -> tuple[str, str, str]:
    """Return where two values differ and both of them as an error shows them, of lists the first entries that differ.

    >>> _first_difference("metrics", ["loss", "f1"], ["loss", "auc"])
    ('metrics[1]', "'f1'", "'auc'")
    """
    if isinstance(expected, list) and isinstance(received, list) and len(expected) == len(received):
        i = next(i for i, (one, other) in enumerate(zip(expected, received, strict=True)) if one != other)
        return f"{name}[{i}]", shown(expected[i]), shown(received[i])
    return name, shown(expected), shown(received)


def describe_data(batches: Batches) -> dict[str, Any]:
    """Return what tells the samples of one run from another's: sizes, and a digest where that is cheap."""
    if isinstance(batches, BatchSource):
        return batches.description
    from hashlib import blake2b  # here, as `import minidl` need not wait for it

    digest = blake2b(digest_size=16)
    for part in leaves(each(np.ascontiguousarray, batches.y[:])):  # the targets, and their weights
        digest.update(part.tobytes())

    def described(x: Any) -> tuple[Any, Any]:
        """Return the shape and the type of one sample, of several inputs lists of them, and take in its numbers."""
        if isinstance(x, JointSamples):
            shapes, dtypes = zip(*map(described, x.parts), strict=True)
            return list(shapes), list(dtypes)
        if type(x) is np.ndarray and x.nbytes <= DIGESTED_BYTES:
            digest.update(np.ascontiguousarray(x).data)
        return [int(length) for length in x.shape[1:]], str(x.dtype)

    shape, dtype = described(batches.x)
    sizes = {"samples": len(batches.y), "batch_size": batches.batch_size, "shape of a sample": shape, "dtype": dtype}
    return {**sizes, "contents of x and y": digest.hexdigest()}


def _is_dict_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(isinstance(name, str) and is_right(v) for name, v in value.items())

    return check


def _is_list_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _is_number_or_array(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf
    return is_number or _is_array(value)


def _is_column(value: Any) -> bool:
    return _is_array(value) and value.ndim == 1 and value.dtype.kind == "f"


def _is_callback(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("state"), dict)


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (_is_dict_of(_is_array), "arrays by name"),
    "frozen": (_is_list_of(lambda name: isinstance(name, str)), "names"),
    "optimizer_name": (lambda value: isinstance(value, str), "a name"),
    "optimizer": (_is_dict_of(_is_number_or_array), "numbers and arrays by name"),
    "hyperparameters": (lambda value: isinstance(value, dict), "values by name"),
    "loss": (lambda value: isinstance(value, str), "a name"),
    "data": (lambda value: isinstance(value, dict), "values by name"),
    "generators": (_is_dict_of(lambda state: isinstance(state, dict)), "states by name"),
    "callbacks": (_is_list_of(_is_callback), "names and states"),
    "history": (_is_dict_of(_is_column), "columns of numbers by name"),
    "epoch": (is_natural, "a whole number of at least 0"),
}
