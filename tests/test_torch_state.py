"""States that PyTorch takes and gives: the same outputs in float64, for every layer, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

torch: Any = pytest.importorskip("torch")

from test_torch_parity import CASES, CONTAINERS, channels_last, channels_second  # noqa: E402

import minidl  # noqa: E402
from minidl import Module, Sequential  # noqa: E402
from minidl._typing import Array  # noqa: E402
from minidl.errors import ModelFileError  # noqa: E402
from minidl.interchange import load_pytorch_state, pytorch_state, save_pytorch_state  # noqa: E402

nn = torch.nn
DOUBLE: Any = {"dtype": np.float64}


def randomize(theirs: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            values = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(values + 0.5 if "var" in name else 2 * values - 1)


def tensors(state: dict[str, Array]) -> dict[str, Any]:
    return {name: torch.as_tensor(array) for name, array in state.items()}


def check_both_directions(ours: Module, theirs: Any, x: Array, their_x: Any, seed: int, **options: Any) -> None:
    theirs = theirs.double().eval()
    randomize(theirs, seed)
    load_pytorch_state(ours, theirs.state_dict(), **options)
    expected = channels_last(theirs(their_x))
    np.testing.assert_allclose(ours.predict(x), expected, rtol=1e-10, atol=1e-10)
    state = pytorch_state(ours, **options)
    randomize(theirs, seed + 1)
    theirs.load_state_dict(tensors(state))
    np.testing.assert_array_equal(channels_last(theirs(their_x)), expected)


@pytest.mark.parametrize("name", [*CASES, *CONTAINERS])
def test_every_layer(name: str) -> None:
    ours, theirs, shape = {**CASES, **CONTAINERS}[name]()
    x: Array = np.random.default_rng(0).standard_normal(shape)
    their_x = channels_second(x)
    if isinstance(ours, minidl.Embedding):
        x = np.random.default_rng(0).integers(ours.tokens, size=shape)
        their_x = torch.tensor(x)
    names = {"layer": ""} if isinstance(ours, (minidl.LSTM, minidl.GRU)) else None
    check_both_directions(ours, theirs, x, their_x, seed=1, names=names)


@st.composite
def picture_networks(draw: st.DrawFn) -> tuple[Sequential, Any, Array]:
    """A convolutional network of both frameworks, with pictures for it."""
    seed = draw(seeds)
    height, width, channels = draw(st.integers(2, 7)), draw(st.integers(2, 7)), draw(st.integers(1, 4))
    x = np.random.default_rng(seed).standard_normal((2, height, width, channels))
    ours: list[Module] = []
    theirs: list[Any] = []
    kinds = ["conv", "transpose", "norm", "group", "prelu", "relu", "max", "average", "dropout"]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=5)):
        height, width, channels = Sequential(*ours, minidl.ReLU()).predict(x).shape[1:]
        after = draw(st.integers(1, 4))
        groups = draw(st.sampled_from([g for g in range(1, 5) if channels % g == after % g == 0]))
        size = draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width)))
        stride, bias = draw(st.integers(1, 2)), draw(st.booleans())
        if kind == "conv":
            ours.append(minidl.Conv2D(channels, after, size, stride, groups=groups, bias=bias, **DOUBLE))
            theirs.append(nn.Conv2d(channels, after, size, stride, groups=groups, bias=bias))
        elif kind == "transpose":
            ours.append(minidl.ConvTranspose2D(channels, after, size, stride, groups=groups, bias=bias, **DOUBLE))
            theirs.append(nn.ConvTranspose2d(channels, after, size, stride, groups=groups, bias=bias))
        elif kind == "norm":
            ours.append(minidl.BatchNorm(channels, weight=bias, bias=bias, **DOUBLE))
            theirs.append(nn.BatchNorm2d(channels, affine=bias))
        elif kind == "group":
            ours.append(minidl.GroupNorm(channels, channels, **DOUBLE))
            theirs.append(nn.GroupNorm(channels, channels))
        elif kind == "prelu":
            ours.append(minidl.PReLU(channels, **DOUBLE))
            theirs.append(nn.PReLU(channels))
        elif kind in ("max", "average"):
            ours.append(minidl.MaxPool2D(size) if kind == "max" else minidl.AveragePool2D(size))
            theirs.append(nn.MaxPool2d(size) if kind == "max" else nn.AvgPool2d(size))
        else:
            ours.append(minidl.ReLU() if kind == "relu" else minidl.Dropout(0.5))
            theirs.append(nn.ReLU() if kind == "relu" else nn.Dropout(0.5))
    features = Sequential(*ours, minidl.Flatten()).predict(x).shape[1]
    ours.append(minidl.Flatten())
    theirs.append(nn.Flatten())
    for kind in draw(st.lists(st.sampled_from(["norm", "layer", "prelu", "sigmoid"]), max_size=2)):
        make: Any = {
            "norm": lambda: (minidl.BatchNorm(features, **DOUBLE), nn.BatchNorm1d(features)),
            "layer": lambda: (minidl.LayerNorm(features, **DOUBLE), nn.LayerNorm(features)),
            "prelu": lambda: (minidl.PReLU(features, **DOUBLE), nn.PReLU(features)),
            "sigmoid": lambda: (minidl.Sigmoid(), nn.Sigmoid()),
        }[kind]
        our_layer, their_layer = make()
        ours.append(our_layer)
        theirs.append(their_layer)
    ours += [minidl.Dense(features, 3, **DOUBLE), minidl.BatchNorm(3, **DOUBLE), minidl.Dense(3, 2, **DOUBLE)]
    theirs += [nn.Linear(features, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)]
    return Sequential(*ours), nn.Sequential(*theirs), x


@settings(max_examples=25)
@given(picture_networks(), seeds)
def test_networks_of_pictures(networks: tuple[Sequential, Any, Array], seed: int) -> None:
    ours, theirs, x = networks
    check_both_directions(ours, theirs, x, channels_second(x), seed, input_shape=x.shape[1:])


@settings(max_examples=15)
@given(st.data(), st.integers(1, 4), st.integers(2, 8), st.integers(1, 4), st.integers(1, 3), seeds)
def test_convolutions_over_time(
    data: st.DataObject, channels: int, time: int, after: int, pool: int, seed: int
) -> None:
    size = data.draw(st.integers(1, time))
    pool = min(pool, time - size + 1)
    steps = (time - size + 1) // pool
    ours = Sequential(
        minidl.Conv1D(channels, after, size, **DOUBLE), minidl.BatchNorm(after, **DOUBLE), minidl.MaxPool1D(pool),
        minidl.Flatten(), minidl.Dense(steps * after, 2, **DOUBLE),
    )  # fmt: skip
    theirs = nn.Sequential(
        nn.Conv1d(channels, after, size), nn.BatchNorm1d(after), nn.MaxPool1d(pool), nn.Flatten(),
        nn.Linear(steps * after, 2),
    )  # fmt: skip
    x = np.random.default_rng(seed).standard_normal((2, time, channels))
    check_both_directions(ours, theirs, x, torch.tensor(x.transpose(0, 2, 1)), seed)


class TheirSequences(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, kind: Any, features: int, units: int, time: int, both: bool) -> None:
        super().__init__()
        width = units * (2 if both else 1)
        self.tokens, self.norm = nn.Embedding(5, features), nn.LayerNorm(width)
        self.memory = kind(features, units, batch_first=True, bidirectional=both)
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.head = nn.Linear(time * width, 2)

    def forward(self, x: Any) -> Any:
        y, _ = self.memory(self.tokens(x))
        y = self.norm(y)
        y, _ = self.attention(y, y, y)
        return self.head(y.flatten(1))


@settings(max_examples=15)
@given(st.sampled_from(["LSTM", "GRU"]), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.booleans(), seeds)
def test_networks_of_sequences(kind: str, features: int, units: int, time: int, both: bool, seed: int) -> None:
    width = units * (2 if both else 1)
    ours = Sequential(
        minidl.Embedding(5, features, **DOUBLE),
        getattr(minidl, kind)(features, units, bidirectional=both, **DOUBLE),
        minidl.LayerNorm(width, **DOUBLE), minidl.SelfAttention(width, 1, **DOUBLE), minidl.Flatten(),
        minidl.Dense(time * width, 2, **DOUBLE),
    )  # fmt: skip
    theirs = TheirSequences(getattr(nn, kind), features, units, time, both)
    names = {"tokens": "0", "memory": "1", "norm": "2", "attention": "3", "head": "5"}
    x = np.random.default_rng(seed).integers(5, size=(3, time))
    check_both_directions(ours, theirs, x, torch.tensor(x), seed, names=names)


def test_transformer_block() -> None:
    ours = minidl.TransformerBlock(6, 3, hidden=5, **DOUBLE)
    theirs = nn.TransformerEncoderLayer(6, 3, 5, 0.0, "gelu", batch_first=True, norm_first=True)
    names = {"norm1": "0.0", "self_attn": "0.1", "norm2": "1.0", "linear1": "1.1", "linear2": "1.3"}
    x = np.random.default_rng(0).standard_normal((2, 4, 6))
    check_both_directions(ours, theirs, x, torch.tensor(x), 0, names=names)


def convnets() -> tuple[Sequential, Any, Array]:
    """A network whose kernels, and the weight behind its Flatten, fit in the wrong layout, too."""
    ours = Sequential(minidl.Conv2D(3, 3, 3, rng=0), minidl.BatchNorm(3), minidl.Flatten(), minidl.Dense(48, 2, rng=1))
    theirs = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2)).eval()
    return ours, theirs, np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype(np.float32)


def agree(ours: Module, theirs: Any, x: Array) -> bool:
    with torch.no_grad():
        return np.allclose(ours.predict(x), theirs(torch.tensor(x.transpose(0, 3, 1, 2))).numpy(), atol=1e-5)


def test_parameters_and_half_precision() -> None:
    ours, theirs, x = convnets()
    parameters = dict(theirs.named_parameters())  # which need gradients
    load_pytorch_state(ours, {**theirs.state_dict(), **parameters})
    assert agree(ours, theirs, x)
    load_pytorch_state(ours, theirs.bfloat16().state_dict())
    assert agree(ours, theirs.float(), x)


def test_the_layout_of_tensors_is_never_guessed() -> None:
    ours, theirs, _ = convnets()
    before = ours.state_dict()
    with pytest.raises(ValueError, match=r"3.bias: .*load_pytorch_state") as error:
        ours.load_state_dict(theirs.state_dict())
    assert str(error.value).count("load_pytorch_state") == len(theirs.state_dict())
    assert all(np.array_equal(array, before[name]) for name, array in ours.state_dict().items())


def test_files_of_bfloat16(tmp_path: Path) -> None:
    files = pytest.importorskip("safetensors.torch")
    path = tmp_path / "model.safetensors"
    files.save_file({"weight": torch.full((1, 2), 1.5, dtype=torch.bfloat16), "bias": torch.ones(1)}, path)
    layer = minidl.Dense(2, 1)
    load_pytorch_state(layer, path)
    assert layer.weight.data.tolist() == [[1.5, 1.5]]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".bin"])
def test_files_of_pytorch(suffix: str, tmp_path: Path) -> None:
    ours, theirs, x = convnets()
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(theirs.state_dict(), path)
    else:
        torch.save(theirs.state_dict(), path)
    load_pytorch_state(ours, path)
    assert agree(ours, theirs, x)
    load_pytorch_state(ours, str(path))


def test_files_for_pytorch(tmp_path: Path) -> None:
    files = pytest.importorskip("safetensors.torch")
    ours, theirs, x = convnets()
    path = tmp_path / "model.safetensors"
    save_pytorch_state(ours, path)
    theirs.load_state_dict(files.load_file(path))
    assert agree(ours, theirs, x)
    with pytest.importorskip("safetensors").safe_open(path, framework="np") as file:
        assert file.metadata() == {"format": "pt", "layout": "pytorch"}


class Trap:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("the file's code was run",))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_and_hostile_files(suffix: str, tmp_path: Path) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"model{suffix}"
    for content in (b"", b"not a file of tensors", bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="damaged"):
            load_pytorch_state(minidl.mlp([2, 1]), path)
    for things in ({"0.weight": Trap()}, nn.Linear(2, 1)):
        torch.save(things, tmp_path / "trap.pt")
        with pytest.raises(ModelFileError, match="other things than tensors"):
            load_pytorch_state(minidl.mlp([2, 1]), tmp_path / "trap.pt")
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    with pytest.raises(ModelFileError, match="expected tensors by name"):
        load_pytorch_state(minidl.mlp([2, 1]), tmp_path / "list.pt")


def test_other_layouts_of_safetensors(tmp_path: Path) -> None:
    files = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "model.safetensors"
    files.save_file({"weight": np.ones((1, 2), np.float32)}, path, {"format": "tf"})
    with pytest.raises(ModelFileError, match="expected arrays in PyTorch's layout, received format 'tf'"):
        load_pytorch_state(minidl.Dense(2, 1), path)


def test_tensors_that_numpy_has_not() -> None:
    state = {"weight": torch.ones(1, 2).to_sparse(), "bias": torch.ones(1, device="meta")}
    with pytest.raises(TypeError, match=r"received weight \(torch.float32, torch.sparse_coo, cpu\), bias .*meta"):
        load_pytorch_state(minidl.Dense(2, 1), state)
