"""Conv2D: the convolution of pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, float_dtype
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, pictures
from minidl.layers._convolution import Convolution
from minidl.layers._windows import Padding, Size, fitted, named_padding, pair, shortest, shortest_padding
from minidl.ops.convolution import convolution_grads, convolution_input_grad, convolve
from minidl.ops.windows import Windows


class Conv2D(Convolution):
    """A convolution: one small Dense layer that looks at every window of the picture.

    Formula: `z[n, r, c] = W x[n, window(r, c)] + b`, the window's pixels laid out as one vector, so that with the
    windows of all pictures as rows of a matrix X (`im2col`) it is the product of Dense, `z = X W.T + b`. As in all
    frameworks the kernel is not turned round: mathematically this is a cross-correlation. With groups, the channels
    are dealt out to as many smaller convolutions side by side.

    Shapes: `x` (batch, height, width, in_channels), `weight` W (out_channels, *kernel_size, in_channels // groups),
    `bias` b (out_channels,), result (batch, rows, columns, out_channels) with
    `rows = (height + padding - dilation * (kernel_size - 1) - 1) // stride + 1` for the padding of both sides together,
    and columns alike. Floating input of another precision is cast to the layer's.

    Arguments: `kernel_size` is the size of the window, `stride` the step from one to the next, `dilation` the step
    from one pixel of a window to the next; each is a number, or (vertical, horizontal). `padding` is a number of zero
    pixels on each side, or (vertical, horizontal), or ((top, bottom), (left, right)), or a name: `"valid"` for none;
    `"same"` for `dilation * (kernel_size - 1)` in all, the odd one below and right, which gives
    `ceil(height / stride)` rows; `"same_upper"`, as in Keras and ONNX, for no more than that many rows need, which at
    strides above 1 depends on the picture. `groups` divides the channels; as many as there are channels make a
    depthwise convolution. The others are those of `Dense`, but `weight_init` is by default the one for the ReLU that
    usually follows.

    Raises: ValueError for sizes, strides or dilations below 1, groups that do not divide both numbers of channels, an
    unknown padding, and for input that is not a floating (batch, height, width, in_channels) large enough for one
    window.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998); im2col from Chellapilla et
    al., High performance convolutional neural networks for document processing (2006); groups from Krizhevsky et al.,
    ImageNet classification with deep convolutional neural networks (2012); dilation from Yu and Koltun, Multi-scale
    context aggregation by dilated convolutions (2016).

    >>> layer = Conv2D(3, 16, kernel_size=3, padding="same", rng=0)
    >>> layer(np.ones((5, 64, 64, 3), np.float32)).shape
    (5, 64, 64, 16)
    >>> depthwise = Conv2D(16, 16, kernel_size=(1, 3), stride=(1, 2), padding=((0, 0), (1, 1)), groups=16, rng=0)
    >>> depthwise(np.ones((5, 64, 64, 16), np.float32)).shape
    (5, 64, 32, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: str | Padding = "valid",
        dilation: Size = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        weight_init: str | Initializer = "he_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._set_channels(in_channels, out_channels, groups)
        sizes, strides = pair(kernel_size, "Conv2D kernel_size"), pair(stride, "Conv2D stride")
        windows = Windows(sizes, strides, dilation=pair(dilation, "Conv2D dilation"))
        borders = named_padding(padding, windows, "Conv2D padding", ("valid", "same", "same_upper"))
        self.windows = replace(windows, padding=borders)
        self.kernel_size, self.stride, self.dilation = shortest(sizes), shortest(strides), shortest(windows.dilation)
        self.padding = padding if isinstance(padding, str) else shortest_padding(borders)
        shape = (self.out_channels, *sizes, self.in_channels // self.groups)
        weight = initial_weight(weight_init, shape, as_generator(rng), float_dtype(dtype, "Conv2D dtype"))
        self._set_parameters(weight, bias=bias)

    def forward(self, x: Array) -> Array:
        """Return the convolution of `x` (batch, height, width, in_channels)."""
        x = pictures(self, x, self.in_channels, self.weight.data.dtype)
        windows = fitted(self, x, self.windows, self.padding)
        z = convolve(x, self.weight.data, None if self.bias is None else self.bias.data, windows)
        self.save_for_backward(x, windows, z.shape)
        return z

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        `z = X W.T + b` is Dense's formula, so with `g = dL/dz`, one row for each window,

            dL/dW = g.T X          (the article's  dW = dZ A_prev.T)
            dL/db = sum of g's rows
            dL/dX = g W            (the article's  dA_prev = W.T dZ)

        A pixel stands in X once for each window it lies in: in the window that starts (i, j) above and left of it, at
        the place (i, j). So its gradient sums `g W[:, i, j]` over the windows that end in it and around it,

            dL/dx[r, c] = sum over i, j of g[r - i, c - j] W[:, i, j]

        which is a convolution again: of g, with the kernel turned half round. A stride puts zeros between g's pixels,
        a dilation d makes it `g[r - d i, c - d j]`, and groups have nothing to do with one another.
        """
        x, windows = self._write_gradients(grad_output)
        return convolution_input_grad(grad_output, self.weight.data, windows, x.shape)

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone, for a first layer whose input's gradient nothing needs."""
        self._write_gradients(grad_output)

    def _write_gradients(self, grad_output: Array) -> tuple[Array, Windows]:
        """Write the gradients of weight and bias, and return the input and its windows."""
        x, windows, output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        self.weight.grad, grad_bias = convolution_grads(x, grad_output, windows, self.groups)
        if self.bias is not None:
            self.bias.grad = grad_bias
        return x, windows
