"""MaxPool2D: pictures made smaller by the maximum of their windows."""

from __future__ import annotations

from minidl._typing import Array
from minidl._validation import is_natural, shown, size
from minidl.layers._checks import check_grad, grid, pictures
from minidl.module import Module
from minidl.ops.pooling import window_maxima, winners_grad
from minidl.ops.windows import Windows


class MaxPool2D(Module):
    """The largest number of each window, channel by channel.

    Formula: `y[n, r, c, k] = max of x[n, window(r, c), k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, rows, columns, channels) with
    `rows = (height + 2 * padding - pool_size) // stride + 1`, and columns alike. The dtype is the input's.

    Arguments: `pool_size` is the side of the square window; `stride`, the step from one window to the next, is
    `pool_size` for None; `padding` pixels of -inf surround the picture, which no maximum ever takes.

    Raises: ValueError for sizes below 1 and for padding of a whole window or more, and for input that is not a
    floating (batch, height, width, channels) large enough for one window.

    >>> MaxPool2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """

    def __init__(self, pool_size: int = 2, stride: int | None = None, padding: int = 0) -> None:
        self.pool_size = size(pool_size, "MaxPool2D pool_size")
        self.stride = self.pool_size if stride is None else size(stride, "MaxPool2D stride")
        if not is_natural(padding) or padding >= self.pool_size:
            raise ValueError(
                "MaxPool2D padding: expected a whole number of at least 0 and less than pool_size "
                f"{self.pool_size}, received {shown(padding)}"
            )
        self.padding = int(padding)
        self.windows = Windows(self.pool_size, self.stride, self.padding, self.padding)

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window."""
        x = pictures(self, x)
        grid(self, x, self.windows)
        y, winners = window_maxima(x, self.windows, with_winners=self.training)
        self.save_for_backward(x.shape, y.shape, winners)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Give each window's gradient to its maximum, to the first one if there are several.

        `dy/dx` is 1 for the pixel that is the maximum and 0 for the others, so `dL/dx` of a pixel is the sum of dL/dy
        over the windows whose maximum it is.
        """
        shape, output_shape, winners = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        return winners_grad(grad_output, winners, self.windows, shape)

    def __repr__(self) -> str:
        return f"MaxPool2D({self.pool_size}, stride={self.stride}, padding={self.padding})"
