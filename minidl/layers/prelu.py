"""PReLU: a ReLU with a slope for negative numbers that is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike
from minidl._validation import finite_number, float_dtype, size, within
from minidl.layers._checks import check_grad, features, floating
from minidl.module import Module
from minidl.ops.elementwise import leak, leak_grads
from minidl.parameter import Parameter


class PReLU(Module):
    """A ReLU that multiplies negative numbers by a slope that is learned: one for all, or one for each feature.

    Formula: `a = z` for z > 0 and `w z` else, with the slope w of the number's place along the last axis.

    Shapes: any `x` for one slope, else (batch, ..., features); `weight` w (features,); the result has the shape of the
    input. Input of another precision is cast to the layer's.

    Arguments: `features` is 1 for one slope, else the size of the last axis; `negative_slope` is what all slopes start
    from.

    Raises: ValueError for sizes below 1, a slope that is not a finite number in the range of `dtype`, and for input
    that is not floating or has another last axis.

    Source: He et al., Delving deep into rectifiers (2015).

    >>> PReLU(negative_slope=0.5)(np.array([[-1.0, 2.0]])).tolist()
    [[-0.5, 2.0]]
    """

    def __init__(self, features: int = 1, *, negative_slope: float = 0.25, dtype: DTypeLike = np.float32) -> None:
        name = "PReLU negative_slope"
        self.features = size(features, "PReLU features")
        dtype = float_dtype(dtype, "PReLU dtype")
        self.negative_slope = within(dtype, finite_number(negative_slope, name), name)
        self.weight = Parameter(np.full(self.features, self.negative_slope, dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the slopes."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x` where it is positive, else `w x`."""
        x = floating(self, x, self.dtype) if self.features == 1 else features(self, x, self.features, self.dtype)
        self.save_for_backward(x)
        return leak(x, self.weight.data)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradient of the slopes, and return the one of the input.

        With `g = dL/da`: `da/dz` is 1 for z > 0 and w for z < 0, and `da/dw` is 0 for z > 0 and z for z < 0. A slope
        serves all samples, and all numbers of its feature, hence

            dL/dz = g [z > 0] + g w [z <= 0]        dL/dw = sum(g min(z, 0))

        where at 0 the derivative is taken as w.
        """
        (x,) = self.saved_for_backward()
        check_grad(self, grad_output, x.shape)
        grad_input, grad_slopes = leak_grads(x, self.weight.data, grad_output)
        self.weight.grad = grad_slopes.astype(self.dtype, copy=False)
        return grad_input

    def __repr__(self) -> str:
        return f"PReLU({self.features}, negative_slope={self.negative_slope:g})"
