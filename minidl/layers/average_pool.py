"""AveragePool2D and GlobalAveragePool2D: pictures made smaller by the mean of their windows, or of everything."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl._validation import size
from minidl.layers._checks import check_grad, grid, pictures
from minidl.module import Module
from minidl.ops.sums import pixel_means, sum_of
from minidl.ops.windows import COLUMN, ROW, Windows


class AveragePool2D(Module):
    """The mean of each window, channel by channel.

    Formula: `y[n, r, c, k] = mean of x[n, window(r, c), k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, rows, columns, channels) with
    `rows = (height - pool_size) // stride + 1`, and columns alike. The dtype is the input's.

    Arguments: `pool_size` is the side of the square window; `stride`, the step from one window to the next, is
    `pool_size` for None.

    Raises: ValueError for sizes below 1, and for input that is not a floating (batch, height, width, channels) large
    enough for one window.

    >>> AveragePool2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """

    def __init__(self, pool_size: int = 2, stride: int | None = None) -> None:
        self.pool_size = size(pool_size, "AveragePool2D pool_size")
        self.stride = self.pool_size if stride is None else size(stride, "AveragePool2D stride")
        self.windows = Windows(self.pool_size, self.stride)

    def forward(self, x: Array) -> Array:
        """Return the mean of each window."""
        x = pictures(self, x)
        rows, columns = grid(self, x, self.windows)
        self.save_for_backward(x.shape, (len(x), rows, columns, x.shape[3]))
        try:
            with np.errstate(over="raise"):
                return self._means(x)
        except FloatingPointError:  # in the sums, which are larger than the means
            return self._means(x / self.pool_size**2) * self.pool_size**2

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Share each window's gradient evenly among its pixels.

        The mean of p * p pixels has `dy/dx = 1 / p^2` for each, so `dL/dx` of a pixel is the sum of `dL/dy / p^2` over
        the windows it lies in.
        """
        shape, output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        share = grad_output / self.pool_size**2
        grad_input = np.zeros(shape, share.dtype)
        for grad in self.windows.elements(grad_input):
            grad += share
        return grad_input

    def _means(self, x: Array) -> Array:
        rows = sum_of(self.windows.places(x, ROW))
        y = sum_of(self.windows.places(rows, COLUMN))
        return y / self.pool_size**2

    def __repr__(self) -> str:
        return f"AveragePool2D({self.pool_size}, stride={self.stride})"


class GlobalAveragePool2D(Module):
    """The mean of each channel over the whole picture, which makes a row of features of any size of picture.

    Formula: `y[n, k] = mean of x[n, :, :, k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, channels). The dtype is the input's.

    Raises: ValueError for input that is not a floating (batch, height, width, channels).

    Source: Lin et al., Network in network (2013).

    >>> GlobalAveragePool2D()(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[3.0, 4.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return the mean over height and width."""
        y = pixel_means(pictures(self, x))
        self.save_for_backward(x.shape)
        return y

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Share each channel's gradient evenly among its pixels: `dL/dx = dL/dy / (height * width)` for each."""
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, (shape[0], shape[3]))
        share = grad_output / (shape[1] * shape[2])
        return np.broadcast_to(share[:, None, None, :], shape).copy()
