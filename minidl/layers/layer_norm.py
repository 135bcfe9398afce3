"""LayerNorm: the features of each sample brought to mean 0 and variance 1, then to what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl._validation import float_dtype, positive_within, size
from minidl.layers._checks import check_grad, features
from minidl.module import Module
from minidl.ops.normalization import normalized, normalized_grad
from minidl.ops.sums import product_sums, row_sums
from minidl.parameter import Parameter


class LayerNorm(Module):
    """Normalize the features of each sample by themselves, so that batch and mode do not matter.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`, mean and variance of the last
    axis, the variance dividing by the count.

    Shapes: `x` (batch, ..., features), result the same; `weight`, `bias` (features,). Input of another precision
    is cast to the layer's.

    Arguments: `epsilon` above 0 keeps the division finite.

    Raises: ValueError for arguments out of these bounds, and for input that is not a floating (batch, ..., features).

    Source: Ba, Kiros and Hinton, Layer normalization (2016).

    >>> LayerNorm(2)(np.array([[1.0, 3.0], [5.0, 4.0]], np.float32)).round(2).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5, dtype: npt.DTypeLike = np.float32) -> None:
        self.features = size(features, "LayerNorm features")
        dtype = float_dtype(dtype, "LayerNorm dtype")
        self.epsilon = positive_within(dtype, epsilon, "LayerNorm epsilon")
        self.weight = Parameter(np.ones(self.features, dtype))
        self.bias = Parameter(np.zeros(self.features, dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x` with the last axis normalized."""
        x = features(self, x, self.features, self.dtype)
        h, inverse_deviation = normalized(x, self.epsilon)
        self.save_for_backward(h, inverse_deviation)
        y: Array = h * self.weight.data
        y += self.bias.data
        return y

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `g = dL/dy` and `s = 1 / sqrt(variance + epsilon)`, weight and bias serve all samples, hence

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        and through mean and variance of its own sample, as derived for BatchNorm, with means over the features,

            dL/dx = s (dL/dh - mean(dL/dh) - h mean(dL/dh h))
        """
        h, inverse_deviation = self.saved_for_backward()
        check_grad(self, grad_output, h.shape)
        g = grad_output.reshape(-1, self.features)
        self.weight.grad = product_sums(g, h.reshape(g.shape)).astype(self.dtype, copy=False)
        self.bias.grad = row_sums(g).astype(self.dtype, copy=False)
        return normalized_grad(grad_output * self.weight.data, h, inverse_deviation)

    def __repr__(self) -> str:
        return f"LayerNorm({self.features}, epsilon={self.epsilon:g})"
