"""Convolutions and pooling against PyTorch over random sizes, strides, paddings, dilations and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import AveragePool1D, AveragePool2D, Conv1D, Conv2D, ConvTranspose2D, MaxPool1D, MaxPool2D, Module
from minidl._typing import Array

torch: Any = pytest.importorskip("torch")
F = torch.nn.functional

small = st.integers(1, 3)
sides = st.integers(1, 8)
pairs = st.tuples(small, small)


def first(x: Array) -> Any:
    """Return PyTorch's copy, channels second."""
    return torch.tensor(np.moveaxis(x, -1, 1), dtype=torch.float64)


def compare(layer: Module, x: Array, theirs: Any, seed: int) -> None:
    """Compare the output and all gradients of a layer with those of a function of x, weight and bias."""
    rng = np.random.default_rng(seed)
    tensors = dict(layer.named_parameters())
    for parameter in tensors.values():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    their_x = first(x).requires_grad_()
    given_to = {name: (first(p.data) if name == "weight" else torch.tensor(p.data)) for name, p in tensors.items()}
    for tensor in given_to.values():
        tensor.requires_grad_()
    y, their_y = layer(x), theirs(their_x, **given_to)
    assert y.shape == np.moveaxis(their_y.detach().numpy(), 1, -1).shape
    upstream = rng.standard_normal(y.shape)
    their_y.backward(first(upstream))
    pairs_of_arrays: list[tuple[Any, Any]] = [(y, their_y.detach()), (layer.backward(upstream), their_x.grad)]
    pairs_of_arrays += [(tensors[name].grad, tensor.grad) for name, tensor in given_to.items()]
    for ours, right in pairs_of_arrays:
        right = right.numpy() if right.ndim == 1 else np.moveaxis(right.numpy(), 1, -1)
        np.testing.assert_allclose(ours, right, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(layer.eval()(x), y)


def around(x: Any, borders: Any, value: float = 0.0) -> Any:
    """Return x with its padding, of (top, bottom), (left, right)."""
    return F.pad(x, [side for pair in reversed(borders) for side in pair], value=value)


def upper(side: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the padding of "same_upper" by its definition: the least that lets ceil(side / stride) windows fit."""
    for missing in range(100):
        last = side + missing - dilation * (size - 1) - 1  # where the last window may begin
        if last >= 0 and last // stride + 1 == -(-side // stride):
            return missing // 2, missing - missing // 2
    raise AssertionError


@settings(max_examples=150)
@given(st.data(), seeds)
def test_conv2d(data: st.DataObject, seed: int) -> None:
    size, stride, dilation = data.draw(pairs), data.draw(pairs), data.draw(pairs)
    n, height, width, groups = data.draw(small), data.draw(sides), data.draw(sides), data.draw(small)
    channels, filters, bias = groups * data.draw(small), groups * data.draw(small), data.draw(st.booleans())
    spans = [d * (s - 1) for d, s in zip(dilation, size, strict=True)]
    numbers = st.integers(0, 4)
    a, b, c, d = (data.draw(numbers) for _ in range(4))
    paddings: list[tuple[Any, Any]] = [
        ("valid", ((0, 0), (0, 0))),
        ("same", tuple((span // 2, span - span // 2) for span in spans)),
        ("same_upper", tuple(upper(*each) for each in zip((height, width), size, stride, dilation, strict=True))),
        (a, ((a, a), (a, a))), ((a, b), ((a, a), (b, b))), (((a, b), (c, d)), ((a, b), (c, d))),
    ]  # fmt: skip
    padding, borders = data.draw(st.sampled_from(paddings))
    assume(height + sum(borders[0]) > spans[0] and width + sum(borders[1]) > spans[1])
    layer = Conv2D(channels, filters, size, stride, padding, dilation, groups, bias=bias, dtype=np.float64)

    def theirs(x: Any, weight: Any, bias: Any = None) -> Any:
        return F.conv2d(around(x, borders), weight, bias, stride, 0, dilation, groups)

    compare(layer, np.random.default_rng(seed).standard_normal((n, height, width, channels)), theirs, seed)


@settings(max_examples=150)
@given(st.data(), seeds)
def test_conv1d(data: st.DataObject, seed: int) -> None:
    size, stride, dilation = data.draw(small), data.draw(small), data.draw(small)
    n, time, groups = data.draw(small), data.draw(st.integers(1, 12)), data.draw(small)
    channels, filters, bias = groups * data.draw(small), groups * data.draw(small), data.draw(st.booleans())
    span, a, b = dilation * (size - 1), data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))
    paddings: list[tuple[Any, Any]] = [
        ("valid", (0, 0)), ("same", (span // 2, span - span // 2)), ("same_upper", upper(time, size, stride, dilation)),
        ("causal", (span, 0)), (a, (a, a)), ((a, b), (a, b)),
    ]  # fmt: skip
    padding, border = data.draw(st.sampled_from(paddings))
    assume(time + sum(border) > span)
    layer = Conv1D(channels, filters, size, stride, padding, dilation, groups, bias=bias, dtype=np.float64)

    def theirs(x: Any, weight: Any, bias: Any = None) -> Any:
        return F.conv1d(around(x, [border]), weight, bias, stride, 0, dilation, groups)

    compare(layer, np.random.default_rng(seed).standard_normal((n, time, channels)), theirs, seed)


@settings(max_examples=150)
@given(st.data(), seeds)
def test_conv_transpose2d(data: st.DataObject, seed: int) -> None:
    size, stride, dilation = data.draw(pairs), data.draw(pairs), data.draw(pairs)
    padding, more = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))), data.draw(pairs)
    output_padding = min(more[0], stride[0]) - 1, min(more[1], stride[1]) - 1
    n, height, width, groups = data.draw(small), data.draw(sides), data.draw(sides), data.draw(small)
    channels, filters, bias = groups * data.draw(small), groups * data.draw(small), data.draw(st.booleans())
    for i, side in enumerate((height, width)):
        assume((side - 1) * stride[i] + dilation[i] * (size[i] - 1) + 1 - 2 * padding[i] + output_padding[i] > 0)
    layer = ConvTranspose2D(
        channels, filters, size, stride, padding, output_padding, dilation, groups, bias=bias, dtype=np.float64
    )

    def theirs(x: Any, weight: Any, bias: Any = None) -> Any:
        return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding, groups, dilation)

    compare(layer, np.random.default_rng(seed).standard_normal((n, height, width, channels)), theirs, seed)


@settings(max_examples=60)
@given(st.data(), seeds)
def test_pooling_of_pictures(data: st.DataObject, seed: int) -> None:
    size, stride = data.draw(pairs), data.draw(st.none() | pairs)
    padding = data.draw(st.integers(0, size[0] // 2)), data.draw(st.integers(0, size[1] // 2))
    shape = data.draw(small), data.draw(st.integers(3, 8)), data.draw(st.integers(3, 8)), data.draw(small)
    x, count = np.random.default_rng(seed).standard_normal(shape), data.draw(st.booleans())
    compare(MaxPool2D(size, stride, padding), x, lambda x: F.max_pool2d(x, size, stride, padding), seed)
    average = AveragePool2D(size, stride, padding, count)
    compare(average, x, lambda x: F.avg_pool2d(x, size, stride, padding, count_include_pad=count), seed)
    borders: Any = [[data.draw(st.integers(0, side - 1)) for _ in range(2)] for side in size]
    layer: Any = MaxPool2D(size, stride, borders)
    compare(layer, x, lambda x: F.max_pool2d(around(x, borders, -np.inf), size, stride), seed)
    layer = AveragePool2D(size, stride, borders)
    compare(layer, x, lambda x: F.avg_pool2d(around(x, borders), size, stride), seed)


@settings(max_examples=60)
@given(st.data(), seeds)
def test_pooling_over_time(data: st.DataObject, seed: int) -> None:
    size, stride = data.draw(small), data.draw(st.none() | small)
    padding = data.draw(st.integers(0, size // 2))
    shape = data.draw(small), data.draw(st.integers(3, 9)), data.draw(small)
    x, count = np.random.default_rng(seed).standard_normal(shape), data.draw(st.booleans())
    compare(MaxPool1D(size, stride, padding), x, lambda x: F.max_pool1d(x, size, stride, padding), seed)
    average = AveragePool1D(size, stride, padding, count)
    compare(average, x, lambda x: F.avg_pool1d(x, size, stride, padding, count_include_pad=count), seed)
    border = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    compare(
        MaxPool1D(size, stride, border), x, lambda x: F.max_pool1d(around(x, [border], -np.inf), size, stride), seed
    )
    compare(AveragePool1D(size, stride, border), x, lambda x: F.avg_pool1d(around(x, [border]), size, stride), seed)
