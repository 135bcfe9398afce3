"""Pooling: pictures made smaller by the maximum or the mean of their windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._threads import in_blocks
from minidl._typing import Array
from minidl._validation import is_natural, positive_int
from minidl.layers._checks import pictures
from minidl.layers.windows import COLUMN, ROW, Windows
from minidl.module import Module


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
        self.pool_size = positive_int(pool_size, "MaxPool2D pool_size")
        self.stride = self.pool_size if stride is None else positive_int(stride, "MaxPool2D stride")
        if not is_natural(padding) or padding >= self.pool_size:
            raise ValueError(
                "MaxPool2D padding: expected a whole number of at least 0 and less than pool_size "
                f"{self.pool_size}, received {padding!r}"
            )
        self.padding = int(padding)
        self.windows = Windows(self.pool_size, self.stride, self.padding, self.padding)

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window: of each of its rows, and then of these."""
        x = pictures(self, x)
        rows, columns = self.windows.grid(self, x)
        n, height, _, channels = x.shape
        height += 2 * self.padding
        y = self.new_array((n, rows, columns, channels), x.dtype)
        wins = self.new_array((n, self.pool_size - 1, rows, columns, channels), np.bool_)
        row_wins = self.new_array((n, self.pool_size - 1, height, columns, channels), np.bool_)

        def pool(block: slice) -> None:
            padded = self.windows.pad(self, x[block], -np.inf)
            maxima = self.new_array((len(padded), height, columns, channels), x.dtype)
            _maximum(self.windows.places(padded, ROW), maxima, row_wins[block] if self.training else None)
            _maximum(self.windows.places(maxima, COLUMN), y[block], wins[block] if self.training else None)

        in_blocks(pool, n, x.size)
        self.save_for_backward(x.shape, row_wins, wins)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Give each window's gradient to its maximum, to the first one if there are several.

        `dy/dx` is 1 for the pixel that is the maximum and 0 for the others, so `dL/dx` of a pixel is the sum of dL/dy
        over the windows whose maximum it is. The way there is that of the forward pass: from a window to the first of
        its rows that has the maximum, and from there to the first pixel of that row that is it.
        """
        shape, row_wins, wins = self.saved_for_backward()
        grad_input = self.new_array(shape, grad_output.dtype)

        def hand_down(block: slice) -> None:
            grad_maxima = self.new_array((len(wins[block]), *row_wins.shape[2:]), grad_output.dtype)
            self._hand_down(grad_output[block], wins[block], COLUMN, grad_maxima)
            grad_padded = self.windows.frame(self, grad_input[block])
            self._hand_down(grad_maxima, row_wins[block], ROW, grad_padded)
            if self.padding:
                grad_input[block] = self.windows.crop(grad_padded)

        in_blocks(hand_down, len(wins), grad_input.size)
        return grad_input

    def _hand_down(self, grad_y: Array, wins: Array, axis: int, grad_x: Array) -> None:
        """Write into `grad_x` the gradient of `_maximum` along one axis: who won last takes it."""
        shared = self.stride < self.pool_size
        if self.stride != self.pool_size or grad_x.shape[axis] % self.pool_size:  # else all of it is written below
            grad_x.fill(0)
        first, *others = self.windows.places(grad_x, axis)
        rest = grad_y
        for i, pixel in reversed(list(enumerate(others))):
            share = np.multiply(rest, wins[:, i], out=self.new_array(rest.shape, rest.dtype))
            _give(pixel, share, shared)
            rest = np.subtract(rest, share, out=share)
        _give(first, rest, shared)

    def config(self) -> dict[str, Any]:
        """Return the window's size, stride and padding."""
        return {"pool_size": self.pool_size, "stride": self.stride, "padding": self.padding}

    def __repr__(self) -> str:
        return f"MaxPool2D({self.pool_size}, stride={self.stride}, padding={self.padding})"


def _maximum(places: Sequence[Array], y: Array, wins: Array | None) -> None:
    """Write the largest of the pixels at the places of each window into `y`.

    `wins[:, i]`, if it is wanted, tells where the pixel at place i + 1 was larger than all before it.
    """
    y[...] = places[0]
    for i, pixel in enumerate(places[1:]):
        if wins is not None:
            np.greater(pixel, y, out=wins[:, i])
        np.maximum(pixel, y, out=y)


def _give(pixel: Array, share: Array, shared: bool) -> None:
    """Add a share to the gradient of a pixel, or just write it, if the pixel lies in one window only."""
    if shared:
        pixel += share
    else:
        pixel[...] = share


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
        self.pool_size = positive_int(pool_size, "AveragePool2D pool_size")
        self.stride = self.pool_size if stride is None else positive_int(stride, "AveragePool2D stride")
        self.windows = Windows(self.pool_size, self.stride)

    def forward(self, x: Array) -> Array:
        """Return the mean of each window."""
        x = pictures(self, x)
        self.windows.grid(self, x)
        self.save_for_backward(x.shape)
        first, *others = self.windows.elements(x)
        y = first.copy()
        for pixel in others:
            y += pixel
        y /= self.pool_size**2
        return y

    def backward(self, grad_output: Array) -> Array:
        """Share each window's gradient evenly among its pixels.

        The mean of p * p pixels has `dy/dx = 1 / p^2` for each, so `dL/dx` of a pixel is the sum of `dL/dy / p^2` over
        the windows it lies in.
        """
        (shape,) = self.saved_for_backward()
        share = grad_output / self.pool_size**2
        grad_input = np.zeros(shape, share.dtype)
        for grad in self.windows.elements(grad_input):
            grad += share
        return grad_input

    def config(self) -> dict[str, Any]:
        """Return the window's size and stride."""
        return {"pool_size": self.pool_size, "stride": self.stride}

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
        y: Array = pictures(self, x).mean(axis=(1, 2))
        self.save_for_backward(x.shape)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Share each channel's gradient evenly among its pixels: `dL/dx = dL/dy / (height * width)` for each."""
        (shape,) = self.saved_for_backward()
        share = grad_output / (shape[1] * shape[2])
        return np.broadcast_to(share[:, None, None, :], shape).copy()
