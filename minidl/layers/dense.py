"""Dense: the fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, flag, float_dtype, size
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, features
from minidl.module import Module
from minidl.ops.matmul import dense_bias_grad, dense_forward, dense_input_grad, dense_weight_grad
from minidl.parameter import Parameter


class Dense(Module):
    """A fully connected layer.

    Formula: `z = x W.T + b`; the article, with samples in columns, writes `Z = W A + b`.

    Shapes: `x` (batch, ..., in_features), `weight` W (out_features, in_features), `bias` b (out_features,), result
    (batch, ..., out_features): every row along the last axis is multiplied. Input of another precision, and a table
    of whole numbers but uint8, is cast to the layer's.

    Arguments: `weight_init` names an initializer or is a callable `(shape, rng) -> array`; the default is the
    article's, normal / sqrt(in_features). Biases start at zero. `rng` is a seed or a generator. `dtype` is
    float32 or float64.

    Raises: ValueError for sizes below 1, and for input that is not a (batch, ..., in_features) of numbers that the
    layer's precision holds.

    >>> layer = Dense(3, 2, rng=0)
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        weight_init: str | Initializer = "scaled_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_features = size(in_features, "Dense in_features")
        self.out_features = size(out_features, "Dense out_features")
        dtype = float_dtype(dtype, "Dense dtype")
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(initial_weight(weight_init, shape, as_generator(rng), dtype))
        self.bias = Parameter(np.zeros(self.out_features, dtype)) if flag(bias, "Dense bias") else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x W.T + b` for `x` of shape (batch, ..., in_features)."""
        x = features(self, x, self.in_features, self.weight.data.dtype)
        self.save_for_backward(x)
        return dense_forward(x, self.weight.data, None if self.bias is None else self.bias.data)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `z_i = W x_i + b` for row i and `g = dL/dz` (rows, out): each entry `W_jk` touches the loss through
        `z_ij` of every row, with `dz_ij / dW_jk = x_ik`. Summing over i,

            dL/dW = g.T x        (the article's  dW = dZ A_prev.T)
            dL/db = sum_i g_i    (the article's  db = sum of dZ's columns)
            dL/dx = g W          (the article's  dA_prev = W.T dZ)

        The article's 1/m is in `g` already, because the losses are means.
        """
        self._write_gradients(grad_output)
        return dense_input_grad(grad_output, self.weight.data)

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone, for a first layer whose input's gradient nothing needs."""
        self._write_gradients(grad_output)

    def _write_gradients(self, grad_output: Array) -> None:
        (x,) = self.saved_for_backward()
        check_grad(self, grad_output, (*x.shape[:-1], self.out_features))
        self.weight.grad = None  # the new gradient may take its memory
        self.weight.grad = dense_weight_grad(grad_output, x)
        if self.bias is not None:
            self.bias.grad = dense_bias_grad(grad_output)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_features} -> {self.out_features})"
