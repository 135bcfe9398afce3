"""Conv2D: the convolution of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array, Seed
from minidl._underflow import underflow_to_zero
from minidl._validation import LARGEST_SIZE, as_generator, flag, float_dtype, is_natural, shown, size
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, grid, pictures
from minidl.module import Module
from minidl.ops.convolution import convolution_grads, convolution_input_grad, convolve
from minidl.ops.windows import Windows
from minidl.parameter import Parameter


class Conv2D(Module):
    """A convolution: one small Dense layer that looks at every window of the picture.

    Formula: `z[n, r, c] = W x[n, window(r, c)] + b`, the window's pixels laid out as one vector, so that with the
    windows of all pictures as rows of a matrix X (`im2col`) it is the product of Dense, `z = X W.T + b`. As in all
    frameworks the kernel is not turned round: mathematically this is a cross-correlation.

    Shapes: `x` (batch, height, width, in_channels), `weight` W (out_channels, kernel_size, kernel_size, in_channels),
    `bias` b (out_channels,), result (batch, rows, columns, out_channels) with
    `rows = (height + padding - kernel_size) // stride + 1` for the padding of both sides together, and columns alike.
    Floating input of another precision is cast to the layer's.

    Arguments: `kernel_size` is the side of the square window and `stride` the step from one to the next. `padding` is
    a number of zero pixels on each side, or `"valid"` for none, or `"same"` for `kernel_size - 1` in all, the odd one
    below and right, which gives `ceil(height / stride)` rows. The others are those of `Dense`, but `weight_init` is
    by default the one for the ReLU that usually follows.

    Raises: ValueError for sizes or a stride below 1 and an unknown padding, and for input that is not a floating
    (batch, height, width, in_channels) large enough for one window.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998); im2col from Chellapilla et
    al., High performance convolutional neural networks for document processing (2006).

    >>> layer = Conv2D(3, 16, kernel_size=3, padding="same", rng=0)
    >>> layer(np.ones((5, 64, 64, 3), np.float32)).shape
    (5, 64, 64, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = "valid",
        *,
        bias: bool = True,
        weight_init: str | Initializer = "he_normal",
        rng: Seed = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_channels = size(in_channels, "Conv2D in_channels")
        self.out_channels = size(out_channels, "Conv2D out_channels")
        self.kernel_size = size(kernel_size, "Conv2D kernel_size")
        self.stride = size(stride, "Conv2D stride")
        self.padding = int(padding) if is_natural(padding) else padding
        self.windows = Windows(self.kernel_size, self.stride, *self._border())
        dtype = float_dtype(dtype, "Conv2D dtype")
        shape = (self.out_channels, self.kernel_size, self.kernel_size, self.in_channels)
        self.weight = Parameter(initial_weight(weight_init, shape, as_generator(rng), dtype))
        self.bias = Parameter(np.zeros(self.out_channels, dtype)) if flag(bias, "Conv2D bias") else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return the convolution of `x` (batch, height, width, in_channels)."""
        x = pictures(self, x, self.in_channels, self.weight.data.dtype)
        rows, columns = grid(self, x, self.windows)
        self.save_for_backward(x, (len(x), rows, columns, self.out_channels))
        kernel = np.ascontiguousarray(self.weight.data.reshape(self.out_channels, -1).T)
        return convolve(x, kernel, None if self.bias is None else self.bias.data, self.windows)

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        `z = X W.T + b` is Dense's formula, so with `g = dL/dz`, one row for each window,

            dL/dW = g.T X          (the article's  dW = dZ A_prev.T)
            dL/db = sum of g's rows
            dL/dX = g W            (the article's  dA_prev = W.T dZ)

        A pixel stands in X once for each window it lies in: in the window that starts (i, j) above and left of it, at
        the place (i, j). So its gradient sums `g W[:, i, j]` over the windows that end in it and around it,

            dL/dx[r, c] = sum over i, j of g[r - i, c - j] W[:, i, j]

        which is a convolution again: of g, with the kernel turned half round. A stride puts zeros between g's pixels.
        """
        x = self._write_gradients(grad_output)
        turned = self.weight.data[:, ::-1, ::-1].transpose(1, 2, 0, 3).reshape(-1, self.in_channels)
        return convolution_input_grad(grad_output, turned, self.windows, x.shape)

    @underflow_to_zero
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone, for a first layer whose input's gradient nothing needs."""
        self._write_gradients(grad_output)

    def _write_gradients(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the input."""
        x, output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        grad_kernel, grad_bias = convolution_grads(x, grad_output, self.windows)
        self.weight.grad = np.ascontiguousarray(grad_kernel.T).reshape(self.weight.shape)
        if self.bias is not None:
            self.bias.grad = grad_bias
        kept: Array = x
        return kept

    def _border(self) -> tuple[int, int]:
        """Return the padding above and left, and below and right."""
        if is_natural(self.padding) and int(self.padding) <= LARGEST_SIZE:
            return int(self.padding), int(self.padding)
        if isinstance(self.padding, str) and self.padding in ("valid", "same"):
            all_around = self.kernel_size - 1 if self.padding == "same" else 0
            return all_around // 2, all_around - all_around // 2
        raise ValueError(
            f'Conv2D padding: expected "valid", "same" or a whole number from 0 to {LARGEST_SIZE}, received '
            f"{shown(self.padding)}"
        )

    def __repr__(self) -> str:
        size, stride, padding = self.kernel_size, self.stride, self.padding
        return f"Conv2D({self.in_channels} -> {self.out_channels}, {size} x {size}, {stride=}, {padding=})"
