"""Conv2D: the convolution of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from minidl._typing import Array, Seed
from minidl._validation import as_generator, float_dtype, is_natural, positive_int
from minidl.initializers import Initializer, resolve
from minidl.layers._checks import pictures
from minidl.layers.windows import Windows
from minidl.module import Module
from minidl.parameter import Parameter

BLOCK_SIZE = 1 << 18  # numbers: X as a whole has kernel_size^2 numbers for each one of x, and would not fit


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
        shape = (self.out_channels, self.kernel_size, self.kernel_size, self.in_channels)
        weight = np.array(resolve(weight_init)(shape, as_generator(rng)), dtype=float_dtype(dtype))
        if weight.shape != shape:
            raise ValueError(f"{self!r}: expected weight_init to return shape {shape}, received {weight.shape}")
        self.weight = Parameter(weight)
        self.bias = Parameter(np.zeros(self.out_channels, weight.dtype)) if bias else None

    def forward(self, x: Array) -> Array:
        """Return the convolution of `x` (batch, height, width, in_channels)."""
        padded = self.windows.pad(self, pictures(self, x, self.in_channels, self.weight.data.dtype), 0.0)
        self.save_for_backward(padded)
        z = self.new_array("z", (len(x), *self.windows.grid(padded), self.out_channels), padded.dtype)
        for block, columns in self._im2col(padded):
            rows = z[block].reshape(-1, self.out_channels)
            np.matmul(columns, self._kernel().T, out=rows)
            if self.bias is not None:
                rows += self.bias.data
        return z

    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        `z = X W.T + b` is Dense's formula, so with `g = dL/dz`, one row for each window,

            dL/dW = g.T X          (the article's  dW = dZ A_prev.T)
            dL/db = sum of g's rows
            dL/dX = g W            (the article's  dA_prev = W.T dZ)

        A pixel stands in X once for each window it lies in, at another place (i, j) of each, so its gradient is the
        sum of those entries: place by place, `g W[:, i, j]` is added where the windows have read it.
        """
        (padded,) = self.saved_for_backward()
        self._write_gradients(padded, grad_output)
        grad_padded = self.new_array("grad_padded", padded.shape, grad_output.dtype)
        grad_padded[...] = 0
        kernel = self._kernel().reshape(self.out_channels, -1, self.in_channels)
        for block in self._blocks(padded):
            g = grad_output[block].reshape(-1, self.out_channels)
            for place, pixels in enumerate(self.windows.elements(grad_padded[block])):
                pixels += (g @ kernel[:, place]).reshape(pixels.shape)
        return self.windows.crop(grad_padded)

    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias without the products for the input's."""
        (padded,) = self.saved_for_backward()
        self._write_gradients(padded, grad_output)

    def _write_gradients(self, padded: Array, grad_output: Array) -> None:
        grad_kernel = np.zeros_like(self._kernel())
        for block, columns in self._im2col(padded):
            grad_kernel += grad_output[block].reshape(-1, self.out_channels).T @ columns
        self.weight.grad = grad_kernel.reshape(self.weight.shape)
        if self.bias is not None:
            self.bias.grad = grad_output.sum(axis=(0, 1)).sum(axis=0)  # in two steps: NumPy's loops are longer

    def _kernel(self) -> Array:
        """Return W with each window laid out as one row."""
        return self.weight.data.reshape(self.out_channels, -1)

    def _im2col(self, padded: Array) -> Iterator[tuple[slice, Array]]:
        """Yield X, the windows as rows, for a block of samples at a time."""
        size, stride = self.kernel_size, self.stride
        windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        windows = windows.transpose(0, 1, 2, 4, 5, 3)  # the window's own axes came last, behind the channels
        for block in self._blocks(padded):
            yield block, windows[block].reshape(-1, self.weight.data[0].size)

    def _blocks(self, padded: Array) -> Iterator[slice]:
        """Yield slices of samples, so few at a time that their X stays in the processor's cache."""
        rows, columns = self.windows.grid(padded)
        step = max(1, BLOCK_SIZE // (rows * columns * self.weight.data[0].size))
        for start in range(0, len(padded), step):
            yield slice(start, start + step)

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
