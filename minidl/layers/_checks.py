"""What layers require of their inputs and gradients before they compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import cast
from minidl.errors import LayerInputError
from minidl.module import Module
from minidl.ops.windows import Windows


def check_grad(layer: Module, grad_output: Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError for a gradient of another shape than the output's, which NumPy might broadcast."""
    received = getattr(grad_output, "shape", None)
    if received != shape:
        what = f"no array but {type(grad_output).__name__}" if received is None else received
        raise ValueError(f"{layer!r}.backward: expected a gradient of the output's shape {shape}, received {what}")


def floating(layer: Module, x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Return `x` if its numbers are floating, cast to `dtype` where the layer has one.

    A layer with a precision of its own also takes a table of whole numbers, unless they look like pixels.

    Raises: LayerInputError for numbers of another kind, and for numbers too large for `dtype`.
    """
    is_table = x.dtype.kind in "iu" and x.dtype != np.uint8 and x.ndim == 2
    if x.dtype.kind != "f" and not (is_table and dtype is not None):
        hint = "; pass x.astype(float)" if is_table else "; put Rescale() first to make numbers of pixels"
        hint = hint if x.dtype.kind in "iu" else ""
        raise LayerInputError(layer, f"expected {dtype or 'floating'} numbers, received dtype {x.dtype}{hint}")
    if dtype is None or x.dtype == dtype:
        return x
    try:
        return cast(x, dtype, "x")
    except ValueError as error:
        raise LayerInputError(layer, str(error)) from None


def features(layer: Module, x: Array, count: int, dtype: np.dtype[Any] | None) -> Array:
    """Return a floating batch (batch, ..., count), cast to `dtype` where the layer has one.

    Raises: LayerInputError for another shape or dtype, with a hint where the mistake is a known one.
    """
    if x.ndim > 1 and x.shape[-1] == count and dtype is not None and x.dtype == dtype and x.size:
        return x
    expected = f"expected (batch, {'' if x.ndim < 3 else '..., '}{count}), received {x.shape}"
    if x.ndim > 2 and math.prod(x.shape[1:]) == count != x.shape[-1]:
        raise LayerInputError(layer, f"{expected}; pictures must be flattened: put Flatten() before this layer")
    if x.ndim == 2 and x.shape[0] == count and x.shape[1] != count:
        raise LayerInputError(layer, f"{expected}; the samples seem to stand in columns: pass the transpose")
    if x.ndim == 1 and x.shape[0] == count:
        raise LayerInputError(layer, f"{expected}; a single sample still needs its batch axis: pass x[None]")
    if x.ndim < 2 or x.shape[-1] != count:
        raise LayerInputError(layer, expected)
    if x.size == 0:
        raise LayerInputError(layer, f"expected at least one sample, received an empty batch {x.shape}")
    return floating(layer, x, dtype)


def class_scores(layer: Module, x: Array) -> Array:
    """Return floating scores (batch, ..., classes) of at least two classes, which share a sum of 1.

    Raises: LayerInputError for another shape or dtype.
    """
    if x.ndim < 2 or x.shape[-1] == 0:
        raise LayerInputError(layer, f"expected (batch, ..., classes), received {x.shape}")
    x = floating(layer, x)
    if x.shape[-1] == 1:
        problem = "expected at least 2 classes, since one alone always has the probability 1: use Sigmoid for one"
        raise LayerInputError(layer, f"{problem}; received {x.shape}")
    return x


def pictures(layer: Module, x: Array, channels: int | None = None, dtype: np.dtype[Any] | None = None) -> Array:
    """Return a floating batch of pictures (batch, height, width, channels), cast to `dtype` where the layer has one.

    Raises: LayerInputError for another shape or dtype, with a hint where the mistake is a known one.
    """
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


def grid(layer: Module, x: Array, windows: Windows) -> tuple[int, int]:
    """Return how many windows pictures have from top to bottom and from left to right.

    Raises: LayerInputError where not one window fits.
    """
    try:
        return windows.grid(x)
    except ValueError as error:
        raise LayerInputError(layer, str(error)) from None


def sequences(layer: Module, x: Array, count: int | None = None, dtype: np.dtype[Any] | None = None) -> Array:
    """Return a floating batch of sequences (batch, time, features), cast to `dtype` where the layer has one.

    Raises: LayerInputError for another shape or dtype, with a hint where the mistake is a known one.
    """
    expected = f"expected (batch, time, {'features' if count is None else count}), received {x.shape}"
    if x.ndim == 2 and count in (None, x.shape[1]) and x.dtype.kind == "f":
        raise LayerInputError(layer, f"{expected}; a single sequence still needs its batch axis: pass x[None]")
    if x.ndim == 2 and x.dtype.kind in "iu":
        raise LayerInputError(layer, f"{expected}; tokens need an Embedding before this layer")
    if x.ndim != 3 or count not in (None, x.shape[2]):
        raise LayerInputError(layer, expected)
    if x.size == 0:
        raise LayerInputError(layer, f"expected at least one sequence of one step, received an empty batch {x.shape}")
    return floating(layer, x, dtype)
