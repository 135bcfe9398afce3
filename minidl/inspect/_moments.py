"""Moments: what a Recorder keeps of one epoch, and of all of them as a checkpoint carries them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import is_natural, shown


@dataclass(frozen=True)
class Moment:
    """A network after so many epochs, in plain arrays.

    Attributes: `epoch` is the number of completed epochs, 0 before training; `cost` and `metrics` are those of the last
    of them, seconds apart (see `History`: of a full batch, the cost before its update), NaN and none at 0; `weights`
    (units, height, width, channels), the first layer's, as small pictures, or (units, features), or None where the
    first layer is of another kind; `activations`, by the path of the layer, its outputs for the chosen photographs;
    `gradient_norms` by the name of the parameter; `dead`, by the path of a ReLU, which of its units are 0 for all of
    some training samples.
    """

    epoch: int
    cost: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    weights: Array | None = None
    activations: Mapping[str, Array] = field(default_factory=dict)
    gradient_norms: Mapping[str, float] = field(default_factory=dict)
    dead: Mapping[str, Array] = field(default_factory=dict)


def state_of(moments: Sequence[Moment]) -> list[dict[str, Any]]:
    """Return moments as dictionaries, lists and arrays; names, which may be any, are no keys beside arrays."""
    return [
        {
            "epoch": moment.epoch, "cost": moment.cost, "weights": moment.weights, "metrics": dict(moment.metrics),
            "gradient_norms": dict(moment.gradient_norms),
            "activations": [list(moment.activations), list(moment.activations.values())],
            "dead": [list(moment.dead), list(moment.dead.values())],
        }
        for moment in moments
    ]  # fmt: skip


def moments_of(state: Any) -> list[Moment]:
    """Return the moments that `state_of` was given.

    Raises: ValueError for anything that it does not return.
    """
    if not isinstance(state, list):
        raise ValueError(f"Recorder state: expected a list of moments, received {shown(state)}")
    moments = [_moment_of(entry) for entry in state]
    epochs = [moment.epoch for moment in moments]
    if epochs != sorted(set(epochs)):
        raise ValueError(f"Recorder state: expected moments of rising epochs, received {shown(epochs)}")
    return moments


def _moment_of(entry: Any) -> Moment:
    names = {"epoch", "cost", "weights", "metrics", "gradient_norms", "activations", "dead"}
    if not isinstance(entry, dict) or entry.keys() != names or not is_natural(entry["epoch"]):
        raise ValueError(f"Recorder state: expected a moment of {', '.join(sorted(names))}, received {shown(entry)}")
    weights = entry["weights"]
    if weights is not None and not isinstance(weights, np.ndarray):
        raise ValueError(f"Recorder state: expected weights in an array, received {shown(weights)}")
    return Moment(
        int(entry["epoch"]), _number(entry["cost"]), _numbers(entry["metrics"]), weights, _arrays(entry["activations"]),
        _numbers(entry["gradient_norms"]), _arrays(entry["dead"]),
    )  # fmt: skip


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"Recorder state: expected a number, received {shown(value)}")
    return float(value)


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError(f"Recorder state: expected numbers by name, received {shown(value)}")
    return {str(name): _number(number) for name, number in value.items()}


def _arrays(value: Any) -> dict[str, Array]:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(part, list) for part in value)
    if not is_pair or len(value[0]) != len(value[1]) or not all(isinstance(a, np.ndarray) for a in value[1]):
        raise ValueError(f"Recorder state: expected names and as many arrays, received {shown(value)}")
    return dict(zip(map(str, value[0]), value[1], strict=True))
