"""Weight pictures: what each unit of a first layer looks for in a picture, and what training has changed in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, check_finite, shown
from minidl.inspect._colours import in_colours, largest_of_each
from minidl.layers import Conv1D, Conv2D, Dense


class WeightPictures(NamedTuple):
    """Pictures of each unit's weights, and of their changes.

    Attributes: `weights` and `changes` uint8 (units, height, width, 3), the latter None where no initial weights were
    given; `largest` and `largest_changes` (units,) are the sizes of number that the strongest colour of each picture
    stands for.
    """

    weights: Array
    changes: Array | None
    largest: Array
    largest_changes: Array | None


def weight_pictures(layer: Any, shape: Sequence[int] | None = None, initial: Any = None) -> WeightPictures:
    """Return the weights of each unit of a layer as pictures, and, beside the initial ones, their changes.

    Formula: each picture has a scale of its own, symmetric around 0. Weights of three channels are colours,
    `128 + 127 W / max|W|`; of one channel they are blue below 0, white at 0 and orange above. The channels of a
    convolution of other numbers of channels stand side by side, from left to right. Changes are `W - W(0)`.

    Shapes: W (units, ...); pictures uint8 (units, height, width, 3).

    Arguments: `layer` is a Dense, a convolution, or an array of weights, (units, features) or
    (units, height, width, channels); `shape` (height, width, channels) or (height, width) is that of the pictures that
    a Dense sees, by default a square of three channels, or of one, where its features make one; `initial` is an array
    of the same shape, or a layer with these weights.

    Raises: TypeError for other layers; ValueError for a shape that does not fit, and for weights that are not finite.

    >>> from minidl import Dense
    >>> weight_pictures(Dense(8 * 8 * 3, 5, rng=0)).weights.shape
    (5, 8, 8, 3)
    """
    weight = _weight_of(layer, "layer")
    first = None if initial is None else _weight_of(initial, "initial")
    if first is not None and first.shape != weight.shape:
        raise ValueError(f"initial: expected the weights' shape {weight.shape}, received {first.shape}")
    height, width, channels = _picture_shape(weight, shape)
    pictures = weight.reshape(len(weight), height, width, channels).astype(np.float64)
    weights, largest = _drawn(pictures)
    if first is None:
        return WeightPictures(weights, None, largest, None)
    with np.errstate(over="ignore", under="ignore"):
        change = pictures - first.reshape(pictures.shape)
    check_finite(change, "weight_pictures changes")
    changes, largest_changes = _drawn(change)
    return WeightPictures(weights, changes, largest, largest_changes)


def _weight_of(layer: Any, name: str) -> Array:
    """Return the weights (units, ...) of a layer, finite numbers."""
    if isinstance(layer, (Dense, Conv1D, Conv2D)):
        weight = layer.weight.data
    elif isinstance(layer, (np.ndarray, list, tuple)):
        weight = as_array(layer, f"weight_pictures {name}")
    else:
        kinds = "a Dense, a Conv2D, a Conv1D or an array of weights"
        raise TypeError(f"weight_pictures {name}: expected {kinds}, received {shown(layer)}")
    if weight.ndim not in (2, 3, 4) or weight.size == 0:
        raise ValueError(
            f"weight_pictures {name}: expected weights (units, features) or (units, height, width, channels), "
            f"received {weight.shape}"
        )
    check_finite(weight, f"weight_pictures {name}")
    return weight[:, None] if weight.ndim == 3 else weight


def _picture_shape(weight: Array, shape: Sequence[int] | None) -> tuple[int, int, int]:
    """Return height, width and channels of a unit's picture."""
    if weight.ndim == 4:
        if shape is not None:
            raise ValueError(f"shape: expected None for weights {weight.shape}, received {shown(shape)}")
        return weight.shape[1], weight.shape[2], weight.shape[3]
    features = weight.shape[1]
    if shape is not None:
        sides = tuple(shape) if isinstance(shape, (tuple, list)) else ()
        sides = (*sides, 1) if len(sides) == 2 else sides
        if len(sides) != 3 or not all(isinstance(side, int) for side in sides) or math.prod(sides) != features:
            raise ValueError(
                f"shape: expected (height, width, channels) of {features} features in all, received {shown(shape)}"
            )
        return sides[0], sides[1], sides[2]
    for channels in (3, 1):
        side = math.isqrt(features // channels)
        if side * side * channels == features:
            return side, side, channels
    raise ValueError(f"shape: expected (height, width, channels), as {features} features are no square; received None")


def _drawn(values: Array) -> tuple[Array, Array]:
    """Return pictures (units, height, width, 3) of values (units, height, width, channels), and their scales."""
    largest = largest_of_each(values, axes=3)
    if values.shape[3] not in (1, 3):  # the channels side by side
        units, height, width, channels = values.shape
        values = np.moveaxis(values, 3, 2).reshape(units, height, channels * width, 1)
    return in_colours(values, largest), largest.ravel()
