"""One table of all layers and losses, put through one contract; what is missing from the table fails."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds, sizes

from minidl import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    BinaryCrossEntropy,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSwish,
    Hinge,
    Huber,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    Loss,
    MaxPool1D,
    MaxPool2D,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    Normalize,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    RMSNorm,
    SelfAttention,
    Sigmoid,
    SiLU,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Tanh,
    UpSample2D,
    WeightedLoss,
    layers,
    losses,
)
from minidl._typing import Array
from minidl.testing import check_layer, check_loss

Shape = tuple[int, ...]
# How to make the layer, the shape it takes, the shape it gives, and shapes that it must refuse.
Case = tuple[Callable[[Any], Module], Shape, Shape, list[Shape]]

flags = st.fixed_dictionaries({"weight": st.booleans(), "bias": st.booleans()})
draw_shapes = st.lists(sizes, min_size=2, max_size=4).map(tuple)


@st.composite
def elementwise(draw: st.DrawFn, make: Callable[[], Module]) -> Case:
    shape = draw(draw_shapes)
    return (lambda _: make(), shape, shape, [])


@st.composite
def dense(draw: st.DrawFn) -> Case:
    before, inputs, units, bias = (
        draw(st.lists(sizes, min_size=1, max_size=3)),
        draw(sizes),
        draw(sizes),
        draw(st.booleans()),
    )
    bad = [(inputs,), (*before, inputs + 1), (*before, inputs, inputs + 1), (0, inputs), (2, 0, inputs)]
    return lambda dtype: Dense(inputs, units, bias=bias, rng=0, dtype=dtype), (*before, inputs), (*before, units), bad


@st.composite
def flatten(draw: st.DrawFn) -> Case:
    shape = draw(draw_shapes)
    return lambda _: Flatten(), shape, (shape[0], int(np.prod(shape[1:]))), [()]


@st.composite
def softmax(draw: st.DrawFn, kind: Any) -> Case:
    shape = (*draw(draw_shapes), draw(st.integers(2, 5)))
    return lambda _: kind(), shape, shape, [shape[-1:], (3, 0), (3, 1)]


@st.composite
def prelu(draw: st.DrawFn) -> Case:
    shape, slope = draw(draw_shapes), draw(st.floats(-1, 1))
    one = draw(st.booleans())
    bad = [] if one or shape[-1] == 1 else [(*shape[:-1], shape[-1] + 1), shape[-1:], (0, *shape[1:])]
    features = 1 if one else shape[-1]
    return lambda dtype: PReLU(features, negative_slope=slope, dtype=dtype), shape, shape, bad


@st.composite
def dropout(draw: st.DrawFn) -> Case:
    shape, rate, seed = draw(draw_shapes), draw(st.floats(0, 0.99)), draw(seeds)
    return lambda _: Dropout(rate, rng=seed), shape, shape, []


@st.composite
def batch_norm(draw: st.DrawFn) -> Case:
    n, features = draw(st.integers(2, 6)), draw(sizes)
    shape = draw(st.sampled_from([(n, features), (n, 2, features), (n, 3, 2, features)]))
    momentum, parts, frozen = draw(st.floats(0, 1)), draw(flags), draw(st.booleans())
    bad = [(n, features + 1), (n, 2, features + 1), (features,), (0, features)]
    bad += [] if frozen else [(1, features), (1, 1, 1, features)]

    def make(dtype: np.dtype[Any]) -> Module:
        layer = BatchNorm(features, momentum=momentum, dtype=dtype, **parts)
        return layer.freeze() if frozen else layer

    return make, shape, shape, bad


@st.composite
def norm_of_last_axis(draw: st.DrawFn, kind: Any) -> Case:
    shape = draw(draw_shapes)
    bad = [(2, shape[-1] + 1), shape[-1:], (0, shape[-1])]
    parts = {name: draw(st.booleans()) for name in ("weight", "bias")[: {RMSNorm: 1, Normalize: 0}.get(kind, 2)]}
    return lambda dtype: kind(shape[-1], dtype=dtype, **parts), shape, shape, bad


@st.composite
def group_norm(draw: st.DrawFn) -> Case:
    groups, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    n, height, columns, channels = draw(sizes), draw(st.integers(1, 3)), draw(st.integers(1, 3)), groups * width
    shape = n, height, columns, channels
    bad = [(*shape[:3], channels + 1), shape[1:], (0, *shape[1:])]
    parts = draw(flags)
    return lambda dtype: GroupNorm(groups, channels, dtype=dtype, **parts), shape, shape, bad


small = st.integers(1, 3)
few = st.integers(1, 2)


@st.composite
def along(draw: st.DrawFn, spans: int, stride: int, most: int) -> tuple[int, tuple[int, int], int]:
    """Return the length of an axis, its padding of up to `most`, and how many windows fit into it."""
    side, padding = draw(st.integers(spans, 6)), (draw(st.integers(0, most)), draw(st.integers(0, most)))
    return side, padding, (side + sum(padding) - spans) // stride + 1


@st.composite
def convolution(draw: st.DrawFn, kind: Any) -> Case:
    axes = 1 if kind is Conv1D else 2
    groups, size, stride, dilation = draw(few), *(tuple(draw(few) for _ in range(axes)) for _ in range(3))
    n, channels, filters, bias = draw(small), groups * draw(few), groups * draw(few), draw(st.booleans())
    spans = [pace * (side - 1) + 1 for pace, side in zip(dilation, size, strict=True)]
    sides, borders, counts = zip(*(draw(along(*each, 2)) for each in zip(spans, stride, strict=True)), strict=True)
    named = [("same", [-(-side // step) for side, step in zip(sides, stride, strict=True)])]
    named += [("same_upper", named[0][1])] if axes == 2 else [("causal", named[0][1])]
    padding, out = draw(st.sampled_from([*named, (borders, counts)]))
    arguments = [size, stride, padding, dilation]
    if axes == 1:
        arguments = [argument[0] if isinstance(argument, tuple) else argument for argument in arguments]
    bad = [(n, *sides, channels + 1), (*sides, channels), (n, *sides, 1, channels), (0, *sides, channels)]

    def make(dtype: Any) -> Module:
        layer: Module = kind(channels, filters, *arguments, groups, bias=bias, rng=0, dtype=dtype)
        return layer

    return make, (n, *sides, channels), (n, *out, filters), bad


@st.composite
def transposed(draw: st.DrawFn) -> Case:
    groups, size, stride, dilation = draw(few), *((draw(few), draw(few)) for _ in range(3))
    n, channels, filters, bias = draw(small), groups * draw(few), groups * draw(few), draw(st.booleans())
    spans = [pace * (side - 1) + 1 for pace, side in zip(dilation, size, strict=True)]
    more = draw(st.integers(0, stride[0] - 1)), draw(st.integers(0, stride[1] - 1))
    out, counts = [draw(st.integers(spans[i] + more[i], 6)) for i in range(2)], []
    for i in range(2):
        counts.append((out[i] - more[i] - spans[i]) // stride[i] + 1)
        out[i] = (counts[i] - 1) * stride[i] + spans[i] + more[i]
    bad = [(n, *counts, channels + 1), (*counts, channels), (n, channels), (0, *counts, channels)]
    rest: Any = {"bias": bias, "rng": 0}

    def make(dtype: Any) -> Module:
        return ConvTranspose2D(channels, filters, size, stride, 0, more, dilation, groups, **rest, dtype=dtype)

    return make, (n, *counts, channels), (n, *out, filters), bad


@st.composite
def pool(draw: st.DrawFn, kind: Any) -> Case:
    axes = 1 if kind in (MaxPool1D, AveragePool1D) else 2
    n, channels = draw(small), draw(small)
    size, stride = (tuple(draw(small) for _ in range(axes)) for _ in range(2))
    drawn = [draw(along(side, step, side - 1)) for side, step in zip(size, stride, strict=True)]
    sides, borders, counts = zip(*drawn, strict=True)
    arguments = [argument[0] if axes == 1 else argument for argument in (size, stride, borders)]
    if kind in (AveragePool1D, AveragePool2D):
        arguments.append(draw(st.booleans()))
    bad = [(*sides, channels), (n, *sides, 1, channels), (0, *sides, channels)]
    if size[-1] > 1 and not any(borders[-1]):
        bad.append((n, *sides[:-1], size[-1] - 1, channels))
    return lambda _: kind(*arguments), (n, *sides, channels), (n, *counts, channels), bad


@st.composite
def global_pool(draw: st.DrawFn, kind: Any) -> Case:
    shape = tuple(draw(sizes) for _ in range(4))
    return lambda _: kind(), shape, (shape[0], shape[3]), [shape[:3], shape[:2], (2, 0, 2, 1)]


@st.composite
def up_sample(draw: st.DrawFn) -> Case:
    n, height, width, channels, factor = (draw(st.integers(1, 4)) for _ in range(5))
    shape = n, height, width, channels
    out = n, factor * height, factor * width, channels
    return lambda _: UpSample2D(factor), shape, out, [shape[:3], shape[:2], (2, 0, 2, 1)]


TOKENS = 3  # of every Embedding here


@st.composite
def embedding(draw: st.DrawFn) -> Case:
    shape, features = draw(st.lists(sizes, min_size=1, max_size=3).map(tuple)), draw(sizes)
    return lambda dtype: Embedding(TOKENS, features, rng=0, dtype=dtype), shape, (*shape, features), [(), (0, 2)]


@st.composite
def positional_embedding(draw: st.DrawFn) -> Case:
    n, steps, features = (draw(sizes) for _ in range(3))
    length = steps + draw(st.integers(0, 2))
    kinds: list[Literal["learned", "sinusoidal"]] = ["learned", "sinusoidal"]
    kind = draw(st.sampled_from(kinds))
    shape = n, steps, features
    bad = [(n, length + 1, features), (n, steps, features + 1), (steps, features), (n, 0, features), (0, 1, features)]
    return lambda dtype: PositionalEmbedding(length, features, kind=kind, rng=0, dtype=dtype), shape, shape, bad


@st.composite
def self_attention(draw: st.DrawFn) -> Case:
    n, steps, heads, width = draw(sizes), draw(sizes), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    causal, bias, features = draw(st.booleans()), draw(st.booleans()), heads * width
    shape = n, steps, features
    bad = [(n, steps, features + 1), (steps, features), (n, 0, features), (0, 1, features)]

    def make(dtype: Any) -> Module:
        return SelfAttention(features, heads, causal=causal, bias=bias, rng=0, dtype=dtype)

    return make, shape, shape, bad


@st.composite
def recurrent(draw: st.DrawFn, kind: Any) -> Case:
    n, steps, inputs, units = (draw(st.integers(1, 4)) for _ in range(4))
    sequence, both = draw(st.booleans()), draw(st.booleans())
    out = (n, *((steps,) if sequence else ()), units * (1 + both))
    bad = [(n, steps, inputs + 1), (steps, inputs), (n, 0, inputs), (0, steps, inputs), (n, 1, steps, inputs)]

    def make(dtype: Any) -> Module:
        layer: Module = kind(inputs, units, return_sequence=sequence, bidirectional=both, rng=0, dtype=dtype)
        return layer

    return make, (n, steps, inputs), out, bad


@st.composite
def pool_over_time(draw: st.DrawFn, kind: Any) -> Case:
    n, steps, features = (draw(sizes) for _ in range(3))
    bad = [(steps, features), (n, 0, features), (0, steps, features), (n, 1, steps, features)]
    return lambda _: kind(), (n, steps, features), (n, features), bad


LAYERS: dict[type[Module], st.SearchStrategy[Case]] = {
    Dense: dense(),
    ReLU: elementwise(ReLU),
    LeakyReLU: elementwise(lambda: LeakyReLU(0.2)),
    Sigmoid: elementwise(Sigmoid),
    Tanh: elementwise(Tanh),
    GELU: st.sampled_from([GELU("none"), GELU("tanh")]).flatmap(lambda gelu: elementwise(lambda: copy.deepcopy(gelu))),
    Softmax: softmax(Softmax),
    LogSoftmax: softmax(LogSoftmax),
    PReLU: prelu(),
    ReLU6: elementwise(ReLU6),
    ELU: st.floats(-1, 2).flatmap(lambda alpha: elementwise(lambda: ELU(alpha))),
    SELU: elementwise(SELU),
    SiLU: elementwise(SiLU),
    HardSwish: elementwise(HardSwish),
    Softplus: elementwise(Softplus),
    Flatten: flatten(),
    Rescale: elementwise(lambda: Rescale(0.5, -1.0)),
    Normalize: norm_of_last_axis(Normalize),
    Dropout: dropout(),
    BatchNorm: batch_norm(),
    LayerNorm: norm_of_last_axis(LayerNorm),
    RMSNorm: norm_of_last_axis(RMSNorm),
    GroupNorm: group_norm(),
    Conv1D: convolution(Conv1D),
    Conv2D: convolution(Conv2D),
    ConvTranspose2D: transposed(),
    MaxPool1D: pool(MaxPool1D),
    MaxPool2D: pool(MaxPool2D),
    AveragePool1D: pool(AveragePool1D),
    AveragePool2D: pool(AveragePool2D),
    GlobalAveragePool2D: global_pool(GlobalAveragePool2D),
    GlobalMaxPool2D: global_pool(GlobalMaxPool2D),
    UpSample2D: up_sample(),
    Embedding: embedding(),
    PositionalEmbedding: positional_embedding(),
    SelfAttention: self_attention(),
    LSTM: recurrent(LSTM),
    GRU: recurrent(GRU),
    GlobalAveragePool1D: pool_over_time(GlobalAveragePool1D),
    GlobalMaxPool1D: pool_over_time(GlobalMaxPool1D),
}

COLUMN = np.array([[0.2], [0.7], [0.4]])
NAN = np.array([[np.nan]])
ROWS = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
# The loss, a prediction, its target, and pairs that it must refuse.
LOSSES: list[tuple[Loss, Array, Array, list[tuple[Any, Any]]]] = [
    (BinaryCrossEntropy(), COLUMN, np.array([[0.0], [1.0], [0.5]]), [(COLUMN, COLUMN[:, 0]), (COLUMN + 1, COLUMN)]),
    (BinaryCrossEntropy(from_logits=True), 9 * COLUMN, np.array([[0], [1], [1]]), [(NAN, [[1]]), ([[1.0]], [["cat"]])]),
    (SoftmaxCrossEntropy(label_smoothing=0.1), 5 * ROWS, np.array([2, 0]), [(ROWS, [3, 0]), (ROWS, [0.0, 1.0])]),
    (SoftmaxCrossEntropy(from_logits=False), ROWS, ROWS[::-1], [(ROWS, [[1]]), (2 * ROWS, [0, 1])]),
    (MeanSquaredError(), COLUMN, -COLUMN, [(COLUMN, COLUMN[:, 0]), (COLUMN, [["cat"]] * 3)]),
    (MeanAbsoluteError(), COLUMN, -COLUMN, [(COLUMN, COLUMN[:, 0]), (COLUMN, NAN.repeat(3, axis=0))]),
    (Huber(0.9), COLUMN, -COLUMN, [(COLUMN, COLUMN[:, 0]), (NAN, [[1.0]])]),
    (
        Hinge(),
        9 * COLUMN - 4,
        np.array([[0], [1], [1]]),
        [(COLUMN, COLUMN), (COLUMN, [[0], [-1], [1]])],
    ),
    (Hinge(squared=True), 9 * COLUMN - 4, np.array([[-1], [1], [-1]]), [(COLUMN, [0, 1, 1]), ([[1.0]], [["cat"]])]),
]


def test_every_exported_layer_is_in_the_table() -> None:
    assert {kind.__name__ for kind in LAYERS} == set(layers.__all__)


SPECIAL = (Loss, WeightedLoss)  # the base, and the one whose targets are pairs: tests/test_weights.py


def test_every_loss_is_in_the_table() -> None:
    public = {
        kind
        for name, kind in vars(losses).items()
        if isinstance(kind, type) and issubclass(kind, Loss) and kind not in SPECIAL and not name.startswith("_")
    }
    assert public == {type(loss) for loss, *_ in LOSSES}


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@settings(max_examples=50)
@given(data=st.data(), seed=seeds)
def test_layer(kind: type[Module], data: st.DataObject, seed: int) -> None:
    make, input_shape, output_shape, bad_shapes = data.draw(LAYERS[kind])
    tokens, views = TOKENS if kind is Embedding else None, kind is Flatten
    check_layer(
        make, input_shape, output_shape, tokens=tokens, bad_shapes=bad_shapes, views=views, strict=True, rng=seed
    )


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: repr(case[0]))
def test_loss(case: tuple[Loss, Array, Array, list[tuple[Any, Any]]]) -> None:
    loss, prediction, target, bad = case
    check_loss(loss, prediction, target, bad=bad)


@pytest.mark.parametrize(
    "kind", [kind for kind in LAYERS if kind not in (Flatten, Rescale, Normalize, Embedding)], ids=lambda k: k.__name__
)
@settings(max_examples=1)
@given(data=st.data())
def test_whole_numbers_are_refused(kind: type[Module], data: st.DataObject) -> None:
    make, input_shape, _, _ = data.draw(LAYERS[kind])
    with pytest.raises(ValueError, match=r"numbers, received dtype uint8; put Rescale\(\) first"):
        make(np.float32)(np.ones(input_shape, np.uint8))


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_a_gradient_of_another_shape_is_refused(kind: type[Module], data: st.DataObject) -> None:
    # NumPy would broadcast some of them, and others would only be laid out anew.
    make, input_shape, shape, _ = data.draw(LAYERS[kind])
    layer, x = make(np.float64), np.random.default_rng(0).standard_normal(input_shape)
    if kind is Embedding:
        x = np.zeros(input_shape)
    for wrong in (
        (),
        (1,),
        shape[:-1],
        shape[1:],
        (*shape, 1),
        (*shape[:-1], shape[-1] + 1),
        (2 * shape[0], *shape[1:]),
    ):
        layer(x)
        message = f"{layer!r}.backward: expected a gradient of the output's shape {shape}, received {wrong}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            layer.backward(np.ones(wrong))
    layer(x)
    assert layer.backward(np.ones(shape)).shape == input_shape


WITH_PARAMETERS = [Dense, Conv1D, Conv2D, ConvTranspose2D, BatchNorm, LSTM, GRU]


@pytest.mark.parametrize("kind", WITH_PARAMETERS, ids=lambda kind: kind.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_backward_parameters_refuses_a_gradient_of_another_shape(kind: type[Module], data: st.DataObject) -> None:
    make, input_shape, shape, _ = data.draw(LAYERS[kind])
    layer: Any = make(np.float64)
    layer(np.random.default_rng(0).standard_normal(input_shape))
    with pytest.raises(ValueError, match="expected a gradient of the output's shape"):
        layer.backward_parameters(np.ones((*shape[:-1], shape[-1] + 1)))
