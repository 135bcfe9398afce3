"""Maxima of windows, and the way back: along each row of a window, then along the column of the rows' maxima."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.parallel import in_blocks
from minidl.ops.windows import COLUMN, ROW, Windows

Winners = tuple[Array, Array]
"""Where a pixel was larger than all before it, along the rows of the windows and along the column of their maxima."""


def window_maxima(x: Array, windows: Windows, *, with_winners: bool) -> tuple[Array, Winners | None]:
    """Return the maximum of each window and, if that is wanted, what `winners_grad` needs to find it again.

    >>> window_maxima(np.arange(4.0).reshape(1, 2, 2, 1), Windows(2, 2), with_winners=False)[0].tolist()
    [[[[3.0]]]]
    """
    rows, columns = windows.grid(x)
    n, height, _, channels = x.shape
    height += windows.border
    y = empty((n, rows, columns, channels), x.dtype)
    boolean, others = np.dtype(np.bool_), windows.size - 1
    row_wins = empty((n, others, height, columns, channels), boolean) if with_winners else None
    wins = empty((n, others, rows, columns, channels), boolean) if with_winners else None

    def pool(block: slice) -> None:
        padded = windows.pad(x[block], -np.inf)
        maxima = empty((len(padded), height, columns, channels), x.dtype)
        _maximum(windows.places(padded, ROW), maxima, None if row_wins is None else row_wins[block])
        _maximum(windows.places(maxima, COLUMN), y[block], None if wins is None else wins[block])

    in_blocks(pool, n, x.size)
    return y, None if row_wins is None or wins is None else (row_wins, wins)


def winners_grad(grad_output: Array, winners: Winners, windows: Windows, shape: tuple[int, ...]) -> Array:
    """Return the gradient of pictures of this shape: each window's goes to its maximum, the first one of several.

    >>> x = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> _, winners = window_maxima(x, Windows(2, 2), with_winners=True)
    >>> winners_grad(np.ones((1, 1, 1, 1)), winners, Windows(2, 2), x.shape).ravel().tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    row_wins, wins = winners
    grad_input = empty(shape, grad_output.dtype)

    def backward(block: slice) -> None:
        grad_maxima = empty((len(wins[block]), *row_wins.shape[2:]), grad_output.dtype)
        _maximum_grad(grad_output[block], wins[block], windows, COLUMN, grad_maxima)
        grad_padded = windows.frame(grad_input[block])
        _maximum_grad(grad_maxima, row_wins[block], windows, ROW, grad_padded)
        if windows.border:
            grad_input[block] = windows.crop(grad_padded)

    in_blocks(backward, len(wins), grad_input.size)
    return grad_input


def _maximum(places: Sequence[Array], y: Array, wins: Array | None) -> None:
    """Write the largest of the pixels at the places of each window into `y`.

    `wins[:, i]`, if it is wanted, says where the pixel at place i + 1 was larger than all before it.
    """
    y[...] = places[0]
    for i, pixel in enumerate(places[1:]):
        if wins is not None:
            np.greater(pixel, y, out=wins[:, i])
        np.maximum(pixel, y, out=y)


def _maximum_grad(grad_y: Array, wins: Array, windows: Windows, axis: int, grad_x: Array) -> None:
    """Write into `grad_x` the gradient of `_maximum` along one axis: the last place that won takes it."""
    overlap = windows.stride < windows.size
    if windows.stride != windows.size or grad_x.shape[axis] % windows.size:  # else all of it is written below
        grad_x.fill(0)
    first, *others = windows.places(grad_x, axis)
    rest = grad_y
    for i, pixel in reversed(list(enumerate(others))):
        share = np.multiply(rest, wins[:, i], out=empty(rest.shape, rest.dtype))
        _add(pixel, share, overlap)
        rest = np.subtract(rest, share, out=share)
    _add(first, rest, overlap)


def _add(pixel: Array, share: Array, overlap: bool) -> None:
    """Add a share to the gradient of a pixel, or just write it, if windows do not overlap."""
    if overlap:
        pixel += share
    else:
        pixel[...] = share
