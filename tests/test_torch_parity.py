"""Every layer against PyTorch in float64; skipped where PyTorch is not installed, which nothing here requires."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from test_contract import LAYERS

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
    Embedding,
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
    Parallel,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
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
    resnet,
)
from minidl._typing import Array

torch: Any = pytest.importorskip("torch")

Shape = tuple[int, ...]
DOUBLE: Any = {"dtype": np.float64}
PICTURES = (3, 7, 6, 4)
SEQUENCES = (3, 9, 4)
ROWS = (5, 4)


def conv(padding: int | str, stride: int, size: int, bias: bool = True) -> tuple[Module, Any, Shape]:
    ours = Conv2D(4, 5, size, stride, padding, bias=bias, rng=0, **DOUBLE)
    return ours, torch.nn.Conv2d(4, 5, size, stride, padding, bias=bias), PICTURES


class TheirPositions(torch.nn.Embedding):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return x + super().forward(torch.arange(x.shape[1]))


class TheirAttention(torch.nn.MultiheadAttention):  # type: ignore[misc]
    causal = False

    def forward(self, x: Any, real: Any = None) -> Any:
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1) if self.causal else None
        hidden = None if real is None else ~real
        y, _ = super().forward(x, x, x, attn_mask=later, key_padding_mask=hidden, need_weights=False)
        return y


class TheirRecurrent(torch.nn.Module):  # type: ignore[misc]
    """The outputs of a recurrent layer, or its last states behind each other; state names are the layer's."""

    def __init__(self, kind: Any, sequence: bool, both: bool, lengths: Any = None) -> None:
        super().__init__()
        self.layer = kind(3, 4, batch_first=True, bidirectional=both)
        self.sequence, self.lengths = sequence, lengths

    def named_parameters(self, *arguments: Any, **named: Any) -> Any:
        return self.layer.named_parameters(*arguments, **named)

    def forward(self, x: Any) -> Any:
        rnn = torch.nn.utils.rnn
        if self.lengths is not None:
            x = rnn.pack_padded_sequence(x, self.lengths, batch_first=True, enforce_sorted=False)
        y, last = self.layer(x)
        if self.lengths is not None:
            y, _ = rnn.pad_packed_sequence(y, batch_first=True)
        return y if self.sequence else torch.cat(list(last[0] if isinstance(last, tuple) else last), dim=-1)


def recurrent(kind: Any, sequence: bool = True, both: bool = False) -> tuple[Module, Any, Shape]:
    theirs = TheirRecurrent(getattr(torch.nn, kind.__name__), sequence, both)
    return kind(3, 4, return_sequence=sequence, bidirectional=both, rng=0, **DOUBLE), theirs, (3, 5, 3)


class TheirPoolOverTime(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, pool: Callable[[Any], Any]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Any) -> Any:
        return self.pool(x)


def attention(causal: bool, bias: bool) -> tuple[Module, Any, Shape]:
    theirs = TheirAttention(6, 3, bias=bias, batch_first=True)
    theirs.causal = causal
    return SelfAttention(6, 3, causal=causal, bias=bias, rng=0, **DOUBLE), theirs, (3, 5, 6)


class Transposed(torch.nn.BatchNorm1d):  # type: ignore[misc]
    """PyTorch's layer of (batch, features, time), for (batch, time, features)."""

    def __init__(self, features: int) -> None:
        super().__init__(features)

    def forward(self, x: Any) -> Any:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def over_time(kind: Any) -> Any:
    """Return a layer of PyTorch for sequences whose channels stand last; its names stay as they are."""

    def forward(self: Any, x: Any) -> Any:
        return kind.forward(self, x.transpose(1, 2)).transpose(1, 2)

    return type(kind.__name__, (kind,), {"forward": forward})


CASES: dict[str, Callable[[], tuple[Module, Any, Shape]]] = {
    "Dense": lambda: (Dense(4, 3, rng=0, **DOUBLE), torch.nn.Linear(4, 3), ROWS),
    "Dense of sequences": lambda: (Dense(4, 3, rng=0, **DOUBLE), torch.nn.Linear(4, 3), (5, 2, 4)),
    "ReLU": lambda: (ReLU(), torch.nn.ReLU(), ROWS),
    "LeakyReLU": lambda: (LeakyReLU(0.2), torch.nn.LeakyReLU(0.2), ROWS),
    "Sigmoid": lambda: (Sigmoid(), torch.nn.Sigmoid(), ROWS),
    "Tanh": lambda: (Tanh(), torch.nn.Tanh(), ROWS),
    "GELU": lambda: (GELU(), torch.nn.GELU(), ROWS),
    "GELU in the tanh form": lambda: (GELU("tanh"), torch.nn.GELU(approximate="tanh"), ROWS),
    "PReLU": lambda: (PReLU(**DOUBLE), torch.nn.PReLU(), (5, 3, 4)),
    "PReLU of features": lambda: (PReLU(4, **DOUBLE), torch.nn.PReLU(4), ROWS),
    "PReLU of pictures": lambda: (PReLU(4, **DOUBLE), torch.nn.PReLU(4), PICTURES),
    "ReLU6": lambda: (ReLU6(), torch.nn.ReLU6(), ROWS),
    "ELU": lambda: (ELU(0.7), torch.nn.ELU(0.7), ROWS),
    "SELU": lambda: (SELU(), torch.nn.SELU(), ROWS),
    "SiLU": lambda: (SiLU(), torch.nn.SiLU(), ROWS),
    "HardSwish": lambda: (HardSwish(), torch.nn.Hardswish(), ROWS),
    "Softplus": lambda: (Softplus(), torch.nn.Softplus(), ROWS),
    "LogSoftmax": lambda: (LogSoftmax(), torch.nn.LogSoftmax(dim=-1), (5, 3, 4)),
    "Softmax": lambda: (Softmax(), torch.nn.Softmax(dim=-1), ROWS),
    "LayerNorm": lambda: (LayerNorm(4, **DOUBLE), torch.nn.LayerNorm(4), (5, 3, 4)),
    "BatchNorm of rows": lambda: (BatchNorm(4, **DOUBLE), torch.nn.BatchNorm1d(4), ROWS),
    "BatchNorm of pictures": lambda: (BatchNorm(4, **DOUBLE), torch.nn.BatchNorm2d(4), PICTURES),
    "Conv2D valid": lambda: conv("valid", 1, 3),
    "Conv2D valid, stride 2": lambda: conv("valid", 2, 3, bias=False),
    "Conv2D same": lambda: conv("same", 1, 3),
    "Conv2D padded, stride 2": lambda: conv(2, 2, 3),
    "Conv2D padded, stride 3": lambda: conv(1, 3, 2),
    "Conv2D dilated, in groups": lambda: (
        Conv2D(4, 6, (3, 2), (1, 2), (2, 1), (2, 1), 2, rng=0, **DOUBLE),
        torch.nn.Conv2d(4, 6, (3, 2), (1, 2), (2, 1), (2, 1), 2),
        PICTURES,
    ),
    "Conv2D depthwise": lambda: (
        Conv2D(4, 4, 3, padding=1, groups=4, rng=0, **DOUBLE),
        torch.nn.Conv2d(4, 4, 3, padding=1, groups=4),
        PICTURES,
    ),
    "ConvTranspose2D": lambda: (
        ConvTranspose2D(4, 6, (3, 4), 2, (1, 2), 1, groups=2, rng=0, **DOUBLE),
        torch.nn.ConvTranspose2d(4, 6, (3, 4), 2, (1, 2), 1, groups=2),
        PICTURES,
    ),
    "Conv1D": lambda: (
        Conv1D(4, 6, 3, 2, 1, 2, 2, rng=0, **DOUBLE),
        over_time(torch.nn.Conv1d)(4, 6, 3, 2, 1, 2, 2),
        SEQUENCES,
    ),
    "MaxPool1D": lambda: (MaxPool1D(3, 2, 1), over_time(torch.nn.MaxPool1d)(3, 2, 1), SEQUENCES),
    "AveragePool1D": lambda: (AveragePool1D(3, 2, 1), over_time(torch.nn.AvgPool1d)(3, 2, 1), SEQUENCES),
    "AveragePool2D padded": lambda: (
        AveragePool2D(3, 2, 1, count_padding=False),
        torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        PICTURES,
    ),
    "MaxPool2D": lambda: (MaxPool2D(), torch.nn.MaxPool2d(2), PICTURES),
    "MaxPool2D overlapping": lambda: (MaxPool2D(3, 2, 1), torch.nn.MaxPool2d(3, 2, 1), PICTURES),
    "AveragePool2D": lambda: (AveragePool2D(3, 2), torch.nn.AvgPool2d(3, 2), PICTURES),
    "GroupNorm": lambda: (GroupNorm(2, 4, epsilon=1e-3, **DOUBLE), torch.nn.GroupNorm(2, 4, eps=1e-3), PICTURES),
    "RMSNorm": lambda: (RMSNorm(4, epsilon=1e-3, **DOUBLE), torch.nn.RMSNorm(4, eps=1e-3), (5, 3, 4)),
    "Embedding": lambda: (Embedding(5, 4, rng=0, **DOUBLE), torch.nn.Embedding(5, 4), (3, 7)),
    "PositionalEmbedding": lambda: (PositionalEmbedding(9, 4, rng=0, **DOUBLE), TheirPositions(9, 4), (3, 7, 4)),
    "SelfAttention": lambda: attention(causal=False, bias=True),
    "SelfAttention without bias": lambda: attention(causal=False, bias=False),
    "SelfAttention causal": lambda: attention(causal=True, bias=True),
    "BatchNorm of sequences": lambda: (BatchNorm(4, **DOUBLE), Transposed(4), (5, 3, 4)),
    "BatchNorm without weight and bias": lambda: (
        BatchNorm(4, weight=False, bias=False, **DOUBLE),
        torch.nn.BatchNorm2d(4, affine=False),
        PICTURES,
    ),
    "LayerNorm without bias": lambda: (LayerNorm(4, bias=False, **DOUBLE), torch.nn.LayerNorm(4, bias=False), ROWS),
    "LayerNorm without weight and bias": lambda: (
        LayerNorm(4, weight=False, bias=False),
        torch.nn.LayerNorm(4, elementwise_affine=False),
        ROWS,
    ),
    "GroupNorm without weight and bias": lambda: (
        GroupNorm(2, 4, weight=False, bias=False),
        torch.nn.GroupNorm(2, 4, affine=False),
        PICTURES,
    ),
    "RMSNorm without weight": lambda: (
        RMSNorm(4, epsilon=1e-3, weight=False),
        torch.nn.RMSNorm(4, eps=1e-3, elementwise_affine=False),
        ROWS,
    ),
    "LSTM": lambda: recurrent(LSTM),
    "LSTM last": lambda: recurrent(LSTM, sequence=False),
    "LSTM both directions": lambda: recurrent(LSTM, both=True),
    "LSTM both, last": lambda: recurrent(LSTM, sequence=False, both=True),
    "GRU": lambda: recurrent(GRU),
    "GRU last": lambda: recurrent(GRU, sequence=False),
    "GRU both directions": lambda: recurrent(GRU, both=True),
    "GRU both, last": lambda: recurrent(GRU, sequence=False, both=True),
    "GlobalAveragePool1D": lambda: (GlobalAveragePool1D(), TheirPoolOverTime(lambda x: x.mean(dim=1)), (3, 5, 4)),
    "GlobalMaxPool1D": lambda: (GlobalMaxPool1D(), TheirPoolOverTime(lambda x: x.max(dim=1).values), (3, 5, 4)),
    "GlobalMaxPool2D": lambda: (
        GlobalMaxPool2D(),
        torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten()),
        PICTURES,
    ),
    "UpSample2D": lambda: (UpSample2D(3), torch.nn.Upsample(scale_factor=3), PICTURES),
    "GlobalAveragePool2D": lambda: (
        GlobalAveragePool2D(),
        torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()),
        PICTURES,
    ),
}


class TheirResidual(torch.nn.Sequential):  # type: ignore[misc]
    def __init__(self, *layers: Any, shortcut: Any = None) -> None:
        super().__init__(*layers)
        self.past = shortcut is not None
        if self.past:
            self.shortcut = shortcut

    def forward(self, x: Any) -> Any:
        y = x
        for name, layer in self.named_children():
            y = y if name == "shortcut" else layer(y)
        return y + (self.shortcut(x) if self.past else x)


class TheirParallel(torch.nn.ModuleList):  # type: ignore[misc]
    def __init__(self, *branches: Any, merge: Callable[[list[Any]], Any]) -> None:
        super().__init__(branches)
        self.merge = merge

    def forward(self, x: Any) -> Any:
        return self.merge([branch(x) for branch in self])


def branches(kind: Any, linear: Any, tanh: Any, sequential: Any, **merge: Any) -> Any:
    return kind(sequential(linear(4, 3), tanh()), linear(4, 3), sequential(linear(4, 3)), **merge)


def parallel(merge: Any, theirs: Callable[[list[Any]], Any]) -> tuple[Module, Any, Shape]:
    dense = partial(Dense, rng=0, **DOUBLE)
    nn = torch.nn
    ours = branches(Parallel, dense, Tanh, Sequential, merge=merge)
    return ours, branches(TheirParallel, nn.Linear, nn.Tanh, nn.Sequential, merge=theirs), ROWS


def residual_block(kind: Any, linear: Any, tanh: Any) -> Any:
    return kind(kind(linear(4, 4), tanh()), linear(4, 3), shortcut=linear(4, 3))


def their_resnet() -> Any:
    nn = torch.nn

    def convolution(before: int, after: int, size: int, stride: int = 1) -> list[Any]:
        return [nn.Conv2d(before, after, size, stride, size // 2, bias=False), nn.BatchNorm2d(after)]

    return nn.Sequential(
        *convolution(4, 3, 3), nn.ReLU(),
        TheirResidual(*convolution(3, 3, 3), nn.ReLU(), *convolution(3, 3, 3)), nn.ReLU(),
        TheirResidual(
            *convolution(3, 5, 3, 2), nn.ReLU(), *convolution(5, 5, 3),
            shortcut=nn.Sequential(*convolution(3, 5, 1, 2)),
        ), nn.ReLU(),
        TheirResidual(*convolution(5, 5, 3), nn.ReLU(), *convolution(5, 5, 3)), nn.ReLU(),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(5, 2),
    )  # fmt: skip


CONTAINERS: dict[str, Callable[[], tuple[Module, Any, Shape]]] = {
    "Residual": lambda: (
        residual_block(Residual, partial(Dense, rng=0, **DOUBLE), Tanh),
        residual_block(TheirResidual, torch.nn.Linear, torch.nn.Tanh),
        ROWS,
    ),
    "resnet": lambda: (resnet([1, 2], [3, 5], 2, in_channels=4, rng=0, **DOUBLE), their_resnet(), PICTURES),
    "Parallel sum": lambda: parallel("sum", lambda outputs: torch.stack(outputs).sum(dim=0)),
    "Parallel mean": lambda: parallel("mean", lambda outputs: torch.stack(outputs).mean(dim=0)),
    "Parallel multiply": lambda: parallel("multiply", lambda outputs: torch.stack(outputs).prod(dim=0)),
    "Parallel concatenate": lambda: parallel("concatenate", lambda outputs: torch.cat(outputs, dim=-1)),
}


def channels_second(x: Array) -> Any:
    """Return PyTorch's copy: pictures (batch, channels, height, width)."""
    return torch.tensor(np.moveaxis(x, 3, 1) if x.ndim == 4 else x, dtype=torch.float64)


def kernels(x: Array) -> Any:
    """Return PyTorch's copy: kernels (out, in, height, width) and (out, in, steps)."""
    return torch.tensor(np.moveaxis(x, -1, 1) if x.ndim > 2 else x, dtype=torch.float64)


def channels_last(x: Any) -> Array:
    array: Array = x.detach().numpy()
    return np.moveaxis(array, 1, 3) if array.ndim == 4 else array


def assert_close(ours: Array, theirs: Any) -> None:
    np.testing.assert_allclose(ours, channels_last(theirs), rtol=1e-10, atol=1e-10)


def test_all_layers_are_compared() -> None:
    # These compute nothing of PyTorch's that could differ, or draw other random numbers.
    names = {kind.__name__ for kind in LAYERS} - {"Flatten", "Rescale", "Normalize", "Dropout"}
    assert names == {name.split()[0] for name in CASES}


@pytest.mark.parametrize("name", [*CASES, *CONTAINERS])
def test_forward_and_gradients(name: str) -> None:
    ours, theirs, shape = {**CASES, **CONTAINERS}[name]()
    rng = np.random.default_rng(0)
    theirs = theirs.double()
    their_parameters = dict(theirs.named_parameters())
    for parameter_name, parameter in ours.named_parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
        their_parameters[parameter_name].data = kernels(parameter.data)
    for _ in range(3):  # the running statistics of BatchNorm, too
        x: Array = 2 * rng.standard_normal(shape) + 1
        their_x = channels_second(x).requires_grad_()
        if isinstance(ours, Embedding):  # whose input has no gradient
            x = rng.integers(ours.tokens, size=shape)
            their_x = torch.tensor(x)
        y, their_y = ours(x), theirs(their_x)
        assert_close(y, their_y)
        upstream = rng.standard_normal(y.shape)
        theirs.zero_grad()
        their_y.backward(channels_second(upstream))
        grad_input = ours.backward(upstream)
        if their_x.grad is not None:
            assert_close(grad_input, their_x.grad)
        for parameter_name, parameter in ours.named_parameters():
            assert parameter.grad is not None
            np.testing.assert_allclose(
                kernels(parameter.grad), their_parameters[parameter_name].grad, rtol=1e-10, atol=1e-10
            )
    assert_close(ours.eval()(x), theirs.eval()(their_x))
    if isinstance(ours, BatchNorm):
        assert_close(ours.running_mean.data, theirs.running_mean)
        assert_close(ours.running_variance.data, theirs.running_var)


@st.composite
def padded_batches(draw: st.DrawFn) -> tuple[Array, list[int]]:
    n, time = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    lengths = [time, *draw(st.lists(st.integers(1, time), min_size=n - 1, max_size=n - 1))]
    x = np.random.default_rng(draw(st.integers(0, 99))).standard_normal((n, time, 3))
    for row, length in zip(x, lengths, strict=True):
        row[length:] = 0
    return x, lengths


@pytest.mark.parametrize("kind", [LSTM, GRU], ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(batch=padded_batches(), sequence=st.booleans(), both=st.booleans(), seed=st.integers(0, 99))
def test_recurrent_layers_pass_over_padding(
    kind: Any, batch: tuple[Array, list[int]], sequence: bool, both: bool, seed: int
) -> None:
    (x, lengths), rng = batch, np.random.default_rng(seed)
    ours = kind(3, 4, return_sequence=sequence, bidirectional=both, rng=seed, **DOUBLE)
    theirs = TheirRecurrent(getattr(torch.nn, kind.__name__), sequence, both, lengths).double()
    theirs.layer.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    their_x = torch.tensor(x, requires_grad=True)
    y, their_y = Masked(ours)(x), theirs(their_x)
    assert_close(y, their_y)
    upstream = rng.standard_normal(y.shape)
    their_y.backward(torch.tensor(upstream))
    assert_close(ours.backward(upstream), their_x.grad)
    for name, parameter in theirs.named_parameters():
        assert_close(getattr(ours, name).grad, parameter.grad)


def test_names_of_the_state() -> None:
    """Layers in containers, lists, dictionaries and attributes are named as PyTorch's are."""
    nn = torch.nn

    def build(module: Any, sequential: Any, linear: Any, rectifier: Any, as_list: Any, as_dict: Any) -> Any:
        body = module()
        body.first = linear(2, 3)
        body.row = sequential(linear(3, 3), sequential(rectifier(), linear(3, 3)))
        body.blocks = as_list([linear(3, 3), as_list([rectifier(), linear(3, 3)])])
        body.heads = as_dict({"left": linear(3, 1), "right": as_dict({"deep": as_list([linear(3, 1)])})})
        return sequential(rectifier(), body)

    ours = build(Module, Sequential, Dense, ReLU, list, dict)
    theirs = build(nn.Module, nn.Sequential, nn.Linear, nn.ReLU, nn.ModuleList, nn.ModuleDict)
    shapes = {name: array.shape for name, array in ours.state_dict().items()}
    assert list(shapes.items()) == [(name, tuple(tensor.shape)) for name, tensor in theirs.state_dict().items()]
    names = [
        name for name, _ in theirs.named_modules() if name.split(".")[-1] not in ("blocks", "heads", "right", "deep")
    ]
    assert [name for name, _ in ours.named_modules()] == [name for name in names if name != "1.blocks.1"]
    ours.load_state_dict({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.booleans(), st.booleans(), seeds)
def test_attention_with_padding(
    heads: int, width: int, n: int, steps: int, causal: bool, bias: bool, seed: int
) -> None:
    rng, features = np.random.default_rng(seed), heads * width
    ours = SelfAttention(features, heads, causal=causal, bias=bias, rng=seed, **DOUBLE)
    theirs = TheirAttention(features, heads, bias=bias, batch_first=True).double()
    theirs.causal = causal
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    real = np.arange(steps) < rng.integers(1, steps + 1, size=n)[:, None]  # padding behind, as PyTorch needs it
    x = np.where(real[..., None], rng.standard_normal((n, steps, features)), 7.0)
    their_x = torch.tensor(x, requires_grad=True)
    their_y = theirs(their_x, torch.tensor(real))
    masked = Masked(ours, padding=7.0)
    np.testing.assert_allclose(masked(x)[real], their_y.detach().numpy()[real], rtol=1e-10, atol=1e-10)
    upstream = np.where(real[..., None], rng.standard_normal(x.shape), 0)
    their_y.backward(torch.tensor(upstream))
    assert_close(masked.backward(upstream), their_x.grad)
    their_parameters = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, their_parameters[name].grad)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.booleans(), seeds)
def test_transformer_block(heads: int, width: int, n: int, steps: int, causal: bool, seed: int) -> None:
    rng, features = np.random.default_rng(seed), heads * width
    ours = TransformerBlock(features, heads, hidden=5, causal=causal, rng=seed, **DOUBLE)
    theirs = torch.nn.TransformerEncoderLayer(
        features, heads, 5, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    names = {"0.0": "norm1", "0.1": "self_attn", "1.0": "norm2", "1.1": "linear1", "1.3": "linear2"}
    state = {f"{names[name[:3]]}{name[3:]}": torch.tensor(array) for name, array in ours.state_dict().items()}
    theirs.load_state_dict(state)
    x = rng.standard_normal((n, steps, features))
    their_x = torch.tensor(x, requires_grad=True)
    later = torch.ones(steps, steps, dtype=torch.bool).triu(1) if causal else None
    their_y = theirs(their_x, src_mask=later)
    assert_close(ours(x), their_y)
    upstream = rng.standard_normal(x.shape)
    their_y.backward(torch.tensor(upstream))
    assert_close(ours.backward(upstream), their_x.grad)
    their_parameters = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, their_parameters[f"{names[name[:3]]}{name[3:]}"].grad)
