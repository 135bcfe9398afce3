"""Means of windows of pictures and of sequences, and of whole pictures, which are made smaller by them."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import flag
from minidl.layers._checks import check_grad, pictures, sequences
from minidl.layers._masks import check_all_real
from minidl.layers._windows import Padding, Size, fitted, pooling_windows, shortest, shortest_padding
from minidl.module import Module
from minidl.ops.pooling import means_grad, window_means
from minidl.ops.sums import pixel_means
from minidl.ops.windows import Pair


class AveragePool2D(Module):
    """The mean of each window, channel by channel.

    Formula: `y[n, r, c, k] = mean of x[n, window(r, c), k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, rows, columns, channels) with
    `rows = (height + padding - pool_size) // stride + 1` for the padding of both sides together, and columns alike.
    The dtype is the input's.

    Arguments: `pool_size` is the size of the window; `stride`, the step from one window to the next, is `pool_size`
    for None; each is a number, or (vertical, horizontal). `padding` pixels of 0 surround the picture: a number,
    (vertical, horizontal) or ((top, bottom), (left, right)). They count as pixels of a window, unless `count_padding`
    is False: then the mean is of the pixels of the picture alone.

    Raises: ValueError for sizes below 1 and for padding of a whole window or more, and for input that is not a
    floating (batch, height, width, channels) large enough for one window.

    >>> AveragePool2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """

    def __init__(
        self, pool_size: Size = 2, stride: Size | None = None, padding: Padding = 0, count_padding: bool = True
    ) -> None:
        self.windows = pooling_windows("AveragePool2D", pool_size, stride, padding)
        self.pool_size, self.stride = shortest(self.windows.size), shortest(self.windows.stride)
        self.padding = shortest_padding(self.windows.padding)
        self.count_padding = flag(count_padding, "AveragePool2D count_padding")

    def forward(self, x: Array) -> Array:
        """Return the mean of each window."""
        x = pictures(self, x)
        y = window_means(x, fitted(self, x, self.windows), count_padding=self.count_padding)
        self.save_for_backward(x.shape, y.shape)
        return y

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Share each window's gradient evenly among its pixels.

        The mean of p pixels has `dy/dx = 1 / p` for each, so `dL/dx` of a pixel is the sum of `dL/dy / p` over the
        windows it lies in.
        """
        shape, output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        return means_grad(grad_output, self.windows, shape, count_padding=self.count_padding)

    def __repr__(self) -> str:
        return f"AveragePool2D({self.pool_size}, stride={self.stride}{_padding_of(self)})"


class AveragePool1D(Module):
    """The mean of each window of time, channel by channel.

    Formula: `y[n, t, k] = mean of x[n, window(t), k]`.

    Shapes: `x` (batch, time, channels), result (batch, steps, channels) with
    `steps = (time + padding - pool_size) // stride + 1` for the padding of both sides together. The dtype is the
    input's.

    Arguments: as for `AveragePool2D`, all of them numbers; `padding` is a number or (left, right).

    Raises: ValueError as `AveragePool2D` does, and for input that is not a floating (batch, time, channels) long
    enough for one window, or that has padding inside `Masked`.

    >>> AveragePool1D()(np.arange(6.0).reshape(1, 6, 1)).ravel().tolist()
    [0.5, 2.5, 4.5]
    """

    def __init__(
        self, pool_size: int = 2, stride: int | None = None, padding: int | Pair = 0, count_padding: bool = True
    ) -> None:
        self.windows = pooling_windows("AveragePool1D", pool_size, stride, padding)
        self.pool_size, self.stride = self.windows.size[1], self.windows.stride[1]
        self.padding = shortest(self.windows.padding[1])
        self.count_padding = flag(count_padding, "AveragePool1D count_padding")

    def forward(self, x: Array) -> Array:
        """Return the mean of each window."""
        x = sequences(self, x)
        check_all_real(self, x)
        y = window_means(x[:, None], fitted(self, x, self.windows), count_padding=self.count_padding)[:, 0]
        self.save_for_backward(x.shape, y.shape)
        return y

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Share each window's gradient evenly among its steps, as `AveragePool2D` does among its pixels."""
        (n, time, channels), output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        shape = n, 1, time, channels
        return means_grad(grad_output[:, None], self.windows, shape, count_padding=self.count_padding)[:, 0]

    def __repr__(self) -> str:
        return f"AveragePool1D({self.pool_size}, stride={self.stride}{_padding_of(self)})"


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

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Share each channel's gradient evenly among its pixels: `dL/dx = dL/dy / (height * width)` for each."""
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, (shape[0], shape[3]))
        share = grad_output / (shape[1] * shape[2])
        return np.broadcast_to(share[:, None, None, :], shape).copy()


def _padding_of(layer: AveragePool2D | AveragePool1D) -> str:
    if not any(layer.windows.border):
        return ""
    return f", padding={layer.padding}{'' if layer.count_padding else ', count_padding=False'}"
