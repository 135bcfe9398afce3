"""SiLU: the input times its sigmoid."""

from __future__ import annotations

from collections.abc import Iterator

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import activate, multiply


class SiLU(Module):
    """The sigmoid linear unit, also called Swish.

    Formula: `a = z sigmoid(z)`.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Elfwing, Uchibe and Doya, Sigmoid-weighted linear units (2018).

    >>> SiLU()(np.array([[-1e4, 0.0, 1e4]])).tolist()
    [[-0.0, 0.0, 10000.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `x sigmoid(x)`."""
        a, slope = activate(_silu, floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative, which the forward pass has kept.

        With `s = sigmoid(z)` and `ds/dz = s (1 - s)`, the product rule on `a = z s` gives

            da/dz = s + z s (1 - s) = s + a (1 - s)

        and `dZ = dA * da/dz`.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)


def _silu(z: Array) -> Iterator[Array]:
    s = functional.sigmoid(z)
    a = z * s
    yield a
    yield s + a * (1 - s)
