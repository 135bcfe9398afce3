"""Rescale: pixels as numbers that a network learns from."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike
from minidl._validation import finite_number, float_dtype, within
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad
from minidl.module import Module


class Rescale(Module):
    """Turn pixels into numbers of a size that a network learns from.

    Formula: `y = scale * x + offset`; the defaults give the article's `pixels / 255`, and `offset=-0.5` centres
    them, which full-batch training finds far easier.

    Shapes: any; the result has the shape of the input. Integers become `dtype`; floating input keeps its own.

    Raises: ValueError for a scale or offset that is not finite in `dtype`, and for input that is not real numbers.

    >>> Rescale()(np.array([[0, 51, 255]], np.uint8)).round(3).tolist()
    [[0.0, 0.20000000298023224, 1.0]]
    """

    def __init__(self, scale: float = 1 / 255, offset: float = 0.0, *, dtype: DTypeLike = np.float32) -> None:
        self.dtype = float_dtype(dtype, "Rescale dtype")
        self.scale = within(self.dtype, finite_number(scale, "Rescale scale"), "Rescale scale")
        self.offset = within(self.dtype, finite_number(offset, "Rescale offset"), "Rescale offset")

    def forward(self, x: Array) -> Array:
        """Return `scale * x + offset` as floating numbers."""
        if x.dtype.kind not in "fiu":
            raise LayerInputError(self, f"expected pixels or other real numbers, received dtype {x.dtype}")
        self.save_for_backward(x.shape)
        y: Array = np.multiply(x, self.scale, dtype=x.dtype.newbyteorder("=") if x.dtype.kind == "f" else self.dtype)
        if self.offset:
            y += self.offset
        return y

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `scale * grad_output`, since `dy/dx = scale`."""
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, shape)
        return grad_output * self.scale

    def __repr__(self) -> str:
        return f"{type(self).__name__}(scale={self.scale:.6g}, offset={self.offset:g})"
