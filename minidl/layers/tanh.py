"""Tanh: the hyperbolic tangent."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module


class Tanh(Module):
    """The hyperbolic tangent, a sigmoid from -1 to 1.

    Formula: `a = tanh(z)`.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    >>> Tanh()(np.array([[0.0, 100.0]])).tolist()
    [[0.0, 1.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `tanh(x)`."""
        a: Array = np.tanh(floating(self, x))
        self.save_for_backward(a)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output * (1 - a^2)`.

        `a = sinh(z) / cosh(z)` gives `da/dz = 1 - tanh(z)^2`, so `dZ = dA (1 - a^2)`: the output is enough to keep.
        """
        (a,) = self.saved_for_backward()
        check_grad(self, grad_output, a.shape)
        grad_input: Array = grad_output * (1 - a * a)
        return grad_input
