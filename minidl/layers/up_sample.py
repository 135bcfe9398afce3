"""UpSample2D: pictures made larger by repeating their pixels."""

from __future__ import annotations

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import size
from minidl.layers._checks import check_grad, pictures
from minidl.module import Module


class UpSample2D(Module):
    """Pictures enlarged by a whole factor: each pixel becomes a square of equal pixels (nearest neighbour).

    Formula: `y[n, r, c, k] = x[n, floor(r / factor), floor(c / factor), k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, factor * height, factor * width, channels). The dtype
    is the input's.

    Raises: ValueError for a factor below 1, and for input that is not a floating (batch, height, width, channels).

    >>> UpSample2D(2)(np.array([1.0, 2.0]).reshape(1, 1, 2, 1))[0, :, :, 0].tolist()
    [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    """

    def __init__(self, factor: int = 2) -> None:
        self.factor = size(factor, "UpSample2D factor")

    def forward(self, x: Array) -> Array:
        """Return the picture with its pixels repeated."""
        x = pictures(self, x)
        y: Array = x.repeat(self.factor, axis=1).repeat(self.factor, axis=2)
        self.save_for_backward(x.shape)
        return y

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return for each pixel the sum of the gradients of its copies, since `dy/dx` is 1 for each of them."""
        ((n, height, width, channels),) = self.saved_for_backward()
        factor = self.factor
        check_grad(self, grad_output, (n, factor * height, factor * width, channels))
        squares = grad_output.reshape(n, height, factor, width, factor, channels)
        grad_input: Array = squares.sum(axis=(2, 4))
        return grad_input

    def __repr__(self) -> str:
        return f"UpSample2D({self.factor})"
