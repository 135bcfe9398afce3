"""GELU: the Gaussian error linear unit."""

from __future__ import annotations

import math

import numpy as np

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl.layers._checks import check_grad, floating
from minidl.module import Module

SCALE = math.sqrt(2 / math.pi)
CUBIC = 0.044715
SATURATED = 16.0  # from here on tanh(u) is 1 in float64, while the square of z may overflow


class GELU(Module):
    """The Gaussian error linear unit in its tanh form, PyTorch's `GELU(approximate="tanh")`.

    Formula: `a = z (1 + tanh(u)) / 2` with `u = sqrt(2 / pi) (z + 0.044715 z^3)`, which differs from the definition,
    z times the normal distribution's probability of less than z, by less than 5e-4. NumPy has no error function.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Hendrycks and Gimpel, Gaussian error linear units (2016).

    >>> GELU()(np.array([[-10.0, 0.0, 10.0]])).tolist()
    [[-0.0, 0.0, 10.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `x (1 + tanh(u)) / 2`."""
        x = floating(self, x)
        z = np.clip(x, -SATURATED, SATURATED)
        t = np.tanh(z * (SCALE + SCALE * CUBIC * (z * z)))
        self.save_for_backward(x, t)
        a: Array = 0.5 * x * (1 + t)
        return a

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative.

        With `t = tanh(u)` and `dt/dz = (1 - t^2) du/dz`, the product rule on `a = z (1 + t) / 2` gives

            da/dz = (1 + t) / 2 + z (1 - t^2) / 2 * du/dz        du/dz = sqrt(2 / pi) (1 + 3 * 0.044715 z^2)

        and `dZ = dA * da/dz`.
        """
        x, t = self.saved_for_backward()
        check_grad(self, grad_output, x.shape)
        z = np.clip(x, -SATURATED, SATURATED)
        slope = SCALE + 3 * SCALE * CUBIC * (z * z)
        grad_input: Array = grad_output * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
        return grad_input
