"""Embedding: a vector of learned numbers for each token."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, float_dtype, size
from minidl.errors import LayerInputError
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad
from minidl.module import Module
from minidl.ops.sums import sums_by_number
from minidl.parameter import Parameter


class Embedding(Module):
    """A vector of learned numbers for each token.

    Formula: `y_i = weight[x_i]`: row `x_i` of the weight, for each number of the input.

    Shapes: `x` (batch, ...) of whole numbers from 0 to tokens - 1, result (batch, ..., features); `weight` (tokens,
    features).

    Arguments: `weight_init` names an initializer or is a callable `(shape, rng) -> array`; the default is the standard
    normal distribution, PyTorch's. `rng` is a seed or a generator.

    Raises: ValueError for sizes below 1, and for token numbers that are not whole or are out of range.

    >>> layer = Embedding(10, 3, rng=0)
    >>> layer(np.array([[4, 9]])).shape
    (1, 2, 3)
    >>> layer([[4.0, 9.0]]).dtype  # whole numbers of any type
    dtype('float32')
    """

    def __init__(
        self,
        tokens: int,
        features: int,
        *,
        weight_init: str | Initializer = "standard_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.tokens, self.features = size(tokens, "Embedding tokens"), size(features, "Embedding features")
        dtype = float_dtype(dtype, "Embedding dtype")
        weight = initial_weight(weight_init, (self.tokens, self.features), as_generator(rng), dtype)
        self.weight = Parameter(weight)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return the rows of the weight that the tokens of `x` number."""
        tokens = self._numbers(x)
        self.save_for_backward(tokens)
        return self.weight.data.take(tokens, axis=0)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradient of the weight, and return zeros, since a token number has no neighbours to move to.

        Row k of the weight is the output at each token that is k. So with `g = dL/dy`,

            dL/dweight_k = sum of g_i over all i with x_i = k
        """
        tokens = self._write_gradient(grad_output)
        return np.zeros(tokens.shape, grad_output.dtype)

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradient of the weight alone."""
        self._write_gradient(grad_output)

    def _write_gradient(self, grad_output: Array) -> Array:
        (tokens,) = self.saved_for_backward()
        check_grad(self, grad_output, (*tokens.shape, self.features))
        self.weight.grad = sums_by_number(grad_output.reshape(-1, self.features), tokens.reshape(-1), self.tokens)
        return np.asarray(tokens)

    def _numbers(self, x: Array) -> Array:
        """Return `x` as numbers that index the weight; whole numbers in floating arrays are taken."""
        if x.ndim == 0 or x.size == 0:
            raise LayerInputError(self, f"expected at least one token, received shape {x.shape}")
        if x.dtype.kind not in "iuf":
            raise LayerInputError(self, f"expected token numbers, received dtype {x.dtype}")
        rows = x.reshape(len(x), -1)
        wrong = (rows < 0) | (rows >= self.tokens)
        if x.dtype.kind == "f":
            wrong |= ~np.isfinite(rows) | (np.floor(rows) != rows)
        if wrong.any():
            row = int(wrong.any(axis=1).argmax())
            number = rows[row, wrong[row].argmax()].item()
            expected = f"expected token numbers from 0 to {self.tokens - 1}"
            raise LayerInputError(self, f"{expected}, received {number} in row {row} of {x.shape}")
        return x.astype(np.intp, copy=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tokens} -> {self.features})"
