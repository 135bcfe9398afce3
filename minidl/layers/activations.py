"""Activations: functions of each element by itself, without parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import functional
from minidl._threads import in_blocks
from minidl._typing import Array
from minidl._validation import finite_number
from minidl.layers._checks import floating
from minidl.module import Module


class ReLU(Module):
    """The rectified linear unit.

    Formula: `a = max(z, 0)`.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Glorot, Bordes and Bengio, Deep sparse rectifier neural networks (2011).

    >>> ReLU()(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `max(x, 0)`."""
        a = self.new_array(floating(self, x).shape, x.dtype)
        is_open = self.new_array(x.shape, np.bool_)
        all_x, all_a, all_open = x.reshape(-1), a.reshape(-1), is_open.reshape(-1)

        def rectify(block: slice) -> None:
            np.maximum(all_x[block], 0, out=all_a[block])
            if self.training:
                np.greater(all_x[block], 0, out=all_open[block])

        in_blocks(rectify, x.size, x.size)
        self.save_for_backward(is_open)
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` where the input was positive, else 0.

        `da/dz` is 1 for z > 0 and 0 for z < 0, so `dL/dz = dL/da * [z > 0]`; at 0 the derivative is taken as 0, as
        the article does (`dZ[Z <= 0] = 0`). Whether z was positive is all there is to keep: a byte for each number.
        """
        (is_open,) = self.saved_for_backward()
        grad_input = self.new_array(is_open.shape, grad_output.dtype)
        all_open, all_g, all_grad = is_open.reshape(-1), grad_output.reshape(-1), grad_input.reshape(-1)

        def mask(block: slice) -> None:
            np.multiply(all_g[block], all_open[block], out=all_grad[block])

        in_blocks(mask, all_g.size, all_g.size)
        return grad_input


class Sigmoid(Module):
    """The logistic function, which turns a real number into a probability.

    Formula: `a = 1 / (1 + exp(-z))`, computed without overflow.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    >>> Sigmoid()(np.array([[0.0]])).tolist()
    [[0.5]]
    """

    def forward(self, x: Array) -> Array:
        """Return `sigmoid(x)`."""
        a = functional.sigmoid(floating(self, x))
        self.save_for_backward(a)
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output * a * (1 - a)`.

        `a = 1 / (1 + exp(-z))` gives `da/dz = exp(-z) / (1 + exp(-z))^2 = a (1 - a)`: the output is enough to keep.
        """
        (a,) = self.saved_for_backward()
        grad_input: Array = grad_output * a * (1 - a)
        return grad_input


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

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output * (1 - a^2)`.

        `a = sinh(z) / cosh(z)` gives `da/dz = 1 - tanh(z)^2`, so `dZ = dA (1 - a^2)`: the output is enough to keep.
        """
        (a,) = self.saved_for_backward()
        grad_input: Array = grad_output * (1 - a * a)
        return grad_input


class LeakyReLU(Module):
    """A ReLU that lets a little of the negative numbers pass, so that no unit stops learning.

    Formula: `a = z` for z > 0 and `negative_slope * z` else.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for a slope that is not a finite number, and for input that is not floating.

    Source: Maas, Hannun and Ng, Rectifier nonlinearities improve neural network acoustic models (2013).

    >>> LeakyReLU(0.5)(np.array([[-1.0, 2.0]])).tolist()
    [[-0.5, 2.0]]
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = finite_number(negative_slope, "LeakyReLU negative_slope")

    def forward(self, x: Array) -> Array:
        """Return `x` where it is positive, else `negative_slope * x`."""
        x = floating(self, x)
        slope = self._slope(x)
        self.save_for_backward(slope)
        a: Array = x * slope
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times 1 where the input was positive, else times `negative_slope`.

        `da/dz` is 1 for z > 0 and the slope for z < 0, so `dZ = dA * da/dz`; at 0 it is taken as the slope.
        """
        (slope,) = self.saved_for_backward()
        grad_input: Array = grad_output * slope
        return grad_input

    def _slope(self, x: Array) -> Array:
        slope: Array = np.where(x > 0, x.dtype.type(1), x.dtype.type(self.negative_slope))
        return slope

    def config(self) -> dict[str, Any]:
        """Return the slope."""
        return {"negative_slope": self.negative_slope}

    def __repr__(self) -> str:
        return f"LeakyReLU({self.negative_slope:g})"


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
        t = np.tanh(_GELU_SCALE * (x + _GELU_CUBIC * x**3))
        self.save_for_backward(x, t)
        a: Array = 0.5 * x * (1 + t)
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative.

        With `t = tanh(u)` and `dt/dz = (1 - t^2) du/dz`, the product rule on `a = z (1 + t) / 2` gives

            da/dz = (1 + t) / 2 + z (1 - t^2) / 2 * du/dz        du/dz = sqrt(2 / pi) (1 + 3 * 0.044715 z^2)

        and `dZ = dA * da/dz`.
        """
        x, t = self.saved_for_backward()
        slope = _GELU_SCALE * (1 + 3 * _GELU_CUBIC * x * x)
        grad_input: Array = grad_output * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
        return grad_input


_GELU_SCALE = math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715
