"""ConvTranspose2D: the convolution of pictures in the other direction, from windows to what they were taken from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, float_dtype, is_natural, shown
from minidl.errors import LayerInputError
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, pictures
from minidl.layers._convolution import Convolution
from minidl.layers._windows import Padding, Size, named_padding, pair, shortest, shortest_padding
from minidl.ops.convolution import convolution_grads, convolution_input_grad, convolve
from minidl.ops.matmul import dense_bias_grad
from minidl.ops.windows import Pair, Windows


class ConvTranspose2D(Convolution):
    """A transposed convolution: each pixel adds its multiple of the kernel to a window of a larger picture.

    Formula: `z[n, window(r, c)] += x[n, r, c] W`, and `z += b` at the end. A convolution is a matrix that takes the
    pixels of a picture to those of a smaller one; this is its transpose, which takes them back in shape.

    Shapes: `x` (batch, height, width, in_channels), `weight` W (in_channels, *kernel_size, out_channels // groups),
    `bias` b (out_channels,), result (batch, rows, columns, out_channels) with
    `rows = (height - 1) * stride + dilation * (kernel_size - 1) + 1 - padding + output_padding` for the padding of
    both sides together, and columns alike. Floating input of another precision is cast to the layer's.

    Arguments: `kernel_size`, `stride`, `dilation` and `groups` as for `Conv2D`. `padding`, in numbers as there, is
    what such a convolution would add to the result, and is cut off from it. `output_padding`, a number less than the
    stride or (vertical, horizontal), adds rows below and columns on the right: a convolution makes as many rows of up
    to `stride` different heights. The others are those of `Dense`; `weight_init` is by default the one for the ReLU
    that usually follows.

    Raises: ValueError for sizes, strides or dilations below 1, groups that do not divide both numbers of channels,
    an output padding of a stride or more, and for input that is not a floating (batch, height, width, in_channels) or
    of which the padding leaves nothing.

    Source: Zeiler et al., Deconvolutional networks (2010); Dumoulin and Visin, A guide to convolution arithmetic for
    deep learning (2016).

    >>> layer = ConvTranspose2D(16, 3, kernel_size=4, stride=2, padding=1, rng=0)
    >>> layer(np.ones((5, 32, 32, 16), np.float32)).shape
    (5, 64, 64, 3)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        output_padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        weight_init: str | Initializer = "he_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._set_channels(in_channels, out_channels, groups)
        name = "ConvTranspose2D"
        sizes, strides = pair(kernel_size, f"{name} kernel_size"), pair(stride, f"{name} stride")
        windows = Windows(sizes, strides, dilation=pair(dilation, f"{name} dilation"))
        borders = named_padding(padding, windows, f"{name} padding", names=())
        self.windows = replace(windows, padding=borders)
        self.kernel_size, self.stride, self.dilation = shortest(sizes), shortest(strides), shortest(windows.dilation)
        self.padding = shortest_padding(borders)
        self.output_padding = shortest(_output_padding(output_padding, strides))
        # Drawn as (out, ..., in), the order in which initializers count what one output reads.
        groups, of_group = self.groups, (self.out_channels // self.groups, self.in_channels // self.groups)
        shape = (self.out_channels, *sizes, of_group[1])
        drawn = initial_weight(weight_init, shape, as_generator(rng), float_dtype(dtype, f"{name} dtype"))
        by_group = drawn.reshape(groups, of_group[0], *sizes, of_group[1]).transpose(0, 4, 2, 3, 1)
        self._set_parameters(by_group.reshape(self.in_channels, *sizes, of_group[0]), bias=bias)

    def forward(self, x: Array) -> Array:
        """Return the transposed convolution of `x` (batch, height, width, in_channels)."""
        x = pictures(self, x, self.in_channels, self.weight.data.dtype)
        z = convolution_input_grad(x, self.weight.data, self.windows, self._output_shape(x))
        if self.bias is not None:
            z += self.bias.data
        self.save_for_backward(x, z.shape)
        return z

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With the windows of `z` as rows of a matrix Z, the forward pass is `Z = x W`, added up where windows overlap:
        what `Conv2D` derives for the gradient of its input. With `g = dL/dz`, and its windows as rows of G, one for
        each pixel of x,

            dL/dW = x.T G
            dL/db = sum of g's pixels
            dL/dx = G W.T

        so that the input's gradient is the convolution of g, and the weight's that of this convolution, in which x
        and g have changed places.
        """
        self._write_gradients(grad_output)
        return convolve(grad_output, self.weight.data, None, self.windows)

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone, for a first layer whose input's gradient nothing needs."""
        self._write_gradients(grad_output)

    def _write_gradients(self, grad_output: Array) -> None:
        x, output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        self.weight.grad, _ = convolution_grads(grad_output, x, self.windows, self.groups)
        if self.bias is not None:
            self.bias.grad = dense_bias_grad(grad_output)

    def _output_shape(self, x: Array) -> tuple[int, ...]:
        windows, more = self.windows, _output_padding(self.output_padding, self.windows.stride)
        rows, columns = (
            (x.shape[1 + i] - 1) * windows.stride[i] + windows.extent[i] - windows.border[i] + more[i] for i in range(2)
        )
        if rows < 1 or columns < 1:
            problem = (
                f"expected pictures of which the padding leaves a pixel, received {x.shape}, {rows} x {columns} left"
            )
            raise LayerInputError(self, problem)
        return len(x), rows, columns, self.out_channels


def _output_padding(value: Any, strides: Pair) -> Pair:
    """Return the output padding downwards and to the right."""
    both = value if isinstance(value, (list, tuple)) else (value, value)
    if len(both) != 2 or not all(
        is_natural(more) and more < stride for more, stride in zip(both, strides, strict=True)
    ):
        raise ValueError(
            "ConvTranspose2D output_padding: expected a number or (vertical, horizontal), whole numbers of at least 0 "
            f"and less than stride {shortest(strides)}, received {shown(value)}"
        )
    return int(both[0]), int(both[1])
