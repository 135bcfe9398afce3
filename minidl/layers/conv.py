"""Conv2D: the convolution of pictures."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._threads import in_blocks
from minidl._typing import Array, Seed
from minidl._validation import as_generator, float_dtype, is_natural, positive_int
from minidl.initializers import Initializer, resolve
from minidl.layers._channels import along, by_channel, pixel_rows
from minidl.layers._checks import pictures
from minidl.layers._products import column_products, row_products, stacks_pay
from minidl.layers.windows import Windows
from minidl.module import Module
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
        self.in_channels = positive_int(in_channels, "Conv2D in_channels")
        self.out_channels = positive_int(out_channels, "Conv2D out_channels")
        self.kernel_size = positive_int(kernel_size, "Conv2D kernel_size")
        self.stride = positive_int(stride, "Conv2D stride")
        self.padding = int(padding) if is_natural(padding) else padding
        self.windows = Windows(self.kernel_size, self.stride, *self._border())
        self.turned = Windows(self.kernel_size, 1)
        shape = (self.out_channels, self.kernel_size, self.kernel_size, self.in_channels)
        weight = np.array(resolve(weight_init)(shape, as_generator(rng)), dtype=float_dtype(dtype))
        if weight.shape != shape:
            raise ValueError(f"{self!r}: expected weight_init to return shape {shape}, received {weight.shape}")
        self.weight = Parameter(weight)
        self.bias = Parameter(np.zeros(self.out_channels, weight.dtype)) if bias else None

    def forward(self, x: Array) -> Array:
        """Return the convolution of `x` (batch, height, width, in_channels)."""
        x = pictures(self, x, self.in_channels, self.weight.data.dtype)
        z = self.new_array((len(x), *self.windows.grid(self, x), self.out_channels), x.dtype)
        self.save_for_backward(x)
        kernel = np.ascontiguousarray(self._kernel().T)
        bias = None if self.bias is None else along(pixel_rows(z), self.bias.data)

        def convolve(block: slice) -> None:
            row_products(self._im2col(x[block]), kernel, out=z[block].reshape(-1, self.out_channels))
            if bias is not None:
                rows = pixel_rows(z[block])
                rows += bias

        in_blocks(convolve, len(x), self._size_of_im2col(z), all_cores=stacks_pay(kernel))
        return z

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
        (x,) = self.saved_for_backward()
        self._write_gradients(x, grad_output)
        grad_input = self.new_array(x.shape, grad_output.dtype)
        turned = self.weight.data[:, ::-1, ::-1].transpose(1, 2, 0, 3).reshape(-1, self.in_channels)

        def convolve(block: slice) -> None:
            spread = self.windows.spread(self, grad_output[block], *x.shape[1:3])
            columns = self.turned.columns(self, spread)
            row_products(columns, turned, out=grad_input[block].reshape(-1, self.in_channels))

        in_blocks(convolve, len(x), grad_input.size // self.in_channels * len(turned), all_cores=stacks_pay(turned))
        return grad_input

    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias without the products for the input's."""
        (x,) = self.saved_for_backward()
        self._write_gradients(x, grad_output)

    def _write_gradients(self, x: Array, grad_output: Array) -> None:
        def gradients(block: slice) -> tuple[Array, Array]:
            g = grad_output[block]
            grad_kernel = column_products(self, self._im2col(x[block]), g.reshape(-1, self.out_channels))
            return grad_kernel, by_channel(pixel_rows(g).sum(axis=0), self.out_channels)

        kernel, numbers = self._kernel(), self._size_of_im2col(grad_output)
        # Each block leaves a gradient of the kernel's size behind: together no more than X.
        at_most, all_cores = max(1, numbers // kernel.size), stacks_pay(kernel)
        blocks = in_blocks(gradients, len(x), numbers, at_most=at_most, all_cores=all_cores)
        grad_kernel = reduce(np.add, [grad_kernel for grad_kernel, _ in blocks])
        self.weight.grad = np.ascontiguousarray(grad_kernel.T).reshape(self.weight.shape)
        if self.bias is not None:
            self.bias.grad = reduce(np.add, [grad_bias for _, grad_bias in blocks])

    def _kernel(self) -> Array:
        """Return W with each window laid out as one row."""
        return self.weight.data.reshape(self.out_channels, -1)

    def _im2col(self, x: Array) -> Array:
        """Return X, the windows of `x` as rows."""
        return self.windows.columns(self, self.windows.pad(self, x, 0.0))

    def _size_of_im2col(self, z: Array) -> int:
        """Return how many numbers X would have for all samples of `z`."""
        return z.size // self.out_channels * self.kernel_size**2 * self.in_channels

    def _border(self) -> tuple[int, int]:
        """Return the padding above and left, and below and right."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "same":
            return (self.kernel_size - 1) // 2, self.kernel_size // 2
        if not is_natural(self.padding):
            raise ValueError(
                f'Conv2D padding: expected "valid", "same" or a whole number of at least 0, received {self.padding!r}'
            )
        return int(self.padding), int(self.padding)

    def config(self) -> dict[str, Any]:
        """Return the sizes, stride and padding, whether there is a bias, and the precision."""
        names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
        geometry = {name: getattr(self, name) for name in names}
        return {**geometry, "bias": self.bias is not None, "dtype": self.weight.data.dtype.name}

    def __repr__(self) -> str:
        size, stride, padding = self.kernel_size, self.stride, self.padding
        return f"Conv2D({self.in_channels} -> {self.out_channels}, {size} x {size}, {stride=}, {padding=})"
