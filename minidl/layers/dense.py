"""Dense: the fully connected layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array, Seed
from minidl._validation import LayerInputError, as_generator, float_dtype, positive_int
from minidl.initializers import Initializer, resolve
from minidl.layers._products import times, times_transposed, transposed_times
from minidl.module import Module
from minidl.parameter import Parameter


class Dense(Module):
    """A fully connected layer.

    Formula: `z = x W.T + b`; the article, with samples in columns, writes `Z = W A + b`.

    Shapes: `x` (batch, in_features), `weight` W (out_features, in_features), `bias` b (out_features,), result
    (batch, out_features). Floating input of another precision is cast to the layer's.

    Arguments: `weight_init` names an initializer or is a callable `(shape, rng) -> array`; the default is the
    article's, normal / sqrt(in_features). Biases start at zero. `rng` is a seed or a generator. `dtype` is
    float32 or float64.

    Raises: ValueError for sizes below 1, and for input that is not a floating (batch, in_features).

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
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_features = positive_int(in_features, "Dense in_features")
        self.out_features = positive_int(out_features, "Dense out_features")
        shape = (self.out_features, self.in_features)
        weight = np.asarray(resolve(weight_init)(shape, as_generator(rng)), dtype=float_dtype(dtype))
        if weight.shape != shape:
            raise ValueError(f"{self!r}: expected weight_init to return shape {shape}, received {weight.shape}")
        self.weight = Parameter(weight)
        self.bias = Parameter(np.zeros(self.out_features, weight.dtype)) if bias else None

    def forward(self, x: Array) -> Array:
        """Return `x W.T + b` for `x` of shape (batch, in_features)."""
        weight = self.weight.data
        if x.ndim != 2 or x.shape[1] != self.in_features or x.dtype != weight.dtype or not len(x):
            x = self._checked(x)
        self.save_for_backward(x)
        z = self.new_array((len(x), self.out_features), weight.dtype)
        times_transposed(x, weight, out=z)
        if self.bias is not None:
            z += self.bias.data
        return z

    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `z_i = W x_i + b` for sample i and `g = dL/dz` (batch, out): each entry `W_jk` touches the loss through
        `z_ij` of every sample, with `dz_ij / dW_jk = x_ik`. Summing over i,

            dL/dW = g.T x        (the article's  dW = dZ A_prev.T)
            dL/db = sum_i g_i    (the article's  db = sum of dZ's columns)
            dL/dx = g W          (the article's  dA_prev = W.T dZ)

        The article's 1/m is in `g` already, because the losses are means.
        """
        self._write_gradients(grad_output)
        grad_input = self.new_array((len(grad_output), self.in_features), self.weight.data.dtype)
        times(grad_output, self.weight.data, out=grad_input)
        return grad_input

    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias without the product for the input's."""
        self._write_gradients(grad_output)

    def _write_gradients(self, grad_output: Array) -> None:
        (x,) = self.saved_for_backward()
        weight = self.weight.data
        self.weight.grad = None  # whose memory the new one may take
        self.weight.grad = self.new_array(weight.shape, weight.dtype)
        transposed_times(grad_output, x, out=self.weight.grad)
        if self.bias is not None:
            # NumPy's sum over the rows takes ten times as long where these are short.
            self.bias.grad = np.ones(len(grad_output), grad_output.dtype) @ grad_output

    def _checked(self, x: Array) -> Array:
        """Return floating `x` in the layer's precision, or say what is wrong with its shape or dtype."""
        n, dtype = self.in_features, self.weight.data.dtype
        expected = f"expected (batch, {n}), received {x.shape}"
        if x.ndim > 2 and math.prod(x.shape[1:]) == n:
            raise LayerInputError(self, f"{expected}; pictures must be flattened: put Flatten() before this layer")
        if x.ndim == 2 and x.shape[0] == n and x.shape[1] != n:
            raise LayerInputError(self, f"{expected}; the samples seem to stand in columns: pass the transpose")
        if x.ndim == 1 and x.shape[0] == n:
            raise LayerInputError(self, f"{expected}; a single sample still needs its batch axis: pass x[None]")
        if x.ndim != 2 or x.shape[1] != n:
            raise LayerInputError(self, expected)
        if len(x) == 0:
            raise LayerInputError(self, f"expected at least one sample, received an empty batch {x.shape}")
        if x.dtype.kind != "f":
            hint = "; put Rescale() first to make numbers of pixels" if x.dtype.kind in "iu" else ""
            raise LayerInputError(self, f"expected {dtype} numbers, received dtype {x.dtype}{hint}")
        return x.astype(dtype, copy=False)

    def config(self) -> dict[str, Any]:
        """Return the sizes, whether there is a bias, and the precision."""
        sizes = {"in_features": self.in_features, "out_features": self.out_features}
        return {**sizes, "bias": self.bias is not None, "dtype": self.weight.data.dtype.name}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_features} -> {self.out_features})"
