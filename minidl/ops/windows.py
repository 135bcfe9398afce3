"""Windows: how the windows of convolution and pooling slide over a batch of pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty

COLUMN, ROW = 1, 2  # axes of (batch, height, width, channels): down a column, along a row

Pair = tuple[int, int]
"""One number for the vertical and one for the horizontal direction."""
Borders = tuple[Pair, Pair]
"""The padding (top, bottom) and (left, right)."""


@dataclass(frozen=True)
class Windows:
    """Windows of `size` pixels, `dilation` apart, that step by `stride` over pictures with a border of padding.

    Formula: the window at (r, c) covers the rows `r * stride + i * dilation` of the padded picture for i from 0 to
    `size - 1`, and the columns alike, in each direction with its own numbers. From its first pixel to its last it
    spans `extent = dilation * (size - 1) + 1` pixels; along a side of n pixels, padded by `before` and `after`, there
    are `(before + n + after - extent) // stride + 1` windows.

    >>> padded = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> Windows((2, 2), stride=(2, 2)).columns(padded)[0].tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0], [8.0, 9.0, 12.0, 13.0], [10.0, 11.0, 14.0, 15.0]]
    """

    size: Pair
    stride: Pair = (1, 1)
    padding: Borders = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    @cached_property
    def area(self) -> int:
        """How many pixels a window has."""
        return self.size[0] * self.size[1]

    @cached_property
    def extent(self) -> Pair:
        """How many pixels a window spans downwards and to the right."""
        (down, right), (rows, columns) = self.dilation, self.size
        return down * (rows - 1) + 1, right * (columns - 1) + 1

    @cached_property
    def border(self) -> Pair:
        """The padding above and below together, and left and right."""
        (top, bottom), (left, right) = self.padding
        return top + bottom, left + right

    @cached_property
    def at_every_pixel(self) -> Windows:
        """The same windows at a stride of 1, without a border."""
        return Windows(self.size, dilation=self.dilation)

    def same_upper(self, height: int, width: int) -> Windows:
        """Return the same windows with the padding that gives `ceil(side / stride)` of them along each side.

        What is missing is shared between both sides; an odd pixel goes below and right.

        >>> Windows((3, 3), stride=(2, 2)).same_upper(4, 5).padding
        ((0, 1), (1, 1))
        """
        missing = [
            max(0, (-(-side // step) - 1) * step + extent - side)
            for side, step, extent in zip((height, width), self.stride, self.extent, strict=True)
        ]
        return replace(self, padding=cast(Borders, tuple((some // 2, some - some // 2) for some in missing)))

    def grid(self, x: Array) -> Pair:
        """Return how many windows `x` (batch, height, width, channels) has from top to bottom and left to right."""
        (down, right), (rows, columns) = self.border, self.extent
        height, width = x.shape[1] + down, x.shape[2] + right
        return (height - rows) // self.stride[0] + 1, (width - columns) // self.stride[1] + 1

    def frame(self, x: Array) -> Array:
        """Return an array for `x` and its border, the numbers still arbitrary, or `x` itself if it needs none."""
        down, right = self.border
        n, height, width, channels = x.shape
        return empty((n, height + down, width + right, channels), x.dtype) if down or right else x

    def pad(self, x: Array, value: float) -> Array:
        """Return `x` with its border, `x` itself if it needs none."""
        padded = self.frame(x)
        if padded is not x:
            padded.fill(value)
            self.crop(padded)[...] = x
        return padded

    def crop(self, padded: Array) -> Array:
        """Return the part of `padded` inside the border, without a copy."""
        (top, bottom), (left, right) = self.padding
        return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]

    def columns(self, padded: Array, groups: int = 1) -> Array:
        """Return the windows as the rows of a matrix, pixel by pixel (`im2col`), for each group of channels.

        The result is (groups, windows, area * channels of a group).
        """
        padded = np.ascontiguousarray(padded)
        n, height, width, channels = padded.shape
        number = padded.itemsize  # not from `strides`, which are any number along an axis of length 1
        right = channels * number
        down = width * right
        sample = height * down
        (size_down, size_right), (stride_down, stride_right), (dilation_down, dilation_right), extent = (
            self.size, self.stride, self.dilation, self.extent
        )  # fmt: skip
        rows, columns = (height - extent[0]) // stride_down + 1, (width - extent[1]) // stride_right + 1
        shape: tuple[int, ...] = n, rows, columns, size_down
        strides: tuple[int, ...] = sample, down * stride_down, right * stride_right, down * dilation_down
        # Adjacent numbers of a window, a pixel's or a row of pixels', are copied as one item: one step, not many.
        if groups == 1 and dilation_right == 1:
            adjacent = channels * size_right
        else:
            adjacent = channels // groups
            shape = groups, *shape, size_right
            strides = adjacent * number, *strides, right * dilation_right
        item = np.dtype((np.void, adjacent * number))
        windows: Array = np.ndarray(shape, item, padded, strides=strides)
        matrix = empty((*shape, adjacent), padded.dtype)
        matrix.view(item)[..., 0] = windows
        return matrix.reshape(groups, n * rows * columns, -1)

    def spread(self, grad_output: Array, height: int, width: int) -> Array:
        """Return the windows' gradients as the picture whose windows, at stride 1, give the gradient of each pixel.

        A window's gradient stands where the window ends, with zeros between and around. Windows that end in the
        border are left out, since no pixel needs them.
        """
        n, rows, columns, channels = grad_output.shape
        (extent_down, extent_right), (stride_down, stride_right) = self.extent, self.stride
        result = empty((n, height + extent_down - 1, width + extent_right - 1, channels), grad_output.dtype)
        result.fill(0)
        (above, top), (before, left) = self._first_ends
        inside = result[:, top::stride_down, left::stride_right][:, : max(0, rows - above), : max(0, columns - before)]
        inside[...] = grad_output[:, above:, before:][:, : inside.shape[1], : inside.shape[2]]
        return result

    @cached_property
    def _first_ends(self) -> tuple[Pair, Pair]:
        """In each direction how many windows end in the border before the picture, and where the next one ends."""
        ends = [extent - 1 - before for extent, (before, _) in zip(self.extent, self.padding, strict=True)]
        skipped = [max(0, -(end // stride)) for end, stride in zip(ends, self.stride, strict=True)]
        (above, left), (down, right) = skipped, self.stride
        return (above, ends[0] + above * down), (left, ends[1] + left * right)

    def places(self, padded: Array, axis: int) -> list[Array]:
        """Return, for each place in a window along an axis, the pixels that stand there, as views."""
        i = axis - 1
        last = padded.shape[axis] - self.extent[i]
        before = (slice(None),) * axis
        starts = range(0, self.extent[i], self.dilation[i])
        return [padded[(*before, slice(start, start + last + 1, self.stride[i]))] for start in starts]

    def elements(self, padded: Array) -> list[Array]:
        """Return, for each place in a window, row by row, the pixels that stand there, as views.

        The first are the top left pixels of all windows, (batch, rows, columns, channels), the last the bottom right.
        """
        return [pixels for row in self.places(padded, COLUMN) for pixels in self.places(row, ROW)]
