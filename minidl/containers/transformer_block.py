"""TransformerBlock: attention between the steps of a sequence, then a small network for each step."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import DTypeLike, Seed
from minidl._validation import as_generator, flag, float_dtype, fraction, size
from minidl.containers.residual import Residual
from minidl.containers.sequential import Sequential
from minidl.initializers import Initializer
from minidl.layers import GELU, Dense, Dropout, LayerNorm, SelfAttention
from minidl.module import Module


class TransformerBlock(Sequential):
    """Attention between the steps of a sequence, then a small network for each step, each with a shortcut past it.

    Formula, with normalization before each part, as in GPT-2:

        h = x + dropout(attention(norm(x)))        y = h + dropout(dense(gelu(dense(norm(h)))))

    It is a Sequential of two `Residual`s of the library's layers, in this order.

    Shapes: `x` (batch, time, features), result the same.

    Arguments: `heads` and `causal` as of SelfAttention; `hidden` is the width of the small network, by default four
    times the features; `dropout` the share of each part's output that is dropped in training; `weight_init` and `rng`
    as of Dense.

    Raises: ValueError for arguments that SelfAttention, Dense or Dropout refuse.

    Source: Radford et al., Language models are unsupervised multitask learners (2019).

    >>> block = TransformerBlock(4, heads=2, causal=True, rng=0)
    >>> block(np.ones((2, 3, 4), np.float32)).shape
    (2, 3, 4)
    >>> block[0]
    Residual(LayerNorm(4, epsilon=1e-05), SelfAttention(4, heads=2, causal=True))
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        hidden: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        weight_init: str | Initializer = "scaled_normal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.features, self.heads = size(features, "TransformerBlock features"), size(heads, "TransformerBlock heads")
        self.hidden = 4 * features if hidden is None else size(hidden, "TransformerBlock hidden")
        self.causal = flag(causal, "TransformerBlock causal")
        self.dropout = fraction(dropout, "TransformerBlock dropout")
        rng, self.dtype = as_generator(rng), float_dtype(dtype, "TransformerBlock dtype")
        kind: Any = {"weight_init": weight_init, "rng": rng, "dtype": self.dtype}
        dropouts = [[Dropout(dropout, rng=rng)] if dropout else [] for _ in range(2)]
        attention: list[Module] = [
            LayerNorm(features, dtype=self.dtype),
            SelfAttention(features, heads, causal=causal, **kind),
            *dropouts[0],
        ]
        network: list[Module] = [
            LayerNorm(features, dtype=self.dtype),
            Dense(features, self.hidden, **kind),
            GELU(),
            Dense(self.hidden, features, **kind),
            *dropouts[1],
        ]
        super().__init__(Residual(*attention), Residual(*network))
