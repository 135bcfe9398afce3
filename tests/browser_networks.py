"""Networks for the browser's tests: every built-in container with other layers in it, and inputs for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minidl import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Masked,
    MaxPool1D,
    MaxPool2D,
    Module,
    Parallel,
    PositionalEmbedding,
    PReLU,
    ReLU,
    Residual,
    RMSNorm,
    SelfAttention,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    TransformerBlock,
)
from minidl._typing import Array

Shape = tuple[int, ...]
Make = Callable[[int], Module]  # of a layer that takes this many features and returns as many

WIDE = 0.1  # the epsilon of norms: the rounding of small differences is not made a thousand times larger
TOKENS = 5

OF_ANYTHING: list[Make] = [
    lambda n: Dense(n, n),
    lambda n: LayerNorm(n, epsilon=WIDE),
    lambda n: RMSNorm(n, epsilon=WIDE),
    lambda n: BatchNorm(n),
    lambda n: PReLU(n),
    lambda _: Dropout(0.5),
    lambda _: ReLU(),
    lambda _: LeakyReLU(0.2),
    lambda _: ELU(),
    lambda _: SELU(),
    lambda _: SiLU(),
    lambda _: GELU(),
    lambda _: Sigmoid(),
    lambda _: Tanh(),
]
OF_SEQUENCES: list[Make] = [
    lambda n: Conv1D(n, n, 3, padding="same"),
    lambda n: Conv1D(n, n, 2, padding="causal", dilation=2, groups=n),
    lambda n: SelfAttention(n, n),
    lambda n: SelfAttention(n, 1, causal=True),
    lambda n: LSTM(n, n),
    lambda n: GRU(n, n),
    lambda n: Sequential(GRU(n, 2, bidirectional=True), Dense(4, n)),
    lambda n: PositionalEmbedding(9, n),
    lambda n: TransformerBlock(n, 1, hidden=2, dropout=0.1),
]
DIVIDING_TIME: list[Make] = [lambda _: MaxPool1D(3, 1, 1), lambda _: AveragePool1D(3, 1, 1)]
OF_PICTURES: list[Make] = [
    lambda n: Conv2D(n, n, 3, padding="same"),
    lambda n: Conv2D(n, n, (1, 3), padding="same", groups=n),
    lambda n: GroupNorm(n, n, epsilon=WIDE),
    lambda _: MaxPool2D(3, 1, 1),
    lambda _: AveragePool2D(3, 1, 1, count_padding=False),
]
ENDS: dict[int, list[Callable[[Shape, int], list[Module]]]] = {
    1: [lambda shape, n: [Dense(n, 3), Softmax()], lambda shape, n: [Dense(n, 1), Sigmoid()]],
    2: [
        lambda shape, n: [GlobalAveragePool1D(), Dense(n, 3), Softmax()],
        lambda shape, n: [GlobalMaxPool1D()],
        lambda shape, n: [LSTM(n, 2, return_sequence=False, bidirectional=True)],
    ],
    3: [
        lambda shape, n: [GlobalAveragePool2D(), Dense(n, 1), Sigmoid()],
        lambda shape, n: [MaxPool2D(1, 2), Flatten()],
    ],
}


@st.composite
def blocks(draw: st.DrawFn, layers: list[Make], features: int, depth: int = 2) -> Module:
    """A layer or a container of some, which keeps the shape of its input."""
    kind = draw(st.integers(0, 5)) if depth else 0
    if kind < 3:
        return draw(st.sampled_from(layers))(features)
    inside = draw(st.lists(blocks(layers, features, depth - 1), min_size=1, max_size=2))
    if kind == 3:
        return Sequential(*inside)
    if kind == 4:
        shortcut = draw(st.none() | blocks(layers, features, depth - 1))
        return Residual(*inside, shortcut=shortcut)
    merge = draw(st.sampled_from(["sum", "mean", "multiply", "concatenate"]))
    merged = Parallel(Sequential(), *inside, merge=merge)  # type: ignore[arg-type]
    return Sequential(merged, Dense(features * (1 + len(inside)), features)) if merge == "concatenate" else merged


@st.composite
def inputs(draw: st.DrawFn) -> tuple[Array, list[Make], int]:
    """A batch of rows, sequences or pictures, the layers that take them, and their features."""
    features, rank = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    shape = *(draw(st.integers(1, 5)) for _ in range(rank)), features
    layers = OF_ANYTHING + {1: [], 2: OF_SEQUENCES + DIVIDING_TIME, 3: OF_PICTURES}[rank]
    return batch(draw(st.integers(0, 2**32 - 1)), shape), layers, features


@st.composite
def network_of(draw: st.DrawFn, kind: type[Module]) -> tuple[Module, Array]:
    """A network that is a container of this kind, of at least two modules, and a batch for it."""
    if kind is Masked:
        return draw(masked_networks())
    x, layers, features = draw(inputs())
    inside = draw(st.lists(blocks(layers, features), min_size=2, max_size=3))
    if kind is TransformerBlock:
        causal, hidden = draw(st.booleans()), draw(st.integers(1, 4))
        return TransformerBlock(features, 1, causal=causal, hidden=hidden), x.reshape(len(x), -1, features)
    if kind is Residual:
        return Residual(*inside, shortcut=draw(st.none() | blocks(layers, features))), x
    if kind is Parallel:
        merge: Any = draw(st.sampled_from(["sum", "mean", "multiply", "concatenate"]))
        return Parallel(*inside, merge=merge), x
    end = draw(st.sampled_from([lambda *_: [], *ENDS[x.ndim - 1]]))
    return Sequential(*inside, *end(x.shape, features)), x


@st.composite
def masked_networks(draw: st.DrawFn) -> tuple[Module, Array]:
    """Sequences of different lengths, of tokens or of features, and layers that leave out their padding.

    Inside another Masked, some of the padding is 0 and some is 1.
    """
    n, time, features = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    padding = draw(st.sampled_from([0, 1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = draw(st.lists(st.integers(1, time), min_size=n, max_size=n))
    is_real = np.arange(time) < np.array(lengths)[:, None]
    number = np.where(rng.random((n, time)) < 0.5, 1 - padding, padding) if (nested := draw(st.booleans())) else padding
    of_tokens = draw(st.booleans())
    if of_tokens:
        x = np.where(is_real, rng.integers(2, TOKENS, (n, time)), number)
    else:
        number = np.broadcast_to(number, (n, time))[..., None]
        x = np.where(is_real[..., None], rng.standard_normal((n, time, features)), number)
    inside = draw(st.lists(blocks(OF_ANYTHING + OF_SEQUENCES, features), min_size=1, max_size=3))
    layers = [*([Embedding(TOKENS, features)] if of_tokens else []), *inside]
    if nested:
        layers = [Masked(*layers, padding=1 - padding)]
    end = draw(st.sampled_from([lambda *_: [], *ENDS[2]]))
    return Masked(*layers, *end(x.shape, features), padding=padding), x.astype(np.float32)


def batch(seed: int, shape: Shape) -> Array:
    """Random numbers in float32 of the given shape."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def randomize(model: Module, seed: int) -> None:
    """Give all parameters and buffers random numbers: none is 0 or 1, as biases and norms begin with."""
    rng = np.random.default_rng(seed)
    for name, buffer in model.named_state():
        is_size = name.rpartition(".")[2] in ("running_variance", "scale")
        values = rng.uniform(0.5, 2, buffer.shape) if is_size else rng.normal(0, 0.5, buffer.shape)
        buffer.data[...] = values.astype(np.float32)


class InEvaluation(BatchNorm):
    """A BatchNorm that has its running statistics in training, too: what a backward pass through `predict` is."""

    def forward(self, x: Array) -> Array:
        h = (x - self.running_mean.data) / np.sqrt(self.running_variance.data + self.epsilon)
        self.save_for_backward(h)
        return self._scale_and_shift(h)

    def backward(self, grad_output: Array) -> Array:
        (h,) = self.saved_for_backward()
        gradient = self._norm_gradients(grad_output, h)
        return gradient / np.sqrt(self.running_variance.data + self.epsilon)


def in_double(model: Module) -> Module:
    """Return a copy of a network whose weights are in float64."""
    model = copy.deepcopy(model)
    for _, buffer in model.named_state():
        buffer.data = buffer.data.astype(np.float64)
    return model


def exact_twin(model: Module) -> Module:
    """Return a network in float64 that computes in training what this one computes in evaluation."""
    model = in_double(model)
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm):
            module.__class__ = InEvaluation
        if isinstance(module, Dropout):
            module.rate = 0.0
    return model
