"""Depthwise convolution, one kernel for each channel: a sum over the places of a window, without products of matrices.

A window of one channel is too short for a product. Whole rows of pixels, times the weights of one place in the window,
take a tenth of the time that their windows take to be copied.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.channels import by_channel
from minidl.ops.sums import row_sums
from minidl.ops.windows import Windows


def is_depthwise(weight_shape: tuple[int, ...], groups: int) -> bool:
    """Return whether each group is one channel with one kernel.

    >>> is_depthwise((4, 3, 3, 1), groups=4), is_depthwise((8, 3, 3, 1), groups=4)
    (True, False)
    """
    return groups > 1 and weight_shape[0] == groups and weight_shape[3] == 1


def depthwise_convolve(padded: Array, weight: Array, windows: Windows, out: Array) -> None:
    """Write the sum over all places of a window of `pixels * weights` into `out`.

    >>> depthwise_convolve(np.ones((1, 2, 2, 3)), np.ones((3, 2, 2, 1)), Windows((2, 2)), out := np.empty((1, 1, 1, 3)))
    >>> out.ravel().tolist()
    [4.0, 4.0, 4.0]
    """
    places = _places(padded, windows)
    z = out.reshape(places[0].shape)
    factors = _factors(weight, z)
    np.multiply(places[0], factors[0], out=z)
    product = empty(z.shape, z.dtype)
    for pixels, factor in zip(places[1:], factors[1:], strict=True):
        z += np.multiply(pixels, factor, out=product)


def depthwise_weight_grad(padded: Array, grad_output: Array, windows: Windows) -> Array:
    """Return the gradient of each channel's kernel (channels, area, 1) in float64: sums of `pixels * g`.

    >>> depthwise_weight_grad(np.ones((1, 2, 2, 3)), np.ones((1, 1, 1, 3)), Windows((2, 2))).shape
    (3, 4, 1)
    """
    channels, places = padded.shape[3], _places(padded, windows)
    g = grad_output.reshape(places[0].shape)
    product = empty(g.shape, g.dtype)
    rows = product.reshape(-1, grad_output.shape[2] * channels)
    sums = []
    for pixels in places:
        np.multiply(pixels, g, out=product)
        sums.append(by_channel(row_sums(rows), channels))
    return np.stack(sums, axis=1)[..., None]


def depthwise_input_grad(grad_output: Array, weight: Array, windows: Windows, out: Array) -> None:
    """Write the gradient of the pictures into `out`: each window adds `g * weights` to its pixels.

    >>> out = np.empty((1, 2, 2, 2))
    >>> depthwise_input_grad(np.ones((1, 1, 1, 2)), np.ones((2, 2, 2, 1)), Windows((2, 2)), out)
    >>> out.ravel().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    grad_padded = windows.frame(out)
    grad_padded.fill(0)
    places = _places(grad_padded, windows)
    g = grad_output.reshape(places[0].shape)
    product = empty(g.shape, g.dtype)
    for pixels, factor in zip(places, _factors(weight, g), strict=True):
        pixels += np.multiply(g, factor, out=product)
    if grad_padded is not out:
        out[...] = windows.crop(grad_padded)


def _places(padded: Array, windows: Windows) -> list[Array]:
    """Return for each place in a window the pixels that stand there, as views of whole rows where these have no gaps.

    Rows are (batch, rows, columns * channels), pixels with gaps between them (batch, rows, columns, channels).
    """
    if windows.stride[1] > 1:
        return windows.elements(padded)
    n, height, width, channels = padded.shape
    down, right = windows.dilation
    numbers = np.ascontiguousarray(padded).reshape(n, height, width * channels, 1)
    in_numbers = replace(windows, dilation=(down, right * channels))
    return [place[..., 0] for place in in_numbers.elements(numbers)]


def _factors(weight: Array, z: Array) -> Array:
    """Return the weights of each place in a window, repeated along the last axis of `z` where that is a whole row."""
    by_place = weight.reshape(len(weight), -1).T
    return np.tile(by_place, z.shape[-1] // len(weight))
