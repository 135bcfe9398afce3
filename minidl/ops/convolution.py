"""Convolution as products of windows: im2col, block by block of samples, so that few windows are in memory at once.

Pictures are (batch, height, width, channels), a weight (out_channels, height, width, in_channels // groups). Products
take it as one kernel for each group, a matrix (height * width * channels, channels of the result).
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning
from minidl.ops.buffers import empty
from minidl.ops.channels import along, by_channel, pixel_rows
from minidl.ops.depthwise import depthwise_convolve, depthwise_input_grad, depthwise_weight_grad, is_depthwise
from minidl.ops.matmul import column_products, row_products, uses_stacks
from minidl.ops.parallel import in_blocks
from minidl.ops.sums import row_sums
from minidl.ops.windows import Windows


def convolve(x: Array, weight: Array, bias: Array | None, windows: Windows) -> Array:
    """Return `X W.T + bias` with X the windows of `x` as rows, laid out as pictures, group by group of channels.

    >>> convolve(np.ones((1, 2, 2, 1)), np.ones((1, 2, 2, 1)), None, Windows((2, 2))).tolist()
    [[[[4.0]]]]
    """
    channels, groups = len(weight), x.shape[3] // weight.shape[3]
    kernels = np.ascontiguousarray(weight.reshape(groups, channels // groups, -1).transpose(0, 2, 1))
    z = empty((len(x), *windows.grid(x), channels), x.dtype)
    bias_row = None if bias is None else along(pixel_rows(z), bias)

    def convolve_block(block: slice) -> None:
        padded = windows.pad(x[block], 0.0)
        if is_depthwise(weight.shape, groups):
            depthwise_convolve(padded, weight, windows, out=z[block])
        else:
            _multiply(windows.columns(padded, groups), kernels, out=z[block])
        if bias_row is not None:
            rows = pixel_rows(z[block])
            rows += bias_row

    numbers = z.size // channels * windows.area * x.shape[3]
    in_blocks(convolve_block, len(x), numbers, block_numbers=_block(), all_cores=uses_stacks(kernels[0].size))
    return z


def convolution_grads(x: Array, grad_output: Array, windows: Windows, groups: int = 1) -> tuple[Array, Array]:
    """Return the gradients of the weight, `g.T X` in each group, and of the bias, the sum of g's rows.

    >>> convolution_grads(np.ones((1, 2, 2, 1)), np.ones((1, 1, 1, 1)), Windows((2, 2)))[0].ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    channels, windows_size = grad_output.shape[3], windows.area * x.shape[3]
    shape = (channels, *windows.size, x.shape[3] // groups)

    def grads_of_block(block: slice) -> tuple[Array, Array]:
        g, padded = grad_output[block], windows.pad(x[block], 0.0)
        grad_bias = by_channel(row_sums(pixel_rows(g)), channels)
        if is_depthwise(shape, groups):
            return depthwise_weight_grad(padded, g, windows), grad_bias
        columns, rows = windows.columns(padded, groups), _by_group(g, groups)
        kernels = [column_products(columns[i], rows[i]) for i in range(groups)]
        return kernels[0][None] if groups == 1 else np.stack(kernels), grad_bias

    kernel_size, numbers = windows_size // groups * channels, grad_output.size // channels * windows_size
    # Each block leaves a gradient of the weight's size behind: together no more than X.
    at_most, all_cores = max(1, numbers // kernel_size), uses_stacks(kernel_size // groups)
    blocks = in_blocks(grads_of_block, len(x), numbers, block_numbers=_block(), at_most=at_most, all_cores=all_cores)
    grad_kernels, grad_bias = (reduce(np.add, grads).astype(x.dtype, copy=False) for grads in zip(*blocks, strict=True))
    return np.ascontiguousarray(grad_kernels.transpose(0, 2, 1)).reshape(shape), grad_bias


def convolution_input_grad(grad_output: Array, weight: Array, windows: Windows, shape: tuple[int, ...]) -> Array:
    """Return the convolution of `grad_output` with the kernels turned half round, as pictures of this shape.

    >>> weight, windows = np.ones((1, 2, 2, 1)), Windows((2, 2))
    >>> convolution_input_grad(np.ones((1, 1, 1, 1)), weight, windows, (1, 2, 2, 1)).ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    grad_input = empty(shape, grad_output.dtype)
    channels, groups = len(weight), shape[3] // weight.shape[3]
    turned = weight[:, ::-1, ::-1].reshape(groups, channels // groups, *weight.shape[1:]).transpose(0, 2, 3, 1, 4)
    kernels = turned.reshape(groups, -1, weight.shape[3])

    def convolve_block(block: slice) -> None:
        if is_depthwise(weight.shape, groups):
            depthwise_input_grad(grad_output[block], weight, windows, out=grad_input[block])
            return
        spread = windows.spread(grad_output[block], *shape[1:3])
        _multiply(windows.at_every_pixel.columns(spread, groups), kernels, out=grad_input[block])

    numbers = grad_input.size // shape[3] * windows.area * channels
    in_blocks(convolve_block, len(grad_output), numbers, block_numbers=_block(), all_cores=uses_stacks(kernels[0].size))
    return grad_input


def _block() -> int:
    """Return how many numbers of windows make a block."""
    return tuning.TUNING.window_blocks * tuning.TUNING.cache_block


def _multiply(columns: Array, kernels: Array, out: Array) -> None:
    """Write the product of each group's windows and kernel into its channels of `out`."""
    for i, channels in enumerate(_by_group(out, len(kernels))):
        row_products(columns[i], kernels[i], out=channels)


def _by_group(pictures: Array, groups: int) -> list[Array]:
    """Return the channels of each group as (pixels, channels)."""
    channels = pictures.shape[3]
    pixels, width = pictures.reshape(-1, channels), channels // groups
    return [pixels[:, start : start + width] for start in range(0, channels, width)] if groups > 1 else [pixels]
