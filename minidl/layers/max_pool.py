"""MaxPool2D and MaxPool1D: pictures and sequences made smaller by the maximum of their windows."""

from __future__ import annotations

from minidl._typing import Array
from minidl.layers._checks import check_grad, pictures, sequences
from minidl.layers._masks import check_all_real
from minidl.layers._windows import Padding, Size, fitted, pooling_windows, shortest, shortest_padding
from minidl.module import Module
from minidl.ops.pooling import window_maxima, winners_grad
from minidl.ops.windows import Pair


class MaxPool2D(Module):
    """The largest number of each window, channel by channel.

    Formula: `y[n, r, c, k] = max of x[n, window(r, c), k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, rows, columns, channels) with
    `rows = (height + padding - pool_size) // stride + 1` for the padding of both sides together, and columns alike.
    The dtype is the input's.

    Arguments: `pool_size` is the size of the window; `stride`, the step from one window to the next, is `pool_size`
    for None; each is a number, or (vertical, horizontal). `padding` pixels of -inf surround the picture, which no
    maximum ever takes: a number, (vertical, horizontal) or ((top, bottom), (left, right)).

    Raises: ValueError for sizes below 1 and for padding of a whole window or more, and for input that is not a
    floating (batch, height, width, channels) large enough for one window.

    >>> MaxPool2D()(np.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
    [5.0, 7.0, 13.0, 15.0]
    """

    def __init__(self, pool_size: Size = 2, stride: Size | None = None, padding: Padding = 0) -> None:
        self.windows = pooling_windows("MaxPool2D", pool_size, stride, padding)
        self.pool_size, self.stride = shortest(self.windows.size), shortest(self.windows.stride)
        self.padding = shortest_padding(self.windows.padding)

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window."""
        x = pictures(self, x)
        fitted(self, x, self.windows)
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


class MaxPool1D(Module):
    """The largest number of each window of time, channel by channel.

    Formula: `y[n, t, k] = max of x[n, window(t), k]`.

    Shapes: `x` (batch, time, channels), result (batch, steps, channels) with
    `steps = (time + padding - pool_size) // stride + 1` for the padding of both sides together. The dtype is the
    input's.

    Arguments: as for `MaxPool2D`, all of them numbers; `padding` is a number or (left, right).

    Raises: ValueError as `MaxPool2D` does, and for input that is not a floating (batch, time, channels) long enough for
    one window, or that has padding inside `Masked`.

    >>> MaxPool1D()(np.arange(6.0).reshape(1, 6, 1)).ravel().tolist()
    [1.0, 3.0, 5.0]
    """

    def __init__(self, pool_size: int = 2, stride: int | None = None, padding: int | Pair = 0) -> None:
        self.windows = pooling_windows("MaxPool1D", pool_size, stride, padding)
        self.pool_size, self.stride = self.windows.size[1], self.windows.stride[1]
        self.padding = shortest(self.windows.padding[1])

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window."""
        x = sequences(self, x)
        check_all_real(self, x)
        fitted(self, x, self.windows)
        y, winners = window_maxima(x[:, None], self.windows, with_winners=self.training)
        self.save_for_backward(x.shape, y[:, 0].shape, winners)
        return y[:, 0]

    def backward(self, grad_output: Array) -> Array:
        """Give each window's gradient to its maximum, to the first one if there are several, as `MaxPool2D` does."""
        (n, time, channels), output_shape, winners = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        return winners_grad(grad_output[:, None], winners, self.windows, (n, 1, time, channels))[:, 0]

    def __repr__(self) -> str:
        return f"MaxPool1D({self.pool_size}, stride={self.stride}, padding={self.padding})"
