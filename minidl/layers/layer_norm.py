"""LayerNorm: the features of each sample brought to mean 0 and variance 1, then to what is learned."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike
from minidl._validation import size
from minidl.layers._checks import check_grad, features
from minidl.layers._norm import Norm
from minidl.ops.normalization import normalized, normalized_grad


class LayerNorm(Norm):
    """Normalize the features of each sample by themselves, so that batch and mode do not matter.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`, mean and variance of the last
    axis, the variance dividing by the count.

    Shapes: `x` (batch, ..., features), result the same; `weight`, `bias` (features,). Input of another precision
    is cast to the layer's.

    Arguments: `epsilon` above 0 keeps the division finite; `weight=False` and `bias=False` leave these out. A norm
    without both has no precision of its own, but that of its input.

    Raises: ValueError for arguments out of these bounds, and for input that is not a floating (batch, ..., features).

    Source: Ba, Kiros and Hinton, Layer normalization (2016).

    >>> LayerNorm(2)(np.array([[1.0, 3.0], [5.0, 4.0]], np.float32)).round(2).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(
        self,
        features: int,
        *,
        epsilon: float = 1e-5,
        weight: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.features = size(features, "LayerNorm features")
        super().__init__(self.features, epsilon, weight, bias, dtype)

    def forward(self, x: Array) -> Array:
        """Return `x` with the last axis normalized."""
        x = features(self, x, self.features, self._own_dtype)
        h, inverse_deviation = normalized(x, self.epsilon)
        self.save_for_backward(h, inverse_deviation)
        return self._scale_and_shift(h)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `g = dL/dy` and `s = 1 / sqrt(variance + epsilon)`, weight and bias serve all samples, hence

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        and through mean and variance of its own sample, as derived for BatchNorm, with means over the features,

            dL/dx = s (dL/dh - mean(dL/dh) - h mean(dL/dh h))
        """
        h, inverse_deviation = self.saved_for_backward()
        check_grad(self, grad_output, h.shape)
        return normalized_grad(self._norm_gradients(grad_output, h), h, inverse_deviation)

    def __repr__(self) -> str:
        return self._described(self.features, epsilon=self.epsilon)
