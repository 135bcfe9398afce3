"""Ready networks, each a plain composition of layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Seed
from minidl._validation import as_generator, fraction, shown, size
from minidl.containers import Masked, Residual, Sequential, TransformerBlock
from minidl.initializers import Initializer
from minidl.layers import (
    LSTM,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool2D,
    LayerNorm,
    MaxPool2D,
    PositionalEmbedding,
    ReLU,
    Sigmoid,
)
from minidl.module import Module


def mlp(
    layer_dims: Sequence[int],
    *,
    weight_init: str | Initializer = "scaled_normal",
    rng: Seed = None,
    dtype: npt.DTypeLike = np.float32,
) -> Sequential:
    """Build the article's network from its list of layer sizes: Dense, ReLU, ..., Dense, Sigmoid.

    Arguments: `layer_dims` counts the inputs, the units of each hidden layer and the outputs; the others are those
    of `Dense`, one generator serving all layers in order.

    Raises: ValueError for fewer than two sizes or a size below 1.

    >>> mlp([49152, 20, 7, 5, 1])[-2:]
    Sequential(Dense(5 -> 1), Sigmoid())
    """
    dims = _sizes(layer_dims, "layer_dims", at_least=2)
    rng = as_generator(rng)
    layers: list[Module] = []
    for n_in, n_out in pairwise(dims):
        layers += [Dense(n_in, n_out, weight_init=weight_init, rng=rng, dtype=dtype), ReLU()]
    layers[-1] = Sigmoid()
    return Sequential(*layers)


def convnet(
    input_shape: Sequence[int],
    channels: Sequence[int],
    outputs: int,
    *,
    dropout: float = 0.0,
    rng: Seed = None,
    dtype: npt.DTypeLike = np.float32,
) -> Sequential:
    """Build a convolutional network: Conv2D, BatchNorm, ReLU, MaxPool2D, ..., Flatten, Dropout, Dense.

    Its outputs are logits: the loss is one of logits, or Sigmoid or Softmax is put behind.

    Shapes: `x` (batch, *input_shape), result (batch, outputs).

    Arguments: `input_shape` is (height, width, channels) of a picture; `channels` counts those of each convolution of
    3 x 3, after which the pooling halves the picture; `dropout` is the rate of Dropout, which is left out for 0. One
    generator serves all layers in order.

    Raises: ValueError for sizes below 1, and for pictures that cannot be halved that often.

    >>> convnet((64, 64, 3), [16, 32], outputs=10, rng=0)[-2:]
    Sequential(Flatten(), Dense(8192 -> 10))
    """
    height, width, before = _sizes(input_shape, "input_shape", exactly=3)
    widths, rng, dropout = _sizes(channels, "channels"), as_generator(rng), fraction(dropout, "dropout")
    if min(height, width) < 2 ** len(widths):
        raise ValueError(
            f"input_shape: expected at least {2 ** len(widths)} x {2 ** len(widths)} pixels, which {len(widths)} "
            f"poolings halve, received {height} x {width}"
        )
    layers: list[Module] = []
    for after in widths:
        convolution = Conv2D(before, after, 3, padding="same", rng=rng, dtype=dtype)
        layers += [convolution, BatchNorm(after, dtype=dtype), ReLU(), MaxPool2D(2)]
        before = after
    layers += [Flatten(), *([Dropout(dropout, rng=rng)] if dropout else [])]
    features = before * (height >> len(widths)) * (width >> len(widths))
    return Sequential(*layers, Dense(features, size(outputs, "outputs"), rng=rng, dtype=dtype))


def resnet(
    depths: Sequence[int],
    channels: Sequence[int],
    outputs: int,
    *,
    in_channels: int = 3,
    rng: Seed = None,
    dtype: npt.DTypeLike = np.float32,
) -> Sequential:
    """Build a residual network: a convolution, stages of residual blocks, the mean over all pixels, Dense.

    Its outputs are logits: the loss is one of logits, or Sigmoid or Softmax is put behind.

    Shapes: `x` (batch, height, width, in_channels), result (batch, outputs).

    Arguments: `depths` counts the blocks of each stage and `channels` their channels. Each block has two convolutions
    of 3 x 3; the first block of each stage but the first has a stride of 2, and so a convolution in its shortcut. One
    generator serves all layers in order.

    Raises: ValueError for sizes below 1, and for depths and channels of different lengths.

    Source: He et al., Deep residual learning for image recognition (2016); `resnet([3, 3, 3], [16, 32, 64], 10)` is its
    network of 20 layers for CIFAR-10, but for the shortcuts.

    >>> resnet([1, 1], [4, 8], outputs=10, rng=0)(np.ones((2, 8, 8, 3), np.float32)).shape
    (2, 10)
    """
    blocks, widths, rng = _sizes(depths, "depths"), _sizes(channels, "channels"), as_generator(rng)
    if len(blocks) != len(widths):
        raise ValueError(f"channels: expected one number for each of {len(blocks)} depths, received {widths}")

    def convolution(before: int, after: int, kernel_size: int, stride: int = 1) -> list[Module]:
        layer = Conv2D(before, after, kernel_size, stride, kernel_size // 2, bias=False, rng=rng, dtype=dtype)
        return [layer, BatchNorm(after, dtype=dtype)]

    before = widths[0]
    layers = [*convolution(in_channels, before, 3), ReLU()]
    for stage, (depth, after) in enumerate(zip(blocks, widths, strict=True)):
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            body = [*convolution(before, after, 3, stride), ReLU(), *convolution(after, after, 3)]
            changes_shape = stride > 1 or before != after
            shortcut = Sequential(*convolution(before, after, 1, stride)) if changes_shape else None
            layers += [Residual(*body, shortcut=shortcut), ReLU()]
            before = after
    return Sequential(*layers, GlobalAveragePool2D(), Dense(before, size(outputs, "outputs"), rng=rng, dtype=dtype))


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
    dtype: npt.DTypeLike = np.float32,
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
    kind: Any = {"rng": as_generator(rng), "dtype": dtype}
    lstm = LSTM(features, units, return_sequence=False, bidirectional=bidirectional, **kind)
    classified = (1 + bidirectional) * units
    body = Embedding(tokens, features, **kind), lstm, Dropout(dropout, rng=kind["rng"])
    return Masked(*body, Dense(classified, classes, **kind), padding=padding)


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
    dtype: npt.DTypeLike = np.float32,
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


def _sizes(values: Any, name: str, *, at_least: int = 1, exactly: int | None = None) -> list[int]:
    """Return a list of sizes as integers.

    Raises: ValueError for something else, and for another number of them than is required.
    """
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str) or np.shape(values) == ():
        raise ValueError(f"{name}: expected a list of sizes, such as [2, 4, 1], received {shown(values)}")
    sizes = [size(value, f"{name}[{i}]") for i, value in enumerate(values)]
    if len(sizes) < at_least or exactly not in (None, len(sizes)):
        count = f"{exactly}" if exactly else f"at least {at_least}"
        raise ValueError(f"{name}: expected {count} sizes, received {sizes}")
    return sizes
