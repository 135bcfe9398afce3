"""SelfAttention: each step of a sequence gathers from all others what it asks for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, flag, float_dtype, size
from minidl.errors import LayerInputError
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, sequences
from minidl.layers._masks import mask_of, stream_of
from minidl.layers.dense import Dense
from minidl.module import Module
from minidl.ops.attention import attention_backward, attention_forward
from minidl.ops.matmul import dense_bias_grad, dense_forward, dense_input_grad, dense_weight_grad
from minidl.parameter import Parameter


class SelfAttention(Module):
    """Multi-head attention of a sequence to itself.

    Formula, of each head, with `[q, k, v] = x in_proj_weight.T + in_proj_bias` cut into parts of width
    `d = features / heads`:

        o = softmax(q k.T / sqrt(d)) v        y = [o of all heads] out_proj.weight.T + out_proj.bias

    Where `causal`, a step sees itself and those before it. Padding of a `Masked` is seen by no step. Inside
    `streaming()`, a causal layer remembers the keys and values of earlier calls.

    Shapes: `x` (batch, time, features), result the same. Memory grows with the time, not with its square: scores are
    made in blocks (`ops/attention.py`).

    Arguments: `heads` divides `features`; `weight_init` and `rng` as of Dense. Names of state are those of PyTorch's
    MultiheadAttention.

    Raises: ValueError for sizes below 1, heads that do not divide the features, and other input.

    Source: Vaswani et al., Attention is all you need (2017).

    >>> SelfAttention(4, 2, causal=True, rng=0)(np.ones((2, 3, 4), np.float32)).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        causal: bool = False,
        bias: bool = True,
        weight_init: str | Initializer = "scaled_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.features, self.heads = size(features, "SelfAttention features"), size(heads, "SelfAttention heads")
        if self.features % self.heads:
            raise ValueError(f"SelfAttention heads: expected a divisor of {features} features, received {heads}")
        self.causal, self.bias = flag(causal, "SelfAttention causal"), flag(bias, "SelfAttention bias")
        dtype, rng = float_dtype(dtype, "SelfAttention dtype"), as_generator(rng)
        shape = (3 * self.features, self.features)
        self.in_proj_weight = Parameter(initial_weight(weight_init, shape, rng, dtype))
        self.in_proj_bias = Parameter(np.zeros(shape[0], dtype)) if self.bias else None
        self.out_proj = Dense(features, features, bias=bias, weight_init=weight_init, rng=rng, dtype=dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.in_proj_weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return what each step has gathered, projected by `out_proj`."""
        x = sequences(self, x, self.features, self.dtype)
        mask = mask_of(self, x)
        qkv = dense_forward(x, self.in_proj_weight.data, None if self.in_proj_bias is None else self.in_proj_bias.data)
        q, k, v = self._heads(qkv)
        k, v = self._with_earlier(k, v)
        results = attention_forward(q, k, v, causal=self.causal, mask=mask)
        self.save_for_backward(x, qkv, q, results, mask)
        return self.out_proj(_joined(results[0]))

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write all gradients and return the one of the input.

        `ops/attention.py` derives the gradients of q, k and v from the one that `out_proj` returns. The factor
        `1 / sqrt(d)` stands before q, so it does before `dL/dq` too. Then, as of Dense with `z = [q, k, v]`,

            dL/din_proj_weight = dz.T x        dL/din_proj_bias = sum_i dz_i        dL/dx = dz in_proj_weight
        """
        x, qkv, q, results, mask = self.saved_for_backward()
        check_grad(self, grad_output, x.shape)
        _, k, v = self._heads(qkv)
        grad = self._split(self.out_proj.backward(grad_output))
        grads = attention_backward(grad, (q, k, v), results, causal=self.causal, mask=mask)
        grad_qkv = grads.reshape(*x.shape[:2], -1)
        grad_qkv[..., : self.features] *= self._scale
        self.in_proj_weight.grad = dense_weight_grad(grad_qkv, x)
        if self.in_proj_bias is not None:
            self.in_proj_bias.grad = dense_bias_grad(grad_qkv)
        return dense_input_grad(grad_qkv, self.in_proj_weight.data)

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.features // self.heads)

    def _heads(self, qkv: Array) -> tuple[Array, Array, Array]:
        """Return `q / sqrt(d)`, k and v as (batch, heads, time, d)."""
        q, k, v = (self._split(part) for part in np.split(qkv, 3, axis=2))
        return q * self._scale, k, v

    def _split(self, x: Array) -> Array:
        n, steps, _ = x.shape
        return x.reshape(n, steps, self.heads, -1).transpose(0, 2, 1, 3)

    def _with_earlier(self, k: Array, v: Array) -> tuple[Array, Array]:
        """Return keys and values after those that earlier calls inside `streaming()` have left, and leave them all."""
        stream = stream_of(self, len(k))
        if stream is None:
            return k, v
        if not self.causal:
            raise LayerInputError(self, "expected causal=True inside streaming(): steps of the past would see new ones")
        if self in stream:
            k, v = (np.concatenate(pair, axis=2) for pair in zip(stream[self], (k, v), strict=True))
        stream[self] = k, v
        return k, v

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.features}, heads={self.heads}, causal={self.causal})"


def _joined(x: Array) -> Array:
    """Return (batch, heads, time, d) as (batch, time, heads * d)."""
    n, _, steps, _ = x.shape
    return x.transpose(0, 2, 1, 3).reshape(n, steps, -1)
