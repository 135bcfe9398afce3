"""What layers ask of their input before they compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import LayerInputError
from minidl.module import Module


def floating(layer: Module, x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Return `x` if its numbers are floating, in the precision `dtype` where the layer has one; else say what came."""
    if x.dtype.kind != "f":
        hint = "; put Rescale() first to make numbers of pixels" if x.dtype.kind in "iu" else ""
        raise LayerInputError(layer, f"expected {dtype or 'floating'} numbers, received dtype {x.dtype}{hint}")
    return x if dtype is None else x.astype(dtype, copy=False)


def pictures(layer: Module, x: Array, channels: int | None = None, dtype: np.dtype[Any] | None = None) -> Array:
    """Return a floating batch of pictures, or say what is wrong with its shape or dtype."""
    last = "channels" if channels is None else channels
    expected = f"expected (batch, height, width, {last}), received {x.shape}"
    if x.ndim == 4 and channels not in (None, x.shape[3]):
        hint = "; the channels seem to stand second: pass x.transpose(0, 2, 3, 1)" if x.shape[1] == channels else ""
        raise LayerInputError(layer, f"{expected}{hint}")
    if x.ndim == 3 and channels in (None, x.shape[2]):
        raise LayerInputError(layer, f"{expected}; a single picture still needs its batch axis: pass x[None]")
    if x.ndim != 4:
        raise LayerInputError(layer, expected)
    if x.size == 0:
        raise LayerInputError(layer, f"expected at least one sample and pixel, received an empty batch {x.shape}")
    return floating(layer, x, dtype)
