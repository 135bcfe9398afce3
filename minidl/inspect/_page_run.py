"""The run for the page: its curves, thinned, and what a Recorder has kept of it."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, shown
from minidl.inspect._page_pictures import SIDE, as_picture, sheet_of, small
from minidl.inspect.recorder import Recorder
from minidl.inspect.weight_pictures import weight_pictures

POINTS = 400
"""Points of a curve, at most; they are spaced like a logarithm, as a cost falls fastest at first."""

MOMENTS = 24
"""Moments of a Recorder that the page plays back, at most."""

WIDEST = 64
"""Units of a layer whose recorded activations are in the page, at most: they are 400 numbers a unit."""

UNITS = 32
"""Units of the first layer that are drawn, at most."""


def curves_of(history: Mapping[str, Sequence[float]] | None) -> dict[str, Any] | None:
    """Return the costs of a run as JSON values: after how many epochs, and the costs then, None where not finite.

    >>> curves_of({"loss": [2.0, 1.0]})
    {'epochs': 2, 'at': [1, 2], 'cost': [2.0, 1.0], 'validation': None, 'seconds': None}
    """
    if history is not None and not isinstance(history, Mapping):
        raise TypeError(f"page history: expected a mapping of names to values, received {shown(history)}")
    cost, validation, seconds = (_numbers_of(history, name) for name in ("loss", "val_loss", "seconds"))
    if not cost:
        return None
    at = sorted({round(len(cost) ** (i / (POINTS - 1))) for i in range(POINTS)})
    if len(cost) <= POINTS:
        at = list(range(1, len(cost) + 1))
    return {
        "epochs": len(cost),
        "at": at,
        "cost": [_number(cost[i - 1]) for i in at],
        "validation": [_number(validation[i - 1]) for i in at if i <= len(validation)] or None,
        "seconds": round(sum(seconds), 1) if seconds else None,
    }


def _numbers_of(history: Mapping[str, Sequence[float]] | None, name: str) -> list[float]:
    """Return the numbers of this name, none where there are none."""
    given = None if history is None else history.get(name)
    if given is None:
        return []
    values = as_array(given, f"page history[{name!r}]")
    if values.ndim != 1:
        raise ValueError(f"page history[{name!r}]: expected a list of numbers, one an epoch, received {shown(given)}")
    numbers: list[float] = values.astype(float).tolist()
    return numbers


def moments_of(recorder: Any) -> dict[str, Any] | None:
    """Return what a Recorder has kept as JSON values; None without one, and no moments for one that has kept none.

    `photographs` are the recorded ones, small; each moment has, by the layer's path, their outputs that are rows of
    numbers.
    """
    if recorder is None:
        return None
    if not isinstance(recorder, Recorder):
        raise TypeError(f"page recorder: expected a Recorder, received {shown(recorder)}")
    kept = list(recorder.moments)
    if not kept:
        return {"moments": [], "weights": None, "photographs": None}
    places = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), MOMENTS)).round().astype(int))
    chosen = [kept[i] for i in places]
    photographs = recorder.photographs
    return {
        "moments": [_moment(moment) for moment in chosen],
        "weights": _weights([moment.weights for moment in chosen]),
        "photographs": None if photographs is None else sheet_of(map(_thumbnail, photographs), len(photographs), 60),
    }


def _thumbnail(sample: Array) -> Array:
    return small(as_picture(sample), SIDE)


def _moment(moment: Any) -> dict[str, Any]:
    rows = {path: a for path, a in moment.activations.items() if a.ndim == 2 and a.shape[1] <= WIDEST}
    return {
        "epoch": int(moment.epoch),
        "cost": _number(moment.cost),
        "activations": [
            {"path": path, "data": _base64(output), "units": output.shape[1]} for path, output in rows.items()
        ],
        "norms": [[name, _number(norm)] for name, norm in moment.gradient_norms.items()],
        "dead": [[path, int(np.sum(dead)), int(np.size(dead))] for path, dead in moment.dead.items()],
    }


def _weights(weights: list[Array | None]) -> dict[str, Any] | None:
    """Return the first layer's pictures of all moments, one row a moment, where it has pictures."""
    known = [array for array in weights if array is not None and array.ndim == 4 and array.shape[-1] in (1, 3)]
    if not known or len(known) != len(weights):
        return None
    pictures = [picture for array in known for picture in weight_pictures(array[:UNITS]).weights]
    units = min(UNITS, len(known[0]))
    return {"units": units, "sheet": sheet_of(pictures, len(pictures), quality=45)}


def _number(value: float) -> float | None:
    """Return a number in six digits, None for what JSON has no word for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _base64(values: Array) -> str:
    return b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
