"""What `to_onnx` takes and refuses beside the layers themselves: types, sizes, and layers of users."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import browser_networks as networks
import numpy as np
import pytest

from minidl import (
    Conv1D,
    Dense,
    Embedding,
    GlobalAveragePool1D,
    LayerNorm,
    MaxPool1D,
    Module,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    mlp,
)
from minidl._typing import Array
from minidl.interchange import to_onnx

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx_files import error, in_onnx_runtime


class Doubled(ReLU):
    def forward(self, x: Array) -> Array:
        return 2 * x


def test_all_layers_of_users_are_named_at_once(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 2), Doubled(), Residual(Doubled()))
    with pytest.raises(ValueError, match=r"^layer 1, Doubled\(\): .*; layer 2\.0, Doubled\(\): .*put layers and cont"):
        to_onnx(model, tmp_path / "m.onnx")


@pytest.mark.parametrize("layer", [ReLU(), LayerNorm(2, weight=False, bias=False), Dense(2, 2)])
def test_a_type_that_the_network_does_not_take_is_refused(layer: Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"layer 0, {layer!r}: expected ")):
        to_onnx(Sequential(layer), tmp_path / "m.onnx", (2,), input_dtype=np.uint8)
    with pytest.raises(ValueError, match="input_dtype: expected a type of real numbers"):
        to_onnx(Sequential(layer), tmp_path / "m.onnx", (2,), input_dtype=np.longdouble)


def test_numbers_in_another_order_of_bytes() -> None:
    model, x = mlp([2, 3, 1], rng=0), networks.batch(0, (3, 2))
    assert error(in_onnx_runtime(model, x, input_dtype=">f4"), model.predict(x)) <= 1e-5


def test_an_input_that_is_passed_on_does_not_lower_the_precision() -> None:
    model = Parallel(Sequential(), Dense(2, 2, rng=0, dtype=np.float64))
    x = networks.batch(0, (3, 2)), networks.batch(1, (3, 2))
    received = in_onnx_runtime(model, x, ((2,), (2,)), input_dtype=np.float32)
    assert received.dtype == model.predict(x).dtype == np.float64


def test_more_weights_than_a_file_holds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minidl.interchange.onnx_export.LARGEST", 100)
    with pytest.raises(
        ValueError, match="expected weights of less than 2 GB, which an ONNX file holds, received 120 b"
    ):
        to_onnx(Sequential(Embedding(10, 3)), tmp_path / "m.onnx", (4,))
    assert list(tmp_path.iterdir()) == []


def test_sequences_of_any_length_that_must_be_long() -> None:
    layers: list[Any] = [Conv1D(1, 4, 80, 4, rng=0)]
    for i in range(4):
        layers += [MaxPool1D(4), Conv1D(4, 4, 3, rng=i)]
    model = Sequential(*layers, GlobalAveragePool1D())
    x = networks.batch(0, (1, 5000, 1))
    assert error(in_onnx_runtime(model, x, (None, 1)), model.predict(x)) <= 1e-5
