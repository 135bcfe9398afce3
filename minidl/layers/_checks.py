"""What layers require of their inputs and gradients before they compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import cast
from minidl.errors import LayerInputError
from minidl.module import Module


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
        is_picture = x.dtype == np.uint8 or x.ndim == 4
        hint = "; put Rescale() first to make numbers of pixels" if is_picture else "; pass x.astype(float)"
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
    if x.size == 0:
        raise LayerInputError(layer, f"expected at least one sample, received an empty batch {x.shape}")
    x = floating(layer, x)
    if x.shape[-1] == 1:
        problem = "expected at least 2 classes, since one alone always has the probability 1: use Sigmoid for one"
        raise LayerInputError(layer, f"{problem}; received {x.shape}")
    return x


def pictures(layer: Module, x: Array, channels: int | None = None, dtype: np.dtype[Any] | None = None) -> Array:
    """Return a floating batch of pictures (batch, height, width, channels), cast to `dtype` where the layer has one.

    Raises: LayerInputError for another shape or dtype, with a hint where the mistake is a known one.
    """
    return _channels_last(layer, x, ("picture", "height", "width", "channels", "pixel"), channels, dtype)


def sequences(layer: Module, x: Array, count: int | None = None, dtype: np.dtype[Any] | None = None) -> Array:
    """Return a floating batch of sequences (batch, time, features), cast to `dtype` where the layer has one.

    Raises: LayerInputError for another shape or dtype, with a hint where the mistake is a known one.
    """
    if x.ndim == 2 and x.dtype.kind in "iu":
        expected = f"(batch, time, {'features' if count is None else count})"
        hint = "tokens need an Embedding before this layer"
        raise LayerInputError(layer, f"expected {expected}, received {x.shape}; {hint}")
    return _channels_last(layer, x, ("sequence", "time", "features", "step"), count, dtype)


def _channels_last(
    layer: Module, x: Array, names: tuple[str, ...], channels: int | None, dtype: np.dtype[Any] | None
) -> Array:
    """Return a floating batch (batch, ..., channels); `names` are those of a sample, of its axes, and of its parts."""
    sample, *axes, last_axis, part = names
    rank = len(axes) + 2
    if x.ndim == rank and x.size and x.dtype == dtype and x.shape[-1] == channels:
        return x
    last = last_axis if channels is None else channels
    expected = f"expected (batch, {', '.join(axes)}, {last}), received {x.shape}"
    if x.ndim == rank and channels not in (None, x.shape[-1]):
        order = (0, *range(2, rank), 1)
        hint = f"; the channels seem to stand second: pass x.transpose{order}" if x.shape[1] == channels else ""
        raise LayerInputError(layer, f"{expected}{hint}")
    if x.ndim == rank - 1 and channels in (None, x.shape[-1]):
        raise LayerInputError(layer, f"{expected}; a single {sample} still needs its batch axis: pass x[None]")
    if x.ndim != rank:
        raise LayerInputError(layer, expected)
    if x.size == 0:
        raise LayerInputError(layer, f"expected at least one sample and {part}, received an empty batch {x.shape}")
    return floating(layer, x, dtype)
