"""LayerNorm: the features of each sample brought to mean 0 and variance 1, then to what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._validation import float_dtype, positive_int, positive_number
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.parameter import Parameter


class LayerNorm(Module):
    """Normalize the features of each sample by themselves, so that batch and mode do not matter.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`, mean and variance of the last
    axis, the variance dividing by the count.

    Shapes: `x` (batch, ..., features), result the same; `weight`, `bias` (features,). Floating input of another
    precision is cast to the layer's.

    Arguments: `epsilon` above 0 keeps the division finite.

    Raises: ValueError for arguments out of these bounds, and for input that is not a floating (batch, ..., features).

    Source: Ba, Kiros and Hinton, Layer normalization (2016).

    >>> LayerNorm(2)(np.array([[1.0, 3.0], [5.0, 4.0]], np.float32)).round(2).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5, dtype: npt.DTypeLike = np.float32) -> None:
        self.features = positive_int(features, "LayerNorm features")
        self.epsilon = positive_number(epsilon, "LayerNorm epsilon")
        dtype = float_dtype(dtype)
        self.weight = Parameter(np.ones(self.features, dtype))
        self.bias = Parameter(np.zeros(self.features, dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x` with the last axis normalized."""
        x = self._checked(x)
        h = x - x.mean(axis=-1, keepdims=True)
        inverse_deviation = 1 / np.sqrt(np.square(h).mean(axis=-1, keepdims=True) + self.epsilon)
        h *= inverse_deviation
        self.save_for_backward(h, inverse_deviation)
        y: Array = h * self.weight.data
        y += self.bias.data
        return y

    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `g = dL/dy` and `s = 1 / sqrt(variance + epsilon)`, weight and bias serve all samples, hence

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        and through mean and variance of its own sample, as derived for BatchNorm, with means over the features,

            dL/dx = s (dL/dh - mean(dL/dh) - h mean(dL/dh h))
        """
        h, inverse_deviation = self.saved_for_backward()
        check_grad(self, grad_output, h.shape)
        samples = tuple(range(h.ndim - 1))
        self.weight.grad = (grad_output * h).sum(axis=samples)
        self.bias.grad = grad_output.sum(axis=samples)
        grad_h = grad_output * self.weight.data
        grad_input: Array = grad_h - grad_h.mean(axis=-1, keepdims=True)
        grad_input -= h * (grad_h * h).mean(axis=-1, keepdims=True)
        grad_input *= inverse_deviation
        return grad_input

    def _checked(self, x: Array) -> Array:
        n = self.features
        if x.ndim < 2 or x.shape[-1] != n:
            raise LayerInputError(self, f"expected (batch, ..., {n}), received {x.shape}")
        if x.size == 0:
            raise LayerInputError(self, f"expected at least one sample, received an empty batch {x.shape}")
        return floating(self, x, self.weight.data.dtype)

    def __repr__(self) -> str:
        return f"LayerNorm({self.features}, epsilon={self.epsilon:g})"
