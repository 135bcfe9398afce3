"""Conv1D: the convolution of sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, float_dtype, size
from minidl.errors import LayerInputError
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, sequences
from minidl.layers._convolution import Convolution
from minidl.layers._masks import mask_of, stream_of
from minidl.layers._windows import fitted, named_padding, sequence_windows, shortest
from minidl.ops.convolution import convolution_grads, convolution_input_grad, convolve
from minidl.ops.windows import Pair, Windows


class Conv1D(Convolution):
    """A convolution over time: one small Dense layer that looks at every window of the sequence.

    Formula: `z[n, t] = W x[n, window(t)] + b`, that of `Conv2D` for a picture of height 1.

    Shapes: `x` (batch, time, in_channels), `weight` W (out_channels, kernel_size, in_channels // groups), `bias` b
    (out_channels,), result (batch, steps, out_channels) with
    `steps = (time + padding - dilation * (kernel_size - 1) - 1) // stride + 1` for the padding of both sides together.

    Arguments: as for `Conv2D`, all of them numbers. `padding` is a number of zero steps on each side, or
    (left, right), or `"valid"`, `"same"` or `"same_upper"` as there, or `"causal"` for
    `dilation * (kernel_size - 1)` on the left: with a stride of 1, no output then sees a later input. Inside `Masked`,
    steps of padding count as zeros; inside `streaming()`, a causal layer remembers the steps that its windows reach.

    Raises: ValueError as `Conv2D` does, and for input that is not a floating (batch, time, in_channels) long enough
    for one window.

    Source: van den Oord et al., WaveNet: a generative model for raw audio (2016), for the causal padding.

    >>> layer = Conv1D(3, 8, kernel_size=2, dilation=4, padding="causal", rng=0)
    >>> layer(np.ones((5, 20, 3), np.float32)).shape
    (5, 20, 8)
    """

    axes: ClassVar[int] = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: str | int | Pair = "valid",
        dilation: int = 1,
        groups: int = 1,
        *,
        bias: bool = True,
        weight_init: str | Initializer = "he_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._set_channels(in_channels, out_channels, groups)
        self.kernel_size = size(kernel_size, "Conv1D kernel_size")
        self.stride, self.dilation = size(stride, "Conv1D stride"), size(dilation, "Conv1D dilation")
        windows = sequence_windows(self.kernel_size, self.stride, self.dilation)
        names = ("valid", "same", "same_upper", "causal")
        borders = named_padding(padding, windows, "Conv1D padding", names, axes=1)
        self.windows = replace(windows, padding=borders)
        self.padding = padding if isinstance(padding, str) else shortest(borders[1])
        shape = (self.out_channels, self.kernel_size, self.in_channels // self.groups)
        weight = initial_weight(weight_init, shape, as_generator(rng), float_dtype(dtype, "Conv1D dtype"))
        self._set_parameters(weight, bias=bias)

    def forward(self, x: Array) -> Array:
        """Return the convolution of `x` (batch, time, in_channels)."""
        x = sequences(self, x, self.in_channels, self.weight.data.dtype)
        mask = mask_of(self, x)
        x = _real_steps(x, mask)
        x, windows = self._with_earlier(x)
        windows = fitted(self, x, windows, self.padding)
        bias = None if self.bias is None else self.bias.data
        z = convolve(x[:, None], self.weight.data[:, None], bias, windows)[:, 0]
        if mask is not None and z.shape[1] != mask.shape[1]:
            raise LayerInputError(
                self, f"expected as many steps as there are in padded sequences, {mask.shape[1]}, received {z.shape[1]}"
            )
        self.save_for_backward(x, mask, windows, z.shape)
        return z

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input, as `Conv2D` derives them.

        With X the windows as rows, `dL/dW = g.T X` and `dL/db` is the sum of g's rows; the input's gradient is the
        convolution of g with the kernel turned round, `dL/dx[t] = sum over i of g[t - i] W[:, i]`.
        """
        x, mask, windows = self._write_gradients(grad_output)
        n, time, channels = x.shape
        weight = self.weight.data[:, None]
        grad_input = convolution_input_grad(grad_output[:, None], weight, windows, (n, 1, time, channels))[:, 0]
        return _real_steps(grad_input, mask)

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone, for a first layer whose input's gradient nothing needs."""
        self._write_gradients(grad_output)

    def _write_gradients(self, grad_output: Array) -> tuple[Array, Array | None, Windows]:
        """Write the gradients of weight and bias, and return the input, its mask and its windows."""
        x, mask, windows, output_shape = self.saved_for_backward()
        check_grad(self, grad_output, output_shape)
        grad_weight, grad_bias = convolution_grads(x[:, None], grad_output[:, None], windows, self.groups)
        self.weight.grad = grad_weight[:, 0]
        if self.bias is not None:
            self.bias.grad = grad_bias
        return x, mask, windows

    def _with_earlier(self, x: Array) -> tuple[Array, Windows]:
        """Return the steps after those of earlier calls inside `streaming()` that their windows reach, and the windows.

        Before the first call there are zeros, as the causal padding is.
        """
        stream, before = stream_of(self, len(x)), self.windows.extent[1] - 1
        if stream is None:
            return x, self.windows
        if self.stride != 1 or self.windows.padding[1] != (before, 0):
            raise LayerInputError(
                self, "expected stride 1 and padding 'causal' inside streaming(), where no later step is known"
            )
        earlier = stream.get(self)
        if earlier is None:
            earlier = np.zeros((len(x), before, self.in_channels), x.dtype)
        x = np.concatenate((earlier, x), axis=1)
        stream[self] = x[:, x.shape[1] - before :]
        return x, replace(self.windows, padding=((0, 0), (0, 0)))


def _real_steps(x: Array, mask: Array | None) -> Array:
    """Return `x` with zeros for padding, as beyond the end of a sequence."""
    return x if mask is None else np.where(mask[..., None], x, x.dtype.type(0))
