"""ELU and SELU: linear units whose negative side is an exponential that levels off."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import finite_number, within
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import activate, multiply

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


class ELU(Module):
    """The exponential linear unit.

    Formula: `a = z` for z > 0 and `alpha (exp(z) - 1)` else.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for an alpha that is not a finite number within the range of float32, and for input that is not
    floating.

    Source: Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by exponential linear units
    (2016).

    >>> ELU(2.0)(np.array([[-1e4, 0.0, 3.0]])).tolist()
    [[-2.0, 0.0, 3.0]]
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = within(np.dtype(np.float32), finite_number(alpha, "ELU alpha"), "ELU alpha")

    def forward(self, x: Array) -> Array:
        """Return `x` where it is positive, else `alpha (exp(x) - 1)`."""
        a, slope = activate(partial(_elu, alpha=self.alpha), floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative, which the forward pass has kept.

        `da/dz` is 1 for z > 0 and `alpha exp(z) = a + alpha` for z < 0, so `dZ = dA * da/dz`; at 0 it is taken as
        alpha.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)

    def __repr__(self) -> str:
        return f"ELU({self.alpha:g})"


class SELU(Module):
    """The scaled ELU, which keeps mean 0 and variance 1 through layers of LeCun's initial weights.

    Formula: `a = scale z` for z > 0 and `scale alpha (exp(z) - 1)` else, with the two numbers for which a normal z of
    mean 0 and variance 1 gives an `a` of mean 0 and variance 1, scale = 1.0507 and alpha = 1.6733.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Klambauer et al., Self-normalizing neural networks (2017).

    >>> SELU()(np.array([[-1e4, 0.0, 1.0]])).round(4).tolist()
    [[-1.7581, 0.0, 1.0507]]
    """

    def forward(self, x: Array) -> Array:
        """Return `scale * x` where it is positive, else `scale * alpha * (exp(x) - 1)`."""
        a, slope = activate(_selu, floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative, which the forward pass has kept.

        It is scale times that of ELU: scale for z > 0 and `scale alpha exp(z) = a + scale alpha` for z < 0.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)


def _elu(z: Array, alpha: float, scale: float = 1.0) -> Iterator[Array]:
    below = scale * alpha * np.expm1(np.minimum(z, 0))
    yield scale * np.maximum(z, 0) + below
    yield np.where(z > 0, z.dtype.type(scale), below + scale * alpha)


_selu = partial(_elu, alpha=SELU_ALPHA, scale=SELU_SCALE)
