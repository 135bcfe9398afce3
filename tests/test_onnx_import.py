"""Networks read from ONNX files compute what their authors' programs do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import browser_networks as networks
import numpy as np
import pytest

from minidl import (
    GELU,
    SGD,
    AveragePool1D,
    BatchNorm,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    MaxPool2D,
    MeanSquaredError,
    Module,
    Parallel,
    PositionalEmbedding,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Trainer,
    load,
    mlp,
    resnet,
    save,
)
from minidl._typing import Array
from minidl.errors import ModelFileError
from minidl.interchange import from_onnx, onnx_metadata, to_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_files import error, run  # noqa: E402
from test_onnx_export import CASES  # noqa: E402

NOT_READ = {"RMSNorm", "GroupNorm", "SelfAttention", "TransformerBlock"}
"""Layers whose formulas `to_onnx` writes with operators that are read only where they are no part of one."""


@pytest.mark.parametrize(
    ("layer", "shape"), CASES, ids=lambda case: str(case) if isinstance(case, tuple) else repr(case)
)
def test_each_layer_goes_there_and_back(layer: Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    networks.randomize(layer, 0)
    x = networks.batch(1, (3, *shape))
    to_onnx(layer, tmp_path / "layer.onnx", shape, input_dtype=np.float32)
    is_fixed = getattr(layer, "padding", "") != "same_upper" or getattr(layer, "stride", 1) == 1
    if type(layer).__name__ in NOT_READ or not is_fixed:
        with pytest.raises(ModelFileError, match=re.escape(f"{tmp_path / 'layer.onnx'}: ")):
            from_onnx(tmp_path / "layer.onnx")
        return
    again = from_onnx(tmp_path / "layer.onnx")
    assert error(again.predict(x), layer.predict(x)) <= 1e-6
    assert all(buffer.data.flags.writeable for _, buffer in again.named_state())
    kinds = {type(module) for _, module in again.named_modules()} - {Sequential}
    assert kinds <= {type(layer), PositionalEmbedding}


def saved_again(network: Module, tmp_path: Path) -> Module:
    save(network, tmp_path / "network.npz")
    loaded: Module = load(tmp_path / "network.npz")
    return loaded


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (
            Sequential(Conv2D(3, 4, 3, padding="same"), BatchNorm(4), GELU(), MaxPool2D(2), Flatten(), Dense(48, 2)),
            (8, 6, 3),
        ),
        (resnet([1, 2], [4, 8], 3, rng=0), (8, 8, 3)),
        (Sequential(Embedding(5, 3), Residual(Dense(3, 3), ReLU()), GlobalAveragePool1D(), Softmax()), (4,)),
        (Sequential(Parallel(Dense(3, 2), Sequential(), merge="concatenate"), Dense(5, 1), Sigmoid()), (3,)),
        (Sequential(Parallel(Dense(3, 2), Sequential(Dense(3, 2), ReLU()), Dense(3, 2), merge="mean")), (3,)),
        (Sequential(Residual(Residual(Dense(3, 3)), ReLU(), Residual(Dense(3, 3)))), (3,)),
    ],
)
def test_networks_are_read_saved_and_trained(model: Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    networks.randomize(model, 3)
    x = networks.batch(0, (6, *shape)) if len(shape) > 1 or shape == (3,) else np.arange(24).reshape(6, 4) % 5
    to_onnx(model, tmp_path / "model.onnx", shape)
    network = saved_again(from_onnx(tmp_path / "model.onnx"), tmp_path)
    assert error(network.predict(x), model.predict(x)) <= 1e-5
    before = network.predict(x)
    trainer = Trainer(network, MeanSquaredError(), SGD(network.parameters(), learning_rate=0.001))
    trainer.fit(x, np.zeros_like(before), epochs=2, print_every=None)
    assert (network.predict(x) != before).any()


def written(
    path: Path, nodes: list[Any], shapes: dict[str, Any], rank: int = 2, opset: int = 17, **constants: Array
) -> Path:
    """Write a model of these operators."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def test_rows_of_pictures_are_laid_out_anew(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, 3 * 4 * 5)).astype(np.float32)
    kernel = rng.standard_normal((3, 2, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Mul", ["c", "scale"], ["d"]),
        helper.make_node("Gemm", ["d", "weight"], ["y"], transB=1),
    ]
    scale = rng.uniform(1, 2, 60).astype(np.float32)
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 2, 4, 5]}, kernel=kernel, weight=weight, scale=scale)
    x = networks.batch(0, (3, 2, 4, 5))
    expected = np.maximum(np.einsum("oc,nchw->nohw", kernel[..., 0, 0], x).reshape(3, -1), 0) * scale @ weight.T
    assert error(run(path, x), expected) <= 1e-5
    assert error(from_onnx(path).predict(np.moveaxis(x, 1, -1)), expected) <= 1e-5


def test_what_is_not_supported_is_named_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sin", ["x"], ["a"]),
        helper.make_node("Cos", ["a"], ["b"]),
        helper.make_node("Cos", ["b"], ["c"]),
        helper.make_node("Clip", ["x", "low"], ["d"], name="limit"),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 4]}, low=np.array(1, np.float32))
    message = (
        f"{path}: there is no layer for the operators Cos (2 times), Sin; Clip 'limit': the bounds are 1.0 and None; "
        "only 0 and 6, and 0 alone, are supported"
    )
    with pytest.raises(ModelFileError, match=f"^{re.escape(message)}$"):
        from_onnx(path)


def node(operator: str, *names: str, **attributes: Any) -> Any:
    return helper.make_node(operator, list(names[:-1]), [names[-1]], **attributes)


VECTOR = np.arange(1, 5, dtype=np.float32)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Relu", "x", "a"), node("Tanh", "a", "b"), node("Add", "a", "b", "s"), node("Mul", "s", "a", "y")], ""),
        (
            [node("Relu", "x", "a"), node("Tanh", "x", "b"), node("Add", "a", "b", "s"), node("Mul", "s", "a", "y")],
            "is used in branches that are not nested",
        ),
        ([node("Erf", "x", "y")], "there is no layer for the operator Erf outside of GELU"),
        ([node("Transpose", "x", "y", perm=[1, 0])], "the axes of the output 'y' would stand in the order (1, 0)"),
        ([node("Relu", "c", "y")], "the output 'y' does not depend on the input"),
        ([node("Div", "c", "x", "y")], "a constant before the array is not supported"),
        (
            [
                node("Shape", "x", "s"),
                node("Cast", "s", "f", to=1),
                node("Gather", "f", "i", "n"),
                node("Mul", "x", "n", "y"),
            ],
            "depend on the length of a side that the file leaves open",
        ),
        ([node("Mul", "x", "zero", "y")], "by a constant that is 0, too small, or not finite"),
    ],
)
def test_other_networks_are_refused(nodes: list[Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 4]}, c=VECTOR, zero=np.zeros(4, np.float32), i=np.array(0))
    if not message:
        x = networks.batch(0, (3, 4))
        assert error(from_onnx(path).predict(x), run(path, x)) <= 1e-6
        return
    with pytest.raises(ModelFileError, match=re.escape(message)):
        from_onnx(path)


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("constant", [np.float32(3), VECTOR, VECTOR[None]])
def test_constants_are_added_and_multiplied(operator: str, constant: Any, tmp_path: Path) -> None:
    x = networks.batch(0, (3, 4))
    path = written(tmp_path / "m.onnx", [node(operator, "x", "c", "y")], {"x": ["n", 4]}, c=np.asarray(constant))
    expected = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[operator](x, constant)
    assert error(from_onnx(path).predict(x), expected) <= 1e-6


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match=re.escape(f"{path}: damaged, or not an ONNX model: ")):
        from_onnx(path)
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")
    to_onnx(mlp([2, 1]), path, class_names=["a", "b"])
    assert onnx_metadata(path) == {"class_names": ["a", "b"]}
    with pytest.raises(ModelFileError, match="output: expected one of 'y', received 'z'"):
        from_onnx(path, "z")


def test_pooling_counts_no_padding_as_onnx_does(tmp_path: Path) -> None:
    nodes = [node("AveragePool", "x", "y", kernel_shape=[3], pads=[1, 1])]
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 2, 5]}, 3)
    network, x = from_onnx(path), networks.batch(0, (3, 2, 5))
    assert isinstance(network[0], AveragePool1D)  # type: ignore[index]
    assert not network[0].count_padding  # type: ignore[index]
    assert error(network.predict(np.moveaxis(x, 1, -1)), np.moveaxis(run(path, x), 1, -1)) <= 1e-6
