"""Writing, reading and running ONNX files in tests, with ONNX Runtime as the other side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from minidl import Module
from minidl._samples import leaves
from minidl._typing import Array
from minidl.interchange import to_onnx

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}


def in_onnx_runtime(model: Module, x: Any, input_shape: Sequence[Any] | None = None, **options: Any) -> Array:
    """Return what ONNX Runtime computes of a network's file, given `x` in the types that the file asks for."""
    with TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        to_onnx(model, path, input_shape, **options)
        return run(path, x)


def run(path: str | Path, x: Any) -> Array:
    """Return what ONNX Runtime computes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = zip(session.get_inputs(), leaves(x), strict=True)
    output: Array = session.run(None, {info.name: part.astype(DTYPES[info.type]) for info, part in inputs})[0]
    return output


def error(received: Array, expected: Array) -> float:
    """Return the largest difference, relative to the largest number from 1 on."""
    assert received.shape == expected.shape
    return float(np.abs(received - expected).max() / max(1.0, np.abs(expected).max()))
