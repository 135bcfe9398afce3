"""ONNX files that are read only as far as the network computes what they do, and are refused by name else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import browser_networks as networks
import numpy as np
import pytest

from minidl import mlp
from minidl.errors import ModelFileError
from minidl.interchange import from_onnx, onnx_metadata, to_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402
from onnx_files import error, run  # noqa: E402
from test_onnx_import import VECTOR, node, written  # noqa: E402

POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
KERNEL = np.ones((2, 2, 3, 3), np.float32)
STATISTICS: dict[str, Any] = dict.fromkeys("abcd", VECTOR)
REFUSED: dict[str, tuple[list[Any], list[Any], dict[str, Any], str]] = {
    "padding of open sides": (
        [
            node("Conv", "x", "k", "a", strides=[2, 2], auto_pad="SAME_UPPER"),
            node("MaxPool", "a", "y", auto_pad="SAME_UPPER", **POOL),
        ],
        ["n", 2, "h", "w"], {"k": KERNEL}, "MaxPool 'y': the padding that auto_pad=SAME_UPPER stands for depends on",
    ),
    "ceil_mode of open sides": (
        [
            node("Conv", "x", "k", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
            node("MaxPool", "a", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        ],
        ["n", 2, "h", "w"], {"k": KERNEL}, "MaxPool 'y': the size of the output by ceil_mode=1 depends on",
    ),
    "padding of a transposed convolution": (
        [node("ConvTranspose", "x", "k", "y", strides=[2, 2], auto_pad="SAME_LOWER")],
        ["n", 2, 5, 5], {"k": KERNEL}, "only pictures, and padding in numbers, are supported",
    ),
    "scales that are not whole": (
        [node("Resize", "x", "", "s", "y", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
        ["n", 2, 8, 8], {"s": np.array([1, 1, 2.05, 2.05], np.float32)}, "only pictures enlarged by a whole number",
    ),
    "whole numbers": (
        [node("Cast", "x", "a", to=TensorProto.INT64), node("Cast", "a", "y", to=TensorProto.FLOAT)],
        ["n", 4], {}, "Cast 'y': floating numbers are made whole before it",
    ),
    "small whole numbers": (
        [node("Cast", "x", "a", to=TensorProto.UINT8), node("Cast", "a", "y", to=TensorProto.FLOAT)],
        ["n", 4], {}, "Cast 'a': float32 becomes uint8, which does not hold all its numbers",
    ),
    "another axis": (
        [node("Mul", "x", "c", "a"), node("Softmax", "a", "y", axis=1)],
        ["n", 4], {"c": np.full((1, 1, 1), 2, np.float32)}, "Mul 'a': a constant of shape (1, 1, 1) has more axes than",
    ),
    "a constant among the inputs": (
        [node("Concat", "x", "c", "y", axis=1)], [3, 4], {"c": KERNEL[0, 0, :, :2]},
        "its input 'c' is a constant",
    ),
    "the attempt that says most": (
        [node("GlobalAveragePool", "x", "a"), node("Conv", "a", "k", "y", pads=[1, 1, 1, 1])],
        ["n", 2, 8, 8], {"k": KERNEL}, "Conv 'y': it needs the axes (0, 2, 3, 1), and receives (0, 1)",
    ),
    "sides that are open": (
        [node("Reshape", "x", "s", "y")], ["n", 4, 6], {"s": np.array([0, 12, 2])},
        "the shapes (?, 4, 6) and (?, 12, 2), the",
    ),
    "no axes": ([node("Softmax", "x", "y")], [], {}, "input 'x': expected (batch, ...), received a single number"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_layer_would_compute_otherwise_is_refused(name: str, tmp_path: Path) -> None:
    nodes, shape, constants, message = REFUSED[name]
    path = written(tmp_path / "m.onnx", nodes, {"x": shape}, len(shape), **constants)
    with pytest.raises(ModelFileError, match=re.escape(message)):
        from_onnx(path)


def test_the_statistics_of_a_batch_are_refused(tmp_path: Path) -> None:
    norm = helper.make_node("BatchNormalization", ["x", *"abcd"], ["y", "m", "v", "s", "t"])
    for opset, message in (
        (9, "only its output in evaluation is supported"),
        (6, "expected operators of version 7 or"),
    ):
        path = written(tmp_path / "m.onnx", [norm], {"x": ["n", 4]}, opset=opset, **STATISTICS)
        with pytest.raises(ModelFileError, match=message):
            from_onnx(path)


@pytest.mark.parametrize("operator", ["Identity", "Dropout"])
def test_a_bias_belongs_to_one_branch_alone(operator: str, tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x", "w", "a"), node(operator, "a", "b"), node("Add", "b", "c", "d"), node("Relu", "a", "e"),
        node("Add", "d", "e", "y"),
    ]  # fmt: skip
    x = networks.batch(0, (3, 4))
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 4]}, w=networks.batch(1, (4, 4)), c=VECTOR)
    assert error(from_onnx(path).predict(x), run(path, x)) <= 1e-6


def test_the_bias_of_a_single_unit_can_be_trained(tmp_path: Path) -> None:
    x, bias = networks.batch(0, (3, 4)), np.array([3], np.float32)
    nodes = [node("MatMul", "x", "w", "a"), node("Add", "a", "c", "y")]
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 4]}, w=networks.batch(1, (4, 1)), c=bias)
    network = from_onnx(path)
    assert [name for name, _ in network.named_parameters()] == ["0.weight", "0.bias"]
    assert error(network.predict(x), run(path, x)) <= 1e-6


@pytest.mark.parametrize("constant", [np.float32(3), VECTOR, VECTOR[None]])
def test_an_array_is_subtracted_from_a_constant(constant: Any, tmp_path: Path) -> None:
    x = networks.batch(0, (3, 4))
    path = written(tmp_path / "m.onnx", [node("Sub", "c", "x", "y")], {"x": ["n", 4]}, c=np.asarray(constant))
    assert error(from_onnx(path).predict(x), constant - x) <= 1e-6


def test_token_numbers_may_come_as_floating_numbers(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "a", to=TensorProto.INT32), node("Gather", "w", "a", "y")]
    path = written(tmp_path / "m.onnx", nodes, {"x": ["n", 3]}, 3, w=networks.batch(0, (5, 2)))
    x = np.array([[0, 4, 2]], np.float32)
    assert error(from_onnx(path).predict(x), run(path, x)) == 0


def test_files_of_other_kinds_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="expected a regular file, received a named pipe"):
            from_onnx(tmp_path / "pipe")
    to_onnx(mlp([2, 1]), path)
    proto = onnx.load(path)
    for key, text in (("deep", "[" * 100_000), ("long", "1" * 5000)):
        helper.set_model_props(proto, {key: text})
        onnx.save(proto, path)
        assert onnx_metadata(path) == {key: text}
    for change in ("ir_version", "opset"):
        onnx.save(proto, path)
        newer = onnx.load(path)
        if change == "opset":
            newer.opset_import[0].version = 999
        else:
            newer.ir_version = 999
        onnx.save(newer, path)
        with pytest.raises(ModelFileError, match=r"999.*update the package onnx"):
            from_onnx(path)
    proto.graph.node[0].domain = "com.microsoft"
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(proto, path)
    with pytest.raises(ModelFileError, match=r"no layer for the operators com\.microsoft\.Gemm"):
        from_onnx(path)


def test_lack_of_memory_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_onnx(mlp([2, 1]), tmp_path / "m.onnx")

    def load(_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(onnx, "load", load)
    with pytest.raises(MemoryError):
        from_onnx(tmp_path / "m.onnx")
