"""Batches from a user's own iterable that `fit` and `evaluate` are given, each checked when it comes."""

from __future__ import annotations

from typing import Any

from minidl._typing import Array
from minidl._validation import shown
from minidl.data.batch_source import BatchSource
from minidl.errors import LayerInputError
from minidl.losses import Loss
from minidl.module import Module
from minidl.training.checked_data import Data, KnownOfModel, checked_data
from minidl.training.generators import left_alone
from minidl.training.mixed_targets import checked_mixing

BESIDE_BATCHES = ("x", "y", "validation_data", "augment")  # what `Data` may hold beside batches (x, y)


def checked_source(given: Data, model: Module, loss: Loss) -> BatchSource:
    """Return the batches of an iterable, each of which is checked when it is read, the first of them now.

    What is read now draws no numbers from the random generators of the source: their states are put back.

    Raises: ValueError for arguments that have no meaning beside batches, and, with the number of the batch, as
    `checked_data` does; TypeError and ValueError as BatchSource does.
    """
    for name, default in given._field_defaults.items():
        value = getattr(given, name)
        if name not in BESIDE_BATCHES and value is not default:
            raise ValueError(f"{name}: expected {default} beside batches (x, y), received {shown(value)}")
    known = KnownOfModel(model)

    def check(x: Any, y: Any, number: int) -> tuple[Any, Array]:
        return _checked_batch(x, y, f"batch {number}", model, loss, known)

    with left_alone(given.x):
        return BatchSource(given.x, check, checked_mixing(given.augment, None, loss, known))


def _checked_batch(x: Any, y: Any, name: str, model: Module, loss: Loss, known: KnownOfModel) -> tuple[Any, Array]:
    """Return the samples and targets of a batch as `checked_data` does, with its name in all errors."""
    try:
        data = checked_data(x, y, f"{name} ", model, loss, whole=True, known=known)
    except LayerInputError as error:
        raise LayerInputError(error.layer, f"{error.problem}, in {name}", error.path) from None
    except (ValueError, TypeError) as error:
        if str(error).startswith(name):
            raise
        raise type(error)(f"{name}: {error}") from None
    return data.x, data.y
