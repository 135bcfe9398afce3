"""Sums and values for each channel, by whole rows of pixels, a block of rows at a time.

NumPy's loops run along the last axis: a row of pixels is long enough for them to be fast, a few channels are not.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.parallel import in_blocks
from minidl.ops.sums import product_sums, row_sums

NEARLY_CONSTANT = 1e-2  # a deviation, relative to the mean, that the mean's rounding changes by up to a thousandth


def pixel_rows(x: Array) -> Array:
    """Return (batch, ..., width, channels) as (batch * ..., width * channels), and (batch, features) as it is.

    >>> pixel_rows(np.zeros((2, 3, 4, 5))).shape
    (6, 20)
    """
    return x.reshape(-1, x.shape[-2] * x.shape[-1]) if x.ndim > 2 else x


def along(rows: Array, values: Array) -> Array:
    """Return `values`, one for each channel, repeated for every pixel of a row.

    >>> along(np.zeros((6, 4)), np.array([1, 2])).tolist()
    [1, 2, 1, 2]
    """
    repetitions = rows.shape[1] // len(values)
    return values if repetitions == 1 else np.tile(values, repetitions)


def by_channel(sums: Array, channels: int) -> Array:
    """Return the sum of each channel in float64, from the sums of the columns of rows of pixels.

    >>> by_channel(np.array([1, 2, 1, 2]), 2).tolist()
    [2.0, 4.0]
    """
    if sums.size == channels:
        return sums.astype(np.float64)
    total: Array = sums.reshape(-1, channels).sum(axis=0, dtype=np.float64)
    return total


def channel_statistics(x: Array) -> tuple[Array, Array]:
    """Return mean and variance of each channel, from those of each block of rows while it is in the cache.

    With `d` the distance of a block's mean from the mean of all, the sum of squared distances from the latter is
    that from the former and `count * d^2` more. Where numbers differ little, the rounding of their mean counts: with
    `e` the mean of their distances from it, the mean is `e` more, and the sum of squares `count * e^2` less.

    >>> channel_statistics(np.array([[1.0], [3.0]]))
    (array([2.]), array([1.]))
    """
    rows, channels = pixel_rows(x), x.shape[-1]

    def statistics(block: slice) -> tuple[int, Array, Array]:
        part = rows[block]
        count = part.size // channels
        mean = (by_channel(row_sums(part), channels) / count).astype(part.dtype)
        centred = np.subtract(part, along(part, mean), out=empty(part.shape, part.dtype))
        squares = by_channel(product_sums(centred, centred), channels)
        if (squares < count * (NEARLY_CONSTANT * mean) ** 2).any():
            error = by_channel(row_sums(centred), channels) / count
            return count, mean + error, squares - count * error**2
        return count, mean, squares

    with np.errstate(over="ignore", invalid="ignore"):  # what overflows comes out as infinity or NaN
        blocks = in_blocks(statistics, len(rows), rows.size)
        counts, means, squares = (np.array(values) for values in zip(*blocks, strict=True))
        weights = counts[:, None] / counts.sum()
        mean = (weights * means).sum(axis=0)
        variance = squares.sum(axis=0) / counts.sum() + (weights * (means - mean) ** 2).sum(axis=0)
        return mean.astype(x.dtype), np.maximum(variance, 0).astype(x.dtype)


def normalize_channels(x: Array, mean: Array, scale: Array, shift: Array | None) -> Array:
    """Return `(x - mean) * scale + shift`, each of the three one value a channel, None for no shift.

    >>> normalize_channels(np.array([[1.0], [3.0]]), np.array([2.0]), np.array([5.0]), np.array([1.0])).ravel().tolist()
    [-4.0, 6.0]
    """
    y = empty(x.shape, x.dtype)
    rows, y_rows = pixel_rows(x), pixel_rows(y)
    mean_row, scale_row = along(rows, mean), along(rows, scale)
    shift_row = None if shift is None else along(rows, shift)

    def scale_block(block: slice) -> None:
        out = np.subtract(rows[block], mean_row, out=y_rows[block])
        out *= scale_row
        if shift_row is not None:
            out += shift_row

    in_blocks(scale_block, len(rows), rows.size)
    return y


def channel_sums(x: Array, mean: Array, grad_output: Array) -> tuple[Array, Array]:
    """Return for each channel the sums of `g * (x - mean)` and of `g`, with g the gradient of the output.

    >>> channel_sums(np.array([[1.0], [3.0]]), np.array([2.0]), np.array([[4.0], [5.0]]))
    (array([1.]), array([9.]))
    """
    rows, g, channels = pixel_rows(x), pixel_rows(grad_output), x.shape[-1]
    mean_row = along(rows, mean)

    def sums(block: slice) -> Array:
        centred = np.subtract(rows[block], mean_row, out=empty(rows[block].shape, rows.dtype))
        of_both = product_sums(g[block], centred), row_sums(g[block])
        return np.stack([by_channel(of_one, channels) for of_one in of_both])

    of_products, of_g = reduce(np.add, in_blocks(sums, len(rows), rows.size)).astype(x.dtype)
    return of_products, of_g


def batch_norm_input_grad(
    x: Array, mean: Array, slope: Array, grad_output: Array, mean_grad: Array, scale: Array
) -> Array:
    """Return `(g - mean_grad - (x - mean) * slope) * scale`, each but x and g one value a channel.

    >>> one, two = np.array([1.0]), np.array([[2.0]])
    >>> batch_norm_input_grad(two, one, one, 5 * two, one, one).tolist()
    [[8.0]]
    """
    grad_input = empty(x.shape, grad_output.dtype)
    rows, g, result = pixel_rows(x), pixel_rows(grad_output), pixel_rows(grad_input)
    mean_row, slope_row, mean_grad_row, scale_row = (along(rows, v) for v in (mean, slope, mean_grad, scale))

    def differentiate(block: slice) -> None:
        out = np.subtract(mean_row, rows[block], out=result[block])
        out *= slope_row
        out += g[block]
        out -= mean_grad_row
        out *= scale_row

    in_blocks(differentiate, len(rows), rows.size)
    return grad_input
