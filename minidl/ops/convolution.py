"""Convolution as products of windows: im2col, block by block of samples, so that a block stays in the cache.

Pictures are (batch, height, width, channels), a kernel (size, size, in_channels, out_channels) laid out as a matrix
(size * size * in_channels, out_channels).
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.channels import along, by_channel, pixel_rows
from minidl.ops.matmul import column_products, row_products, uses_stacks
from minidl.ops.parallel import in_blocks
from minidl.ops.sums import row_sums
from minidl.ops.windows import Windows


def convolve(x: Array, kernel: Array, bias: Array | None, windows: Windows) -> Array:
    """Return `X kernel + bias` with X the windows of `x` as rows, laid out as pictures.

    >>> convolve(np.ones((1, 2, 2, 1)), np.ones((4, 1)), None, Windows(2, 1)).tolist()
    [[[[4.0]]]]
    """
    channels = kernel.shape[1]
    z = empty((len(x), *windows.grid(x), channels), x.dtype)
    bias_row = None if bias is None else along(pixel_rows(z), bias)

    def convolve_block(block: slice) -> None:
        columns = windows.columns(windows.pad(x[block], 0.0))
        row_products(columns, kernel, out=z[block].reshape(-1, channels))
        if bias_row is not None:
            rows = pixel_rows(z[block])
            rows += bias_row

    in_blocks(convolve_block, len(x), z.size // channels * len(kernel), all_cores=uses_stacks(kernel.size))
    return z


def convolution_grads(x: Array, grad_output: Array, windows: Windows) -> tuple[Array, Array]:
    """Return the gradients of the kernel, `X.T g`, and of the bias, the sum of g's rows.

    >>> convolution_grads(np.ones((1, 2, 2, 1)), np.ones((1, 1, 1, 1)), Windows(2, 1))[0].ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    channels = grad_output.shape[3]
    kernel_rows = windows.size**2 * x.shape[3]

    def grads_of_block(block: slice) -> tuple[Array, Array]:
        g = grad_output[block]
        columns = windows.columns(windows.pad(x[block], 0.0))
        return column_products(columns, g.reshape(-1, channels)), by_channel(row_sums(pixel_rows(g)), channels)

    kernel_size, numbers = kernel_rows * channels, grad_output.size // channels * kernel_rows
    # Each block leaves a gradient of the kernel's size behind: together no more than X.
    at_most, all_cores = max(1, numbers // kernel_size), uses_stacks(kernel_size)
    blocks = in_blocks(grads_of_block, len(x), numbers, at_most=at_most, all_cores=all_cores)
    grad_bias: Array = reduce(np.add, [bias for _, bias in blocks])
    return reduce(np.add, [kernel for kernel, _ in blocks]), grad_bias.astype(grad_output.dtype, copy=False)


def convolution_input_grad(grad_output: Array, turned_kernel: Array, windows: Windows, shape: tuple[int, ...]) -> Array:
    """Return the convolution of `grad_output` with the kernel turned half round, as pictures of this shape.

    >>> convolution_input_grad(np.ones((1, 1, 1, 1)), np.ones((4, 1)), Windows(2, 1), (1, 2, 2, 1)).ravel().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    grad_input = empty(shape, grad_output.dtype)
    channels, dense_windows = shape[3], Windows(windows.size, 1)

    def convolve_block(block: slice) -> None:
        columns = dense_windows.columns(windows.spread(grad_output[block], *shape[1:3]))
        row_products(columns, turned_kernel, out=grad_input[block].reshape(-1, channels))

    numbers = grad_input.size // channels * len(turned_kernel)
    in_blocks(convolve_block, len(grad_output), numbers, all_cores=uses_stacks(turned_kernel.size))
    return grad_input
