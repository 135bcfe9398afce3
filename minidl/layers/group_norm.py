"""GroupNorm: groups of channels of each picture brought to mean 0 and variance 1, then to what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl._validation import float_dtype, positive_within, size
from minidl.layers._checks import check_grad, pictures
from minidl.module import Module
from minidl.ops.normalization import normalized, normalized_grad
from minidl.ops.sums import product_sums, row_sums
from minidl.parameter import Parameter


class GroupNorm(Module):
    """Normalize each picture by itself, a group of its channels at a time, so that batch and mode do not matter.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`, mean and variance over all pixels
    and the channels of a group, which stand next to each other; the variance divides by the count.

    Shapes: `x` (batch, height, width, channels), result the same; `weight`, `bias` (channels,). Input of another
    precision is cast to the layer's.

    Arguments: `groups` divides `channels`; 1 group makes it a LayerNorm of pictures, as many as channels an instance
    normalization. `epsilon` above 0 keeps the division finite.

    Raises: ValueError for arguments out of these bounds, and for input that is not a floating
    (batch, height, width, channels).

    Source: Wu and He, Group normalization (2018).

    >>> GroupNorm(2, 2)(np.array([[1.0, 10.0], [3.0, 30.0]], np.float32).reshape(1, 1, 2, 2)).round(2).ravel().tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """

    def __init__(self, groups: int, channels: int, *, epsilon: float = 1e-5, dtype: npt.DTypeLike = np.float32) -> None:
        self.groups = size(groups, "GroupNorm groups")
        self.channels = size(channels, "GroupNorm channels")
        if self.channels % self.groups:
            raise ValueError(
                f"GroupNorm groups: expected a divisor of {self.channels} channels, received {self.groups}"
            )
        dtype = float_dtype(dtype, "GroupNorm dtype")
        self.epsilon = positive_within(dtype, epsilon, "GroupNorm epsilon")
        self.weight = Parameter(np.ones(self.channels, dtype))
        self.bias = Parameter(np.zeros(self.channels, dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x` with each group normalized."""
        x = pictures(self, x, self.channels, self.dtype)
        h, inverse_deviation = normalized(self._in_groups(x), self.epsilon)
        h = self._in_pictures(h, x.shape)
        self.save_for_backward(h, inverse_deviation)
        y: Array = h * self.weight.data
        y += self.bias.data
        return y

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        Weight and bias serve all pixels of all pictures. With `g = dL/dy`, sums over these,

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        and dL/dx is that of LayerNorm, a group of channels of one picture in the place of a sample.
        """
        h, inverse_deviation = self.saved_for_backward()
        check_grad(self, grad_output, h.shape)
        g = grad_output.reshape(-1, self.channels)
        self.weight.grad = product_sums(g, h.reshape(g.shape)).astype(self.dtype, copy=False)
        self.bias.grad = row_sums(g).astype(self.dtype, copy=False)
        grad_h = self._in_groups(grad_output * self.weight.data)
        return self._in_pictures(normalized_grad(grad_h, self._in_groups(h), inverse_deviation), h.shape)

    def _in_groups(self, x: Array) -> Array:
        """Return pictures as (batch, groups, numbers of a group)."""
        parts = x.reshape(len(x), -1, self.groups, self.channels // self.groups)
        return parts.transpose(0, 2, 1, 3).reshape(len(x), self.groups, -1)

    def _in_pictures(self, groups: Array, shape: tuple[int, ...]) -> Array:
        """Return what `_in_groups` has made as pictures of this shape."""
        parts = groups.reshape(shape[0], self.groups, -1, self.channels // self.groups)
        return parts.transpose(0, 2, 1, 3).reshape(shape)

    def __repr__(self) -> str:
        return f"GroupNorm({self.groups}, {self.channels}, epsilon={self.epsilon:g})"
