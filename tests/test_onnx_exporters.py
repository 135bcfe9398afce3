"""Networks are read that PyTorch's exporter by graph capture writes, and Keras, which uses it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.interchange import from_onnx

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")
from onnx_files import error  # noqa: E402
from test_onnx_torch import NETWORKS, Of, channels_last  # noqa: E402


@pytest.mark.parametrize("name", ["mlp", "residual", "flatten", "concatenated", "tokens", "two inputs"])
def test_networks_of_pytorch(name: str, tmp_path: Path) -> None:
    network, x = NETWORKS[name]
    network.eval()
    shapes: Any = tuple({0: torch.export.Dim("batch")} for _ in x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, x, tmp_path / "m.onnx", dynamo=True, verbose=False,
            dynamic_shapes={"x": shapes} if isinstance(network, Of) else shapes,
        )  # fmt: skip
    with torch.no_grad():
        expected = network(*x).numpy()
    given = tuple(channels_last(part.numpy()) if part.ndim == 4 else part.numpy() for part in x)
    received = from_onnx(tmp_path / "m.onnx").predict(given if len(given) > 1 else given[0])
    assert error(received, expected) <= 1e-5


def residual(layers: Any, keras: Any) -> Any:
    x = layers.Input((9, 9, 3))
    y = layers.Add()([x, layers.Conv2D(3, 3, padding="same", activation="relu")(x)])
    return keras.Model(x, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(y)))


KERAS: dict[str, Callable[[Any, Any], Any]] = {
    "dense": lambda layers, keras: keras.Sequential(
        [layers.Input((5,)), layers.Dense(6, activation="relu"), layers.Dense(3, activation="softmax")]
    ),
    "convolutions": lambda layers, keras: keras.Sequential(
        [
            layers.Input((9, 9, 3)), layers.Conv2D(4, 3, strides=2, padding="same"), layers.BatchNormalization(),
            layers.LeakyReLU(), layers.MaxPooling2D(), layers.Dropout(0.5), layers.Flatten(), layers.Dense(2),
        ]
    ),
    "residual": residual,
}  # fmt: skip


@pytest.mark.parametrize("name", KERAS)
def test_networks_of_keras(name: str, tmp_path: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    precision = keras.backend.floatx()
    keras.backend.set_floatx("float32")
    try:
        network = KERAS[name](keras.layers, keras)
        x = np.random.default_rng(0).standard_normal((4, *network.input_shape[1:]), np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = network.predict(x, verbose=0)
            network.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    finally:
        keras.backend.set_floatx(precision)
    assert error(from_onnx(tmp_path / "m.onnx").predict(x), expected) <= 1e-5
