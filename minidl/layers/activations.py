"""Activations: functions of each element by itself, without parameters."""

from __future__ import annotations

import numpy as np

from minidl import functional
from minidl._typing import Array
from minidl.module import Module


class ReLU(Module):
    """The rectified linear unit.

    Formula: `a = max(z, 0)`.

    Shapes: any; the result has the shape and dtype of the input.

    >>> ReLU()(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `max(x, 0)`."""
        a: Array = np.maximum(x, 0)
        self.save_for_backward(a)
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` where the output was positive, else 0.

        `da/dz` is 1 for z > 0 and 0 for z < 0, so `dL/dz = dL/da * [z > 0]`; at 0 the derivative is taken as 0, as
        the article does (`dZ[Z <= 0] = 0`). `a > 0` says the same as `z > 0`, so the output is enough to keep.
        """
        (a,) = self.saved_for_backward()
        grad_input: Array = grad_output * (a > 0)
        return grad_input


class Sigmoid(Module):
    """The logistic function, which turns a real number into a probability.

    Formula: `a = 1 / (1 + exp(-z))`, computed without overflow.

    Shapes: any; the result has the shape and dtype of the input.

    >>> Sigmoid()(np.array([[0.0]])).tolist()
    [[0.5]]
    """

    def forward(self, x: Array) -> Array:
        """Return `sigmoid(x)`."""
        a = functional.sigmoid(x)
        self.save_for_backward(a)
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output * a * (1 - a)`.

        `a = 1 / (1 + exp(-z))` gives `da/dz = exp(-z) / (1 + exp(-z))^2 = a (1 - a)`: the output is enough to keep.
        """
        (a,) = self.saved_for_backward()
        grad_input: Array = grad_output * a * (1 - a)
        return grad_input
