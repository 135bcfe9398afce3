"""Sigmoid: the logistic function."""

from __future__ import annotations

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module


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

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output * a * (1 - a)`.

        `a = 1 / (1 + exp(-z))` gives `da/dz = exp(-z) / (1 + exp(-z))^2 = a (1 - a)`: the output is enough to keep.
        """
        (a,) = self.saved_for_backward()
        check_grad(self, grad_output, a.shape)
        grad_input: Array = grad_output * a * (1 - a)
        return grad_input
