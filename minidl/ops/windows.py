"""Windows: how the square windows of convolution and pooling slide over a batch of pictures."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty

COLUMN, ROW = 1, 2  # axes of (batch, height, width, channels): down a column, along a row


class Windows:
    """Square windows of `size` pixels a side, `stride` apart, over pictures with a border of padding.

    Formula: the window at (r, c) covers the rows `r * stride` to `r * stride + size - 1` of the padded picture and
    the columns alike; along a side of n pixels there are `(before + n + after - size) // stride + 1` of them.

    Arguments: `before` and `after` are the padding above and left, and below and right.

    >>> padded = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> Windows(2, stride=2).columns(padded).tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0], [8.0, 9.0, 12.0, 13.0], [10.0, 11.0, 14.0, 15.0]]
    """

    def __init__(self, size: int, stride: int, before: int = 0, after: int = 0) -> None:
        self.size = size
        self.stride = stride
        self.before = before
        self.after = after
        self.border = before + after

    def grid(self, x: Array) -> tuple[int, int]:
        """Return how many windows `x` (batch, height, width, channels) has from top to bottom and left to right.

        Raises: ValueError where not one window fits.
        """
        height, width = x.shape[1] + self.border, x.shape[2] + self.border
        if self.size > min(height, width):
            padded = f" ({height} x {width} with its padding)" if self.border else ""
            raise ValueError(f"expected pictures of at least {self.size} x {self.size}, received {x.shape}{padded}")
        return (height - self.size) // self.stride + 1, (width - self.size) // self.stride + 1

    def frame(self, x: Array) -> Array:
        """Return an array for `x` and its border, the numbers still arbitrary, or `x` itself if it needs none."""
        n, height, width, channels = x.shape
        return empty((n, height + self.border, width + self.border, channels), x.dtype) if self.border else x

    def pad(self, x: Array, value: float) -> Array:
        """Return `x` with its border, `x` itself if it needs none."""
        padded = self.frame(x)
        if padded is not x:
            padded.fill(value)
            self.crop(padded)[...] = x
        return padded

    def crop(self, padded: Array) -> Array:
        """Return the part of `padded` inside the border, without a copy."""
        bottom, right = padded.shape[1] - self.after, padded.shape[2] - self.after
        return padded[:, self.before : bottom, self.before : right]

    def columns(self, padded: Array) -> Array:
        """Return the windows as the rows of a matrix, pixel by pixel (`im2col`)."""
        rows, columns = ((side - self.size) // self.stride + 1 for side in padded.shape[1:3])
        padded = np.ascontiguousarray(padded)
        # The pixels of one row of a window are adjacent: copied as one item, they cost one step, not many.
        window_row = np.dtype((np.void, self.size * padded.shape[3] * padded.itemsize))
        sample, down, right, _ = padded.strides
        strides = sample, down * self.stride, right * self.stride, down
        windows: Array = np.ndarray((len(padded), rows, columns, self.size), window_row, padded, strides=strides)
        matrix = empty((*windows.shape, self.size * padded.shape[3]), padded.dtype)
        matrix.view(window_row)[..., 0] = windows
        return matrix.reshape(-1, self.size * matrix.shape[-1])

    def spread(self, grad_output: Array, height: int, width: int) -> Array:
        """Return the windows' gradients as the picture whose windows, at stride 1, give the gradient of each pixel.

        A window's gradient stands where the window ends, with zeros between and around. Windows that end in the
        border are left out, since no pixel needs them.
        """
        n, rows, columns, channels = grad_output.shape
        around = self.size - 1
        result = empty((n, height + around, width + around, channels), grad_output.dtype)
        result.fill(0)
        skipped = max(0, -((around - self.before) // self.stride))
        start = around - self.before + skipped * self.stride
        inside = result[:, start :: self.stride, start :: self.stride][:, : rows - skipped, : columns - skipped]
        inside[...] = grad_output[:, skipped:, skipped:][:, : inside.shape[1], : inside.shape[2]]
        return result

    def places(self, padded: Array, axis: int) -> list[Array]:
        """Return, for each place in a window along an axis, the pixels that stand there, as views."""
        last = padded.shape[axis] - self.size
        before = (slice(None),) * axis
        return [padded[(*before, slice(i, i + last + 1, self.stride))] for i in range(self.size)]

    def elements(self, padded: Array) -> list[Array]:
        """Return, for each place in a window, row by row, the pixels that stand there, as views.

        The first are the top left pixels of all windows, (batch, rows, columns, channels), the last the bottom right.
        """
        return [pixels for row in self.places(padded, COLUMN) for pixels in self.places(row, ROW)]
