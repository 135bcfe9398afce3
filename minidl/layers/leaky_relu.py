"""LeakyReLU: a ReLU with a slope for negative numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import finite_number, within
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import activate, multiply


class LeakyReLU(Module):
    """A ReLU that lets a little of the negative numbers pass, so that no unit stops learning.

    Formula: `a = z` for z > 0 and `negative_slope * z` else.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for a slope that is not a finite number within the range of float32, and for input that is not
    floating.

    Source: Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models (2013).

    >>> LeakyReLU(0.5)(np.array([[-1.0, 2.0]])).tolist()
    [[-0.5, 2.0]]
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        name = "LeakyReLU negative_slope"
        self.negative_slope = within(np.dtype(np.float32), finite_number(negative_slope, name), name)

    def forward(self, x: Array) -> Array:
        """Return `x` where it is positive, else `negative_slope * x`."""
        a, slope = activate(self._formula, floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times 1 where the input was positive, else times `negative_slope`.

        `da/dz` is 1 for z > 0 and the slope for z < 0, so `dZ = dA * da/dz`; at 0 it is taken as the slope.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)

    def _formula(self, z: Array) -> Iterator[Array]:
        slope = np.where(z > 0, z.dtype.type(1), z.dtype.type(self.negative_slope))
        yield z * slope
        yield slope

    def __repr__(self) -> str:
        return f"LeakyReLU({self.negative_slope:g})"
