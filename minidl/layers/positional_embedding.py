"""PositionalEmbedding: what tells a network where in a sequence a step stands."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, float_dtype, shown, size
from minidl.errors import LayerInputError
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, sequences
from minidl.layers._masks import stream_of
from minidl.module import Module
from minidl.parameter import Parameter


class PositionalEmbedding(Module):
    """Add to each step of a sequence a vector that belongs to its position.

    Formula: `y_t = x_t + P_t`, with P learned, or fixed: `P_t,2i = sin(t / 10000^(2i / features))` and
    `P_t,2i+1 = cos(t / 10000^(2i / features))`. Inside `streaming()`, positions go on where the last call ended.

    Shapes: `x` (batch, time, features), result the same; `weight` P (length, features).

    Arguments: `length` is the largest number of steps; `kind` is "learned" or "sinusoidal", which has no parameters;
    `weight_init` and `rng` as of Embedding.

    Raises: ValueError for sizes below 1, another `kind`, and for sequences that are longer than `length`.

    Source: Vaswani et al., Attention is all you need (2017), section 3.5.

    >>> layer = PositionalEmbedding(5, 2, kind="sinusoidal")
    >>> layer(np.zeros((1, 2, 2), np.float32)).round(2).tolist()
    [[[0.0, 1.0], [0.8399999737739563, 0.5400000214576721]]]
    """

    def __init__(
        self,
        length: int,
        features: int,
        *,
        kind: Literal["learned", "sinusoidal"] = "learned",
        weight_init: str | Initializer = "small_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.length = size(length, "PositionalEmbedding length")
        self.features = size(features, "PositionalEmbedding features")
        self._dtype = float_dtype(dtype, "PositionalEmbedding dtype")
        if not isinstance(kind, str) or kind not in ("learned", "sinusoidal"):
            raise ValueError(f"PositionalEmbedding kind: expected 'learned' or 'sinusoidal', received {shown(kind)}")
        self.kind = kind
        self.weight = None
        if kind == "learned":
            shape = self.length, self.features
            self.weight = Parameter(initial_weight(weight_init, shape, as_generator(rng), self._dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the learned positions; fixed ones are computed in the input's."""
        return self._dtype if self.weight is None else self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x` with its positions added."""
        x = sequences(self, x, self.features, None if self.weight is None else self.dtype)
        stream = stream_of(self, len(x))
        start = 0 if stream is None else stream.get(self, 0)
        stop = start + x.shape[1]
        if stop > self.length:
            earlier = f" after {start} earlier steps" if start else ""
            raise LayerInputError(self, f"expected at most {self.length} steps, received {x.shape}{earlier}")
        if stream is not None:
            stream[self] = stop
        self.save_for_backward(x.shape)
        positions = (
            self.weight.data[start:stop] if self.weight is not None else self._sinusoids(start, stop).astype(x.dtype)
        )
        return x + positions

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradient of the positions where they are learned, and return the one of the input.

        With `g = dL/dy`, x moves y as it is, and `P_t` moves step t of every sequence:

            dL/dx = g        dL/dP_t = sum of g_it over the sequences i, and 0 for a t that no sequence reaches
        """
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, shape)
        if self.weight is not None:
            self.weight.grad = np.zeros_like(self.weight.data)
            self.weight.grad[: shape[1]] = grad_output.sum(axis=0, dtype=np.float64)
        return grad_output.copy()

    def _sinusoids(self, start: int, stop: int) -> Array:
        exponents = np.arange(self.features) // 2 * 2 / self.features
        angles = np.arange(start, stop)[:, None] / 10000.0**exponents
        is_even = np.arange(self.features) % 2 == 0
        return np.where(is_even, np.sin(angles), np.cos(angles))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.length}, {self.features}, kind={self.kind!r})"
