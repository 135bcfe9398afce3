"""Networks that PyTorch and skl2onnx write as ONNX files are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import Module
from minidl._typing import Array
from minidl.interchange import from_onnx

pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
from onnx_files import error  # noqa: E402
from torch import nn  # noqa: E402


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.row = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = shortcut if before != after else nn.Identity()

    def forward(self, x: Any) -> Any:
        return torch.relu(self.row(x) + self.shortcut(x))


class Recurrent(nn.Module):
    def __init__(self, kind: Any, last: bool, both: bool = False) -> None:
        super().__init__()
        self.layer, self.last = kind(4, 3, batch_first=True, bidirectional=both), last
        self.dense = nn.Linear(6 if both else 3, 2)

    def forward(self, x: Any) -> Any:
        y, state = self.layer(x)
        state = state[0] if isinstance(state, tuple) else state
        return self.dense(state[-1] if self.last else y)


class Of(nn.Module):
    """Layers, and a function that applies them."""

    def __init__(self, forward: Callable[..., Any], *parts: Any) -> None:
        super().__init__()
        self.parts, self.apply_parts = nn.ModuleList(parts), forward

    def forward(self, *x: Any) -> Any:
        return self.apply_parts(self.parts, *x)


def pictures(*shape: int) -> Any:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))


def concatenated(parts: Any, x: Any) -> Any:
    y = torch.cat([x, torch.relu(parts[0](x))], 1)
    return parts[2](torch.cat([y, parts[1](y)], 1).flatten(1))


NETWORKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "mlp": (nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.2), nn.Linear(4, 2), nn.LogSoftmax(-1)), (pictures(3),)),
    "residual": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), Block(4, 4, 1), Block(4, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, 3), nn.Softmax(-1),
        ),
        (pictures(3, 8, 10),),
    ),
    "flatten": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2), nn.GELU(), nn.PReLU(4),
            nn.Conv2d(4, 6, 3, groups=2), nn.Hardswish(), nn.Flatten(), nn.BatchNorm1d(36), nn.Linear(36, 5),
            nn.LayerNorm(5), nn.Dropout(), nn.Linear(5, 2), nn.ReLU6(),
        ),
        (pictures(3, 8, 10),),
    ),
    "enlarged": (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.ELU(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1), nn.AvgPool2d(3, 2, 1), nn.Softplus(),
        ),
        (pictures(3, 9, 11),),
    ),
    "view": (
        Of(lambda parts, x: parts[1](parts[0](x).view(x.size(0), -1)), nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 8, 2)),
        (pictures(3, 8, 10),),
    ),
    "concatenated": (
        Of(concatenated, nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 2, 3, padding=1), nn.Linear(9 * 30, 2)),
        (pictures(3, 5, 6),),
    ),
    "sequences": (nn.Sequential(nn.Conv1d(4, 6, 3, dilation=2), nn.MaxPool1d(2), nn.Tanh()), (pictures(4, 9),)),
    "lstm": (Recurrent(nn.LSTM, last=False), (pictures(5, 4),)),
    "last of lstm": (Recurrent(nn.LSTM, last=True), (pictures(5, 4),)),
    "lstm of both directions": (Recurrent(nn.LSTM, last=False, both=True), (pictures(5, 4),)),
    "gru of both directions": (Recurrent(nn.GRU, last=False, both=True), (pictures(5, 4),)),
    "gru": (Recurrent(nn.GRU, last=False), (pictures(5, 4),)),
    "tokens": (
        Of(lambda parts, x: parts[1](parts[0](x).mean(1)), nn.Embedding(9, 4), nn.Linear(4, 2)),
        (torch.arange(12).reshape(3, 4) % 9,),
    ),
    "two inputs": (
        Of(
            lambda parts, x, y: torch.sigmoid(parts[2](torch.cat([torch.relu(parts[0](x)), parts[1](y)], 1))),
            nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(8, 1),
        ),
        (pictures(3), pictures(2)),
    ),
}  # fmt: skip


def channels_last(x: Array) -> Array:
    return np.moveaxis(x, 1, -1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", ["open", "fixed"])
def test_networks_of_pytorch(name: str, batch: str, tmp_path: Path) -> None:
    network, x = NETWORKS[name]
    with torch.no_grad():
        for norm in (module for module in network.modules() if "BatchNorm" in type(module).__name__):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 2)
    network.eval()
    names = [f"x{i}" for i in range(len(x))]
    axes = {name: {0: "batch"} for name in names} if batch == "open" else None
    first = x if batch == "open" else tuple(part[:1] for part in x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, first, tmp_path / "m.onnx", dynamo=False, input_names=names, dynamic_axes=axes)
    with torch.no_grad():
        expected = network(*x).numpy()
    is_spatial = any("Conv" in type(module).__name__ for module in network.modules())
    given: Any = tuple(channels_last(part.numpy()) if is_spatial else part.numpy() for part in x)
    read: Module = from_onnx(tmp_path / "m.onnx")
    received = read.predict(given if len(given) > 1 else given[0])
    assert error(received, channels_last(expected) if expected.ndim > 2 and is_spatial else expected) <= 1e-5


@pytest.mark.parametrize("classes", [2, 3])
def test_networks_of_scikit_learn(classes: int, tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    neural_network = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)).astype(np.float32), rng.integers(0, classes, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = neural_network.MLPClassifier((5,), max_iter=5, random_state=0).fit(x, y)
        proto = skl2onnx.to_onnx(model, x[:1], options={"zipmap": False})
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    network = from_onnx(tmp_path / "m.onnx", "probabilities")
    assert error(network.predict(x), model.predict_proba(x)) <= 1e-5
