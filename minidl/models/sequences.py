"""Networks for sequences of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import DTypeLike, Seed
from minidl._validation import as_generator, is_natural, shown, size
from minidl.containers import Masked, Sequential, TransformerBlock
from minidl.layers import (
    LSTM,
    Dense,
    Dropout,
    Embedding,
    LayerNorm,
    PositionalEmbedding,
)


def lstm_classifier(
    tokens: int,
    classes: int,
    *,
    features: int = 64,
    units: int = 64,
    bidirectional: bool = False,
    dropout: float = 0.0,
    padding: int = 0,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Masked:
    """Build a recurrent network that gives a sequence of tokens, of any length, the logits of its class.

    Shapes: input (batch, time) of whole numbers below `tokens`, shorter sequences filled up with `padding`; output
    (batch, classes) of logits, for `SoftmaxCrossEntropy`.

    Arguments: `features` is the width of a token's embedding; `units` and `bidirectional` are those of the LSTM, whose
    last state is classified, and `dropout` is the rate at which its numbers are dropped in training.

    Raises: ValueError for sizes below 1, and for what the layers refuse.

    >>> lstm_classifier(50, classes=3)(np.array([[4, 9, 2], [7, 0, 0]])).shape
    (2, 3)
    """
    if not is_natural(padding) or padding >= size(tokens, "tokens"):
        raise ValueError(f"padding: expected a token number below {tokens}, received {shown(padding)}")
    kind: Any = {"rng": as_generator(rng), "dtype": dtype}
    lstm = LSTM(features, units, return_sequence=False, bidirectional=bidirectional, **kind)
    classified = (1 + bidirectional) * units
    layers = [Embedding(tokens, features, **kind), lstm, *([Dropout(dropout, rng=kind["rng"])] if dropout else [])]
    return Masked(*layers, Dense(classified, classes, **kind), padding=padding)


def transformer(
    tokens: int,
    length: int,
    *,
    features: int = 64,
    heads: int = 4,
    blocks: int = 2,
    causal: bool = True,
    dropout: float = 0.0,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Build a transformer that gives each step of a sequence of tokens the logits of a token, of the next if `causal`.

    Shapes: input (batch, time) of whole numbers below `tokens`, with a time of at most `length`; output (batch, time,
    tokens) of logits, for `SoftmaxCrossEntropy`.

    Arguments: `blocks` is how many `TransformerBlock`s there are; the others are theirs.

    Raises: ValueError for sizes below 1, and for what TransformerBlock refuses.

    >>> transformer(50, length=16, blocks=1)(np.zeros((2, 3))).shape
    (2, 3, 50)
    """
    rng, count = as_generator(rng), size(blocks, "transformer blocks")
    kind: Any = {"rng": rng, "dtype": dtype}
    return Sequential(
        Embedding(tokens, features, weight_init="small_normal", **kind),
        PositionalEmbedding(length, features, **kind),
        *(TransformerBlock(features, heads, causal=causal, dropout=dropout, **kind) for _ in range(count)),
        LayerNorm(features, dtype=dtype),
        Dense(features, tokens, **kind),
    )
