"""Softplus: a smooth ReLU."""

from __future__ import annotations

from collections.abc import Iterator

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import activate, multiply


class Softplus(Module):
    """A smooth ReLU, whose output is always positive.

    Formula: `a = log(1 + exp(z))`, computed without overflow, and without PyTorch's step at z = 20.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Dugas et al., Incorporating second-order functional knowledge for better option pricing (2001).

    >>> Softplus()(np.array([[-1e4, 0.0, 1e4]])).round(4).tolist()
    [[0.0, 0.6931, 10000.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `log(1 + exp(x))`."""
        a, slope = activate(_softplus, floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative, which the forward pass has kept.

        `a = log(1 + exp(z))` gives `da/dz = exp(z) / (1 + exp(z)) = sigmoid(z)`, so `dZ = dA sigmoid(z)`.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)


def _softplus(z: Array) -> Iterator[Array]:
    yield functional.softplus(z)
    yield functional.sigmoid(z)
