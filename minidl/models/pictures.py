"""Networks for pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl._typing import DTypeLike, Seed
from minidl._validation import as_generator, fraction, size
from minidl.containers import Residual, Sequential
from minidl.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
)
from minidl.models._sizes import list_of_sizes
from minidl.module import Module


def convnet(
    input_shape: Sequence[int],
    channels: Sequence[int],
    outputs: int,
    *,
    dropout: float = 0.0,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
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
    height, width, before = list_of_sizes(input_shape, "input_shape", exactly=3)
    widths, rng, dropout = list_of_sizes(channels, "channels"), as_generator(rng), fraction(dropout, "dropout")
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
    first_stride: int = 1,
    dropout: float = 0.0,
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Build a residual network: a convolution, stages of residual blocks, the mean over all pixels, Dense.

    Its outputs are logits: the loss is one of logits, or Sigmoid or Softmax is put behind.

    Shapes: `x` (batch, height, width, in_channels), result (batch, outputs).

    Arguments: `depths` counts the blocks of each stage and `channels` their channels. Each block has two convolutions
    of 3 x 3; the first block of each stage but the first has a stride of 2, and so a convolution in its shortcut.
    `first_stride` is that of the network's first convolution; `dropout` is the rate of a Dropout before the last layer,
    which is left out for 0. One generator serves all layers in order.

    Raises: ValueError for sizes below 1, and for depths and channels of different lengths.

    Source: He et al., Deep residual learning for image recognition (2016); `resnet([3, 3, 3], [16, 32, 64], 10)` is its
    network of 20 layers for CIFAR-10, but for the shortcuts.

    >>> resnet([1, 1], [4, 8], outputs=10, rng=0)(np.ones((2, 8, 8, 3), np.float32)).shape
    (2, 10)
    """
    blocks, widths, rng = list_of_sizes(depths, "depths"), list_of_sizes(channels, "channels"), as_generator(rng)
    if len(blocks) != len(widths):
        raise ValueError(f"channels: expected one number for each of {len(blocks)} depths, received {widths}")

    def convolution(before: int, after: int, kernel_size: int, stride: int = 1) -> list[Module]:
        layer = Conv2D(before, after, kernel_size, stride, kernel_size // 2, bias=False, rng=rng, dtype=dtype)
        return [layer, BatchNorm(after, dtype=dtype)]

    before = widths[0]
    layers = [*convolution(in_channels, before, 3, first_stride), ReLU()]
    for stage, (depth, after) in enumerate(zip(blocks, widths, strict=True)):
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            block_layers = [*convolution(before, after, 3, stride), ReLU(), *convolution(after, after, 3)]
            changes_shape = stride > 1 or before != after
            shortcut = Sequential(*convolution(before, after, 1, stride)) if changes_shape else None
            layers += [Residual(*block_layers, shortcut=shortcut), ReLU()]
            before = after
    layers += [GlobalAveragePool2D(), *([Dropout(dropout, rng=rng)] if dropout else [])]
    return Sequential(*layers, Dense(before, size(outputs, "outputs"), rng=rng, dtype=dtype))
