"""ONNX files compute what `predict` does: ONNX Runtime runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import browser_networks as networks
import numpy as np
import pytest
from hypothesis import given, settings
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
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    Masked,
    MaxPool1D,
    MaxPool2D,
    Module,
    Normalize,
    Parallel,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Residual,
    RMSNorm,
    SelfAttention,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    TransformerBlock,
    UpSample2D,
    convnet,
    mlp,
)
from minidl._typing import Array
from minidl.architecture import BUILT_IN
from minidl.interchange import to_onnx
from minidl.interchange.onnx_export import EXPORTERS
from minidl.models import lstm_classifier, transformer

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx_files import error, in_onnx_runtime, run  # noqa: E402

TOLERANCE = 1e-5

LAYERS: dict[int, list[Module]] = {  # by the axes of a sample; each takes 4 features
    1: [
        Dense(4, 3), Dense(4, 3, bias=False), ReLU(), LeakyReLU(0.2), PReLU(), PReLU(4), ReLU6(), ELU(-0.5), SELU(),
        GELU(), GELU(approximate="tanh"), SiLU(), HardSwish(), Softplus(), Sigmoid(), Tanh(), Softmax(), LogSoftmax(),
        Dropout(0.5), Flatten(), Rescale(2.0, 1.0), Rescale(2.0), Normalize(4), BatchNorm(4), BatchNorm(4, bias=False),
        BatchNorm(4, weight=False), LayerNorm(4), LayerNorm(4, weight=False), LayerNorm(4, bias=False),
        LayerNorm(4, weight=False, bias=False), RMSNorm(4), RMSNorm(4, weight=False),
    ],
    2: [
        Conv1D(4, 6, 3, padding="causal", dilation=2), Conv1D(4, 6, 3, stride=2, padding="same_upper", groups=2),
        MaxPool1D(3, 2, 1), AveragePool1D(3, 2, (1, 0), count_padding=False), GlobalAveragePool1D(), GlobalMaxPool1D(),
        SelfAttention(4, 2), SelfAttention(4, 1, causal=True, bias=False), PositionalEmbedding(9, 4),
        PositionalEmbedding(9, 4, kind="sinusoidal"), TransformerBlock(4, 2, causal=True), LSTM(4, 3), GRU(4, 3),
        LSTM(4, 3, bidirectional=True), GRU(4, 3, bidirectional=True), LSTM(4, 3, return_sequence=False),
        GRU(4, 3, return_sequence=False, bidirectional=True),
    ],
    3: [
        Conv2D(4, 6, (3, 2), stride=(2, 1), padding="same_upper", dilation=(1, 2), groups=2),
        Conv2D(4, 6, 3, padding="same_upper"), Conv2D(4, 6, 3, stride=2, padding=((1, 0), (2, 1)), bias=False),
        ConvTranspose2D(4, 6, 3, stride=2, padding=((1, 0), (0, 1)), output_padding=(1, 0), groups=2, dilation=2),
        MaxPool2D(3, 2, ((1, 0), (2, 1))), AveragePool2D(3, 2, 1), GlobalMaxPool2D(), GlobalAveragePool2D(),
        AveragePool2D((3, 2), 2, ((1, 0), (0, 1)), count_padding=False), UpSample2D(3), GroupNorm(2, 4),
        GroupNorm(4, 4, weight=False), GroupNorm(1, 4, bias=False),
    ],
}  # fmt: skip
SHAPES = {1: (4,), 2: (6, 4), 3: (9, 7, 4)}
CASES = [(layer, SHAPES[axes]) for rank, some in LAYERS.items() for layer in some for axes in SHAPES if axes == rank]
CASES += [(layer, SHAPES[axes]) for layer in LAYERS[1] for axes in (2, 3)]


def test_no_layer_is_forgotten() -> None:
    assert set(EXPORTERS) == set(BUILT_IN.values())
    tried = {type(layer) for layer, _ in CASES} | {Embedding, Sequential, Residual, Parallel, Masked}
    assert tried == set(BUILT_IN.values())


@pytest.mark.parametrize(
    ("layer", "shape"), CASES, ids=lambda case: str(case) if isinstance(case, tuple) else repr(case)
)
def test_each_layer_agrees_with_onnx_runtime(layer: Module, shape: tuple[int, ...]) -> None:
    networks.randomize(layer, 0)
    x = networks.batch(1, (3, *shape))
    for sides in (shape, (*[None] * (len(shape) - 1), shape[-1])):
        assert error(in_onnx_runtime(layer, x, sides, input_dtype=np.float32), layer.predict(x)) <= TOLERANCE


@pytest.mark.parametrize("kind", [Sequential, Residual, Parallel, Masked, TransformerBlock])
def test_networks_agree_with_onnx_runtime(kind: type[Module]) -> None:
    @settings(max_examples=15, deadline=None)
    @given(networks.network_of(kind), st.integers(0, 2**32 - 1))
    def agree(network: tuple[Module, Array], seed: int) -> None:
        model, x = network
        networks.randomize(model, seed)
        assert error(in_onnx_runtime(model, x, x.shape[1:]), model.predict(x)) <= TOLERANCE

    agree()


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(1, 9)] * 2),
)
def test_same_upper_of_any_size(kernel: Any, stride: Any, dilation: Any, sides: Any) -> None:
    layer = Conv2D(2, 3, kernel, stride, "same_upper", dilation, rng=0)
    x = networks.batch(0, (2, *sides, 2))
    assert error(in_onnx_runtime(layer, x, (None, None, 2)), layer.predict(x)) <= TOLERANCE


@pytest.mark.parametrize("layer", [LSTM(2, 3), GRU(2, 3, bidirectional=True), SelfAttention(2, 1, causal=True)])
def test_padding_may_stand_anywhere(layer: Module) -> None:
    networks.randomize(layer, 0)
    x = networks.batch(0, (4, 5, 2))
    for row, steps in enumerate([[0], [4, 3], [1, 2], []]):
        x[row, steps] = 0
    model = Masked(layer, padding=0)
    assert error(in_onnx_runtime(model, x, (None, 2)), model.predict(x)) <= TOLERANCE


@pytest.mark.parametrize(
    ("model", "shape", "high"),
    [
        (transformer(20, length=8, features=8, heads=2, rng=0), (None,), 20),
        (lstm_classifier(20, classes=3, features=4, units=5, bidirectional=True, rng=0), (None,), 20),
    ],
)
def test_token_numbers_in_sequences_of_any_length(model: Module, shape: Any, high: int) -> None:
    for steps in (1, 8):
        x = np.random.default_rng(steps).integers(1, high, (3, steps))
        x[0, steps // 2 + 1 :] = 0
        assert error(in_onnx_runtime(model, x, shape), model.predict(x)) <= TOLERANCE


def test_photographs_and_what_is_known_of_them(tmp_path: Path) -> None:
    model = Sequential(Rescale(), convnet((8, 8, 3), [4], 2, rng=0), Softmax())
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    path = tmp_path / "photographs.onnx"
    to_onnx(model, path, (8, 8, 3), class_names=["cat", "ötter"], image_size=(8, 8))
    assert error(run(path, pixels), model.predict(pixels)) <= TOLERANCE
    proto = onnx.load(path)
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    known = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert known == {"class_names": ["cat", "ötter"], "image_size": [8, 8]}
    names = {constant.name for constant in proto.graph.initializer}
    assert {name for name, _ in model.named_parameters()} <= names
    operators = [node.op_type for node in proto.graph.node]
    assert operators.count("Transpose") == 2, "before the first convolution, and behind the last pooling"


def test_several_inputs_and_other_types() -> None:
    model = Parallel(
        Sequential(Rescale(), Flatten(), Dense(12, 3, rng=0)), Sequential(Embedding(9, 3, rng=1), GlobalAveragePool1D())
    )
    x = np.full((2, 2, 2, 3), 200, np.uint8), np.array([[1, 8], [3, 4]])
    assert error(in_onnx_runtime(model, x, ((2, 2, 3), (2,))), model.predict(x)) <= TOLERANCE
    double = mlp([3, 4, 1], rng=0, dtype=np.float64)
    rows = np.ones((2, 3))
    assert error(in_onnx_runtime(double, rows), double.predict(rows)) <= 1e-12
    assert error(in_onnx_runtime(double, rows, input_dtype=np.float32), double.predict(rows)) <= 1e-12


class Own(ReLU):
    def forward(self, x: Array) -> Array:
        return 2 * x


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (Sequential(Dense(2, 2), Own()), (2,), "layer 1, Own(): expected layers that minidl has"),
        (Masked(MaxPool1D(2)), (4, 2), "layer 0, MaxPool1D(2, stride=2, padding=0): divides the time inside a Masked"),
        (
            Masked(Conv1D(2, 2, 3)),
            (4, 2),
            "layer 0, Conv1D(2 -> 2, 3, stride=1, padding='valid'): changes the number of steps",
        ),
        (Sequential(Conv2D(3, 2, 3)), None, "input_shape: expected the shape of one sample"),
        (Sequential(Conv2D(3, 2, 3)), (8, 8, 4), "layer 0, Conv2D(3 -> 2, 3 x 3, stride=1, padding='valid'): expected"),
        (
            Sequential(Conv2D(3, 2, 3)),
            (None, None, 4),
            "layer 0, Conv2D(3 -> 2, 3 x 3, stride=1, padding='valid'): expected",
        ),
        (mlp([2, 1]), (0,), "input_shape[0]"),
    ],
)
def test_what_onnx_cannot_hold_is_named(model: Module, shape: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        to_onnx(model, tmp_path / "model.onnx", shape)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="to_onnx: expected a Module"):
        to_onnx("model", tmp_path / "model.onnx")  # type: ignore[arg-type]
    for dtype in ("complex64", "no type"):
        with pytest.raises(ValueError, match="to_onnx input_dtype: expected a type of real numbers"):
            to_onnx(mlp([2, 1]), tmp_path / "model.onnx", input_dtype=dtype)
    with pytest.raises(ValueError, match=r"metadata\.scale"):
        to_onnx(mlp([2, 1]), tmp_path / "model.onnx", scale=np.ones(2))
