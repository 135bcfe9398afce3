"""Snapshots of a run: the state of its model and its optimizer at one moment, to be put back later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.problem import WeightsElsewhere

Snapshot: TypeAlias = Mapping[str, Mapping[str, Any]]
"""State dictionaries under the names "model" and "optimizer"; their arrays may be computed only when they are read."""


def snapshot_of(model: Module, optimizer: Optimizer, elsewhere: WeightsElsewhere | None) -> Snapshot:
    """Return the present state; of weights that training holds in another form what computes them."""
    lazy = {} if elsewhere is None else elsewhere.lazy_copies()
    weights = {name: lazy.get(id(buffer)) or buffer.data.copy() for name, buffer in model.named_state()}
    moments = {name: lazy.get(id(array)) or array.copy() for name, array in optimizer.named_state()}
    numbers = {"learning_rate": optimizer.learning_rate, **optimizer.counts()}
    return {"model": weights, "optimizer": {**numbers, **moments}}


def restore(snapshot: Snapshot, model: Module, optimizer: Optimizer) -> None:
    """Put a snapshot back; the learning rate stays as it is.

    Raises: what reading the samples raises, before anything is changed, where they are needed and outside memory.
    """
    weights, state = (
        {name: _computed(value) for name, value in snapshot[part].items()} for part in ("model", "optimizer")
    )
    model.load_state_dict(weights)
    optimizer.load_state_dict({**state, "learning_rate": optimizer.learning_rate})


def _computed(value: Any) -> Any:
    return np.asarray(value) if hasattr(value, "__array__") else value
