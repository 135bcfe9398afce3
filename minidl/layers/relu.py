"""ReLU: the rectified linear unit."""

from __future__ import annotations

from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import multiply, rectify


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
        a, is_positive = rectify(floating(self, x), with_mask=self.training)
        self.save_for_backward(is_positive)
        return a

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` where the input was positive, else 0.

        `da/dz` is 1 for z > 0 and 0 for z < 0, so `dL/dz = dL/da * [z > 0]`; at 0 the derivative is taken as 0, as
        the article does (`dZ[Z <= 0] = 0`). Whether z was positive is all there is to keep: a byte for each number.
        """
        (is_positive,) = self.saved_for_backward()
        check_grad(self, grad_output, is_positive.shape)
        return multiply(grad_output, is_positive)
