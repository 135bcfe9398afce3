"""Windows: how the square windows of convolution and pooling slide over a batch of pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl._typing import Array
from minidl._validation import LayerInputError
from minidl.module import Module


class Windows:
    """Square windows of `size` pixels a side, `stride` apart, over pictures with a border of padding.

    Formula: the window at (r, c) covers the rows `r * stride` to `r * stride + size - 1` of the padded picture and
    the columns alike; along a side of n pixels there are `(before + n + after - size) // stride + 1` of them.

    Arguments: `before` and `after` are the padding above and left, and below and right.

    >>> padded = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> [view.ravel().tolist() for view in Windows(2, stride=2).elements(padded)]
    [[0.0, 2.0, 8.0, 10.0], [1.0, 3.0, 9.0, 11.0], [4.0, 6.0, 12.0, 14.0], [5.0, 7.0, 13.0, 15.0]]
    """

    def __init__(self, size: int, stride: int, before: int = 0, after: int = 0) -> None:
        self.size = size
        self.stride = stride
        self.before = before
        self.after = after

    def pad(self, layer: Module, x: Array, value: float) -> Array:
        """Return `x` (batch, height, width, channels) with its border, `x` itself if that has no width.

        Raises: LayerInputError in the name of `layer` where not one window fits.
        """
        border = self.before + self.after
        height, width = x.shape[1] + border, x.shape[2] + border
        if self.size > min(height, width):
            padded = f" ({height} x {width} with its padding)" if border else ""
            raise LayerInputError(
                layer, f"expected pictures of at least {self.size} x {self.size}, received {x.shape}{padded}"
            )
        if not border:
            return x
        sides = (self.before, self.after)
        return np.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=value)

    def grid(self, padded: Array) -> tuple[int, int]:
        """Return how many windows there are from top to bottom and from left to right."""
        return (padded.shape[1] - self.size) // self.stride + 1, (padded.shape[2] - self.size) // self.stride + 1

    def crop(self, padded: Array) -> Array:
        """Return the part of `padded` inside the border, without a copy."""
        bottom, right = padded.shape[1] - self.after, padded.shape[2] - self.after
        return padded[:, self.before : bottom, self.before : right]

    def elements(self, padded: Array) -> Iterator[Array]:
        """Yield, for each place in a window, row by row, the pixels that stand there: (batch, rows, columns, channels).

        They are views: the first of the top left pixel of every window, the last of the bottom right one.
        """
        last_row, last_column = padded.shape[1] - self.size, padded.shape[2] - self.size
        for i in range(self.size):
            for j in range(self.size):
                yield padded[:, i : i + last_row + 1 : self.stride, j : j + last_column + 1 : self.stride]
