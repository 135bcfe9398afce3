"""GroupNorm: groups of channels of each picture brought to mean 0 and variance 1, then to what is learned."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike
from minidl._validation import size
from minidl.layers._checks import check_grad, pictures
from minidl.layers._norm import Norm
from minidl.ops.normalization import normalized, normalized_grad


class GroupNorm(Norm):
    """Normalize each picture by itself, a group of its channels at a time, so that batch and mode do not matter.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`, mean and variance over all pixels
    and the channels of a group, which stand next to each other; the variance divides by the count.

    Shapes: `x` (batch, height, width, channels), result the same; `weight`, `bias` (channels,). Input of another
    precision is cast to the layer's.

    Arguments: `groups` divides `channels`; 1 group makes it a LayerNorm of pictures, as many as channels an instance
    normalization. `epsilon` above 0 keeps the division finite; `weight=False` and `bias=False` leave these out. A norm
    without both has no precision of its own, but that of its input.

    Raises: ValueError for arguments out of these bounds, and for input that is not a floating
    (batch, height, width, channels).

    Source: Wu and He, Group normalization (2018).

    >>> GroupNorm(2, 2)(np.array([[1.0, 10.0], [3.0, 30.0]], np.float32).reshape(1, 1, 2, 2)).round(2).ravel().tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        groups: int,
        channels: int,
        *,
        epsilon: float = 1e-5,
        weight: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.groups = size(groups, "GroupNorm groups")
        self.channels = size(channels, "GroupNorm channels")
        if self.channels % self.groups:
            raise ValueError(
                f"GroupNorm groups: expected a divisor of {self.channels} channels, received {self.groups}"
            )
        super().__init__(self.channels, epsilon, weight, bias, dtype)

    def forward(self, x: Array) -> Array:
        """Return `x` with each group normalized."""
        x = pictures(self, x, self.channels, self._own_dtype)
        h, inverse_deviation = normalized(self._in_groups(x), self.epsilon)
        h = self._in_pictures(h, x.shape)
        self.save_for_backward(h, inverse_deviation)
        return self._scale_and_shift(h)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        Weight and bias serve all pixels of all pictures. With `g = dL/dy`, sums over these,

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        and dL/dx is that of LayerNorm, a group of channels of one picture in the place of a sample.
        """
        h, inverse_deviation = self.saved_for_backward()
        check_grad(self, grad_output, h.shape)
        grad_h = self._in_groups(self._norm_gradients(grad_output, h))
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
        return self._described(self.groups, self.channels, epsilon=self.epsilon)
