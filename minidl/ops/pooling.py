"""Maxima and means of windows, and the way back: along each row of a window, then along the column of the rows'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.parallel import in_blocks
from minidl.ops.sums import sum_of
from minidl.ops.windows import COLUMN, ROW, Windows

Winners = tuple[Array, Array]
"""Where a pixel was larger than all before it, along the rows of the windows and along the column of their maxima."""


def window_maxima(x: Array, windows: Windows, *, with_winners: bool) -> tuple[Array, Winners | None]:
    """Return the maximum of each window and, if that is wanted, what `winners_grad` needs to find it again.

    >>> window_maxima(np.arange(4.0).reshape(1, 2, 2, 1), Windows((2, 2)), with_winners=False)[0].tolist()
    [[[[3.0]]]]
    """
    rows, columns = windows.grid(x)
    n, height, _, channels = x.shape
    height += windows.border[0]
    y = empty((n, rows, columns, channels), x.dtype)
    boolean, (down, right) = np.dtype(np.bool_), windows.size
    row_wins = empty((n, right - 1, height, columns, channels), boolean) if with_winners else None
    wins = empty((n, down - 1, rows, columns, channels), boolean) if with_winners else None

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
    >>> _, winners = window_maxima(x, Windows((2, 2)), with_winners=True)
    >>> winners_grad(np.ones((1, 1, 1, 1)), winners, Windows((2, 2)), x.shape).ravel().tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    row_wins, wins = winners
    grad_input = empty(shape, grad_output.dtype)

    def backward(block: slice) -> None:
        grad_maxima = empty((len(wins[block]), *row_wins.shape[2:]), grad_output.dtype)
        _maximum_grad(grad_output[block], wins[block], windows, COLUMN, grad_maxima)
        grad_padded = windows.frame(grad_input[block])
        _maximum_grad(grad_maxima, row_wins[block], windows, ROW, grad_padded)
        if any(windows.border):
            grad_input[block] = windows.crop(grad_padded)

    in_blocks(backward, len(wins), grad_input.size)
    return grad_input


def window_means(x: Array, windows: Windows, *, count_padding: bool) -> Array:
    """Return the mean of each window, its pixels of padding counted as zeros or left out.

    >>> window_means(np.arange(4.0).reshape(1, 2, 2, 1), Windows((2, 2)), count_padding=True).tolist()
    [[[[1.5]]]]
    """
    count = _counts(x.shape, windows, count_padding).astype(x.dtype)
    try:
        with np.errstate(over="raise"):
            means: Array = _window_sums(x, windows) / count
    except FloatingPointError:  # in the sums, which are larger than the means
        smaller = x.dtype.type(0.5 ** windows.area.bit_length())  # a power of 2, which rounds nothing
        means = _window_sums(x * smaller, windows) / count / smaller
    return means


def means_grad(grad_output: Array, windows: Windows, shape: tuple[int, ...], *, count_padding: bool) -> Array:
    """Return the gradient of pictures of this shape: each window's is shared evenly among the pixels it is the mean of.

    >>> means_grad(np.ones((1, 1, 1, 1)), Windows((2, 2)), (1, 2, 2, 1), count_padding=True).ravel().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    share = grad_output / _counts(shape, windows, count_padding).astype(grad_output.dtype)
    grad_padded = windows.frame(empty(shape, share.dtype))
    grad_padded.fill(0)
    for grad in windows.elements(grad_padded):
        grad += share
    return windows.crop(grad_padded)


def _counts(shape: tuple[int, ...], windows: Windows, count_padding: bool) -> Array:
    """Return how many pixels the mean of each window is of, (rows, columns, 1), or one number for all windows."""
    if count_padding or not any(windows.border):
        return np.array(windows.area)
    counts: Array = _window_sums(np.ones((1, *shape[1:3], 1), np.int64), windows)[0]
    return counts


def _window_sums(x: Array, windows: Windows) -> Array:
    rows = sum_of(windows.places(windows.pad(x, 0), ROW))
    return sum_of(windows.places(rows, COLUMN))


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
    stride, size = windows.stride[axis - 1], windows.size[axis - 1]
    overlap = stride < size
    if stride != size or grad_x.shape[axis] % size:  # else all of it is written below
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
