"""The units of the first layer for the page: what training has changed in each, and the photographs that did."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import shown
from minidl.inspect._page_pictures import SIDE, as_picture, sheet_of, small
from minidl.inspect._page_run import UNITS
from minidl.inspect.influences import influences
from minidl.inspect.weight_pictures import weight_pictures
from minidl.layers import Conv2D, Dense
from minidl.module import Module
from minidl.training.rewrites.constant_inputs import constant_layers
from minidl.training.rewrites.layers import layers_of
from minidl.training.span import Span

CHANGE_SIDE = 64
"""Pixels a side of the pictures of changes."""

STRONGEST = 6
"""Training photographs of each sign that are shown for a unit."""

SOLVED = 2000
"""Training photographs up to which the coefficients are solved for where no span is given: 5 s for 1,322 of 128 px."""


UNEXPLAINED = 0.01
"""Residual from which a span is not that of the run from the initial network."""


def units_of(
    model: Module, initial: Module | None, x: Any, shape: tuple[int, ...], span: Span | None
) -> dict[str, Any] | None:
    """Return, of the first layer, the changes of its units as JSON values: pictures, and what they are the sum of.

    None where there is no initial network, or the network begins with neither a Dense nor a Conv2D.

    Raises: ValueError for an initial network of other layers.
    """
    first = first_layer(model)
    if initial is None:
        return None
    before = first_layer(initial)
    if type(before) is not type(first) or _weight(before).shape != _weight(first).shape:
        raise ValueError(f"page initial: expected a network that begins like the model, received {shown(initial)}")
    if first is None:
        return None
    result: dict[str, Any] = {"path": model.path_of(first), "changes": None, "influences": None}
    if isinstance(first, Conv2D) or (len(shape) == 3 and first.weight.data.shape[1] == np.prod(shape)):
        drawn = weight_pictures(first, None if isinstance(first, Conv2D) else shape, before).changes
        pictures = [] if drawn is None else [small(picture, CHANGE_SIDE) for picture in drawn[:UNITS]]
        result["changes"] = sheet_of(pictures, len(pictures), quality=50)
    if isinstance(first, Dense) and x is not None and (span is not None or len(x) <= SOLVED):
        result["influences"] = _influences(model, initial, x, span, min(UNITS, len(first.weight.data)))
    return result


def first_layer(model: Module) -> Dense | Conv2D | None:
    """Return the layer that a network begins with, behind Rescale and the like, where it is a Dense or a Conv2D.

    >>> from minidl import mlp
    >>> first_layer(mlp([2, 3, 1]))
    Dense(2 -> 3)
    """
    layers = layers_of(model)
    place = len(constant_layers(layers))
    first = layers[place] if place < len(layers) else None
    return first if isinstance(first, (Dense, Conv2D)) else None


def _weight(layer: Dense | Conv2D | None) -> Array:
    return np.zeros(0) if layer is None else layer.weight.data


def _influences(model: Module, initial: Module, x: Any, span: Span | None, units: int) -> dict[str, Any]:
    """Return, for each unit, the training photographs of the largest coefficients of either sign."""
    found = influences(model, initial, x, range(units), span=span)
    if span is not None and found.residual.max() > UNEXPLAINED and len(x) <= SOLVED:
        found = influences(model, initial, x, range(units))  # the run began with other weights: it was resumed
    rows: dict[int, int] = {}

    def strongest(unit: int, sign: int) -> list[list[float]]:
        coefficients = sign * found.coefficients[:, unit]
        order = np.argsort(-coefficients, kind="stable")[:STRONGEST]
        return [
            [rows.setdefault(int(i), len(rows)), float(f"{sign * coefficients[i]:.4g}")]
            for i in order
            if coefficients[i] > 0
        ]

    parts = [{"more": strongest(unit, 1), "less": strongest(unit, -1)} for unit in range(units)]
    pictures = (small(as_picture(np.asarray(x[row : row + 1])[0]), SIDE) for row in rows)
    return {
        "units": [{**part, "residual": float(found.residual[unit])} for unit, part in enumerate(parts)],
        "sheet": sheet_of(pictures, len(rows), quality=60),
    }
