"""BatchNorm, LayerNorm, GroupNorm and RMSNorm: their statistics, modes and errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dtypes, seeds, sizes

from minidl import BatchNorm, Conv2D, GroupNorm, LayerNorm, Masked, RMSNorm, Sequential
from minidl._typing import Array
from minidl.ops import tuning
from minidl.testing import gradcheck


@st.composite
def features(draw: st.DrawFn) -> Array:
    """A batch of rows, of sequences or of pictures, each feature with its own mean and deviation."""
    rng = np.random.default_rng(draw(seeds))
    count = draw(sizes)
    shape = draw(st.sampled_from([(5, count), (4, 3, count), (2, 3, 4, count)]))
    return rng.standard_normal(shape) * rng.uniform(0.1, 10, count) + rng.uniform(-100, 100, count)


flags = st.fixed_dictionaries({"weight": st.booleans(), "bias": st.booleans()})


def drawn(layer: Any, features: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw a norm's weight and bias, and return what they are, or count as where they are left out."""
    for _, parameter in layer.named_parameters():
        parameter.data[...] = rng.standard_normal(features)
    weight = np.ones(features) if layer.weight is None else layer.weight.data
    return weight, np.zeros(features) if layer.bias is None else layer.bias.data


@given(features(), flags, dtypes, seeds)
def test_batch_norm_against_loops(x: Array, parts: dict[str, bool], dtype: Any, seed: int) -> None:
    n = x.shape[-1]
    layer = BatchNorm(n, epsilon=1e-3, dtype=dtype, **parts)
    weight, bias = drawn(layer, n, np.random.default_rng(seed))
    y = layer(x.astype(dtype))
    assert y.dtype == dtype
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    for k in range(n):
        expected = naive.normalized(x[..., k].ravel(), 1e-3) * weight[k] + bias[k]
        np.testing.assert_allclose(y[..., k].ravel(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("parts", [{}, {"weight": False}, {"bias": False}, {"weight": False, "bias": False}], ids=repr)
def test_what_is_left_out_counts_as_1_and_0(parts: dict[str, bool]) -> None:
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((5, 3, 2, 4)), rng.standard_normal((5, 3, 2, 4))
    makers: list[Callable[..., Any]] = [
        partial(BatchNorm, 4),
        partial(LayerNorm, 4),
        partial(GroupNorm, 2, 4),
        *([] if "bias" in parts else [partial(RMSNorm, 4)]),
    ]
    for make in makers:
        whole, layer = make(dtype=np.float64), make(dtype=np.float64, **parts)
        kept = [name for name in ("weight", "bias") if parts.get(name, True) and getattr(whole, name) is not None]
        assert [name for name, _ in layer.named_parameters()] == kept
        for name in kept:
            getattr(layer, name).data[...] = getattr(whole, name).data[...] = rng.standard_normal(4)
        upstream = g.copy()
        np.testing.assert_allclose(layer(x), whole(x), rtol=1e-14)
        np.testing.assert_allclose(layer.backward(upstream), whole.backward(g), rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(upstream, g)
        assert gradcheck(layer, x) < 1e-5
        for name in kept:
            np.testing.assert_allclose(getattr(layer, name).grad, getattr(whole, name).grad, rtol=1e-12)
        assert all(f"{name}=False" in repr(layer) for name in parts)


def test_a_norm_without_weight_and_bias_has_the_precision_of_its_input() -> None:
    for layer in (LayerNorm(4, weight=False, bias=False), GroupNorm(2, 4, weight=False, bias=False)):
        for dtype in (np.float32, np.float64):
            assert layer(np.ones((2, 3, 3, 4), dtype)).dtype == dtype
        assert gradcheck(layer, np.random.default_rng(0).standard_normal((2, 3, 3, 4))) < 1e-5
    assert BatchNorm(4, weight=False, bias=False)(np.ones((2, 4))).dtype == np.float32  # that of its statistics


@given(sizes, st.integers(2, 6), sizes, seeds)
def test_batch_norm_of_sequences_is_that_of_their_points(n: int, time: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(3, 2, (n, time, count)), rng.standard_normal((n, time, count))
    layer, of_rows = BatchNorm(count, dtype=np.float64), BatchNorm(count, dtype=np.float64)
    np.testing.assert_allclose(layer(x), of_rows(x.reshape(-1, count)).reshape(x.shape), rtol=1e-9, atol=1e-9)
    back = of_rows.backward(g.reshape(-1, count)).reshape(x.shape)
    np.testing.assert_allclose(layer.backward(g), back, rtol=1e-9, atol=1e-9)
    for name, array in layer.state_dict().items():
        np.testing.assert_allclose(array, of_rows.state_dict()[name], rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(layer.parameters(), of_rows.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)


@given(st.integers(1, 4), st.integers(2, 5), sizes, seeds)
def test_padding_does_not_count(n: int, time: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(3, 2, (n, time, count)), rng.standard_normal((n, time, count))
    real = np.arange(time) < rng.integers(1, time, n)[:, None]
    real[0, :2] = True
    x[~real] = 0
    layer, of_rows = BatchNorm(count, dtype=np.float64), BatchNorm(count, dtype=np.float64)
    network = Masked(layer)
    y, rows = network(x), of_rows(x[real])
    np.testing.assert_array_equal(y[real], rows)
    assert not y[~real].any()
    grad_x = network.backward(g)
    np.testing.assert_array_equal(grad_x[real], of_rows.backward(g[real]))
    assert not grad_x[~real].any()
    for ours, theirs in zip(layer.parameters(), of_rows.parameters(), strict=True):
        np.testing.assert_array_equal(ours.grad, theirs.grad)
    np.testing.assert_array_equal(layer.running_mean.data, of_rows.running_mean.data)
    np.testing.assert_allclose(network.predict(x)[real], of_rows.predict(x[real]), rtol=1e-12, atol=1e-12)


@given(features(), st.floats(0, 1))
def test_running_statistics_and_evaluation(x: Array, momentum: float) -> None:
    n = x.shape[-1]
    layer = BatchNorm(n, momentum=momentum, dtype=np.float64)
    mean, variance = np.zeros(n), np.ones(n)
    for batch in (x, 2 * x - 1):
        layer(batch)
        rows = batch.reshape(-1, n)
        mean = (1 - momentum) * mean + momentum * rows.mean(axis=0)
        variance = (1 - momentum) * variance + momentum * rows.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(layer.running_variance.data, variance, rtol=1e-10)
    before = layer.state_dict()
    y = layer.eval()(x)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-9, atol=1e-9)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])  # evaluation learns nothing


def test_evaluation_takes_a_batch_of_one_and_does_not_mix_samples() -> None:
    layer = BatchNorm(3, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((4, 3))
    layer(x)
    layer.eval()
    np.testing.assert_array_equal(np.concatenate([layer(row[None]) for row in x]), layer(x))


def test_training_by_hand() -> None:
    # The values 1 and 3: mean 2, variance 1 (of two values; 2 with the divisor m - 1). With epsilon 3 the deviation
    # is 2, hence -0.5 and 0.5; the running statistics go a tenth of the way from 0 to 2 and from 1 to 2.
    layer: Any = BatchNorm(1, epsilon=3, dtype=np.float64)
    assert layer(np.array([[1.0], [3.0]])).tolist() == [[-0.5], [0.5]]
    assert layer.running_mean.data.tolist() == [0.2]
    assert layer.running_variance.data.tolist() == [1.1]
    # g = (1, 0): mean(g) = 1/2, mean(g h) = -1/4, dL/dx = (g - 1/2 + h/4) / 2 = (1 - .5 - .125, -.5 + .125) / 2.
    assert layer.backward(np.array([[1.0], [0.0]])).tolist() == [[0.1875], [-0.1875]]
    assert layer.weight.grad.tolist() == [-0.5]


def test_a_far_mean_costs_no_digits_of_the_variance() -> None:
    # mean(x^2) - mean(x)^2 would be 0 or negative here.
    x = (np.random.default_rng(0).standard_normal((64, 2)) + 3000).astype(np.float32)
    np.testing.assert_allclose(BatchNorm(2)(x).std(axis=0), 1, rtol=1e-3)


def test_names_of_the_state() -> None:
    layer = BatchNorm(3)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_variance"]
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert repr(layer) == "BatchNorm(3, momentum=0.1, epsilon=1e-05)"


@given(st.lists(sizes, min_size=2, max_size=4).map(tuple), flags, seeds)
def test_layer_norm_against_loops(shape: tuple[int, ...], parts: dict[str, bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = shape[-1]
    layer = LayerNorm(n, epsilon=1e-3, dtype=np.float64, **parts)
    weight, bias = drawn(layer, n, rng)
    x = 10 * rng.standard_normal(shape) + 50
    y = layer(x).reshape(-1, n)
    for row, result in zip(x.reshape(-1, n), y, strict=True):
        expected = naive.normalized(row, 1e-3) * weight + bias
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


@given(st.lists(sizes, min_size=2, max_size=4).map(tuple), st.booleans(), seeds)
def test_rms_norm_against_loops(shape: tuple[int, ...], has_weight: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = RMSNorm(shape[-1], epsilon=1e-3, weight=has_weight, dtype=np.float64)
    weight, _ = drawn(layer, shape[-1], rng)
    x = rng.standard_normal(shape) + 1
    for row, result in zip(x.reshape(-1, shape[-1]), layer(x).reshape(-1, shape[-1]), strict=True):
        root = math.sqrt(sum(value**2 for value in row) / len(row) + 1e-3)
        np.testing.assert_allclose(result, row / root * weight, rtol=1e-12, atol=1e-12)


@given(sizes, st.integers(1, 3), st.integers(1, 3), flags, seeds)
def test_group_norm_against_loops(n: int, groups: int, width: int, parts: dict[str, bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = GroupNorm(groups, groups * width, epsilon=1e-3, dtype=np.float64, **parts)
    weight, bias = drawn(layer, groups * width, rng)
    x = 10 * rng.standard_normal((n, 2, 3, groups * width)) + 50
    y = layer(x)
    for i in range(n):
        for first in range(0, groups * width, width):
            group = slice(first, first + width)
            expected = naive.normalized(x[i, :, :, group].ravel(), 1e-3).reshape(2, 3, width)
            expected = expected * weight[group] + bias[group]
            np.testing.assert_allclose(y[i, :, :, group], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((4, 2)),
            r"BatchNorm\(3.*: expected \(batch, 3\), received \(4, 2\)",
        ),
        (np.zeros((4, 3, 2)), r"BatchNorm\(3.*: expected \(batch, ..., 3\), received \(4, 3, 2\)"),
        (np.zeros(3), r"a single sample still needs its batch axis"),
        (np.zeros((0, 3)), r"at least one sample, received an empty batch \(0, 3\)"),
        (np.zeros((1, 3)), r"more than one value of each feature in training, received \(1, 3\); use a larger batch"),
        (np.zeros((1, 1, 1, 3)), r"more than one value of each feature in training, received \(1, 1, 1, 3\)"),
        (np.zeros((2, 3), np.uint8), r"expected float32 numbers, received dtype uint8"),
    ],
)
def test_bad_input_of_batch_norm(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchNorm(3)(x)


def test_a_refused_batch_leaves_the_running_statistics() -> None:
    network = Sequential(Conv2D(1, 2, 2, rng=0), BatchNorm(2))
    with pytest.raises(ValueError, match=r"layer 1, BatchNorm\(2, .*received \(1, 1, 1, 2\)"):
        network(np.ones((1, 2, 2, 1), np.float32))
    assert network.state_dict()["1.running_mean"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 2)), r"LayerNorm\(3, epsilon=1e-05\): expected \(batch, 3\), received \(4, 2\)"),
        (np.zeros(3), r"received \(3,\)"),
        (np.zeros((0, 3)), r"empty batch \(0, 3\)"),
    ],
)
def test_bad_input_of_layer_norm(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LayerNorm(3)(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchNorm(0), "BatchNorm features: expected a whole number of at least 1, received 0"),
        (lambda: BatchNorm(1, momentum=1.5), r"BatchNorm momentum: expected a number in \[0, 1\], received 1.5"),
        (lambda: BatchNorm(1, epsilon=0), "BatchNorm epsilon: expected a finite number above 0, received 0"),
        (lambda: LayerNorm(-1), "LayerNorm features: expected a whole number of at least 1, received -1"),
        (lambda: LayerNorm(1, epsilon=-1), "LayerNorm epsilon: expected a finite number above 0, received -1"),
        (lambda: LayerNorm(1, dtype=np.int32), "dtype: expected float32 or float64, received int32"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(st.integers(2, 40), st.integers(1, 4), st.sampled_from([1, 7, 50]), seeds)
def test_statistics_from_blocks_of_any_size(rows: int, features: int, block: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(5, 3, (rows, features))
    layer = BatchNorm(features, momentum=1, dtype=np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(cache_block=block))
        layer(x)
    np.testing.assert_allclose(layer.running_mean.data, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_variance.data, x.var(axis=0, ddof=1), rtol=1e-12)


def test_a_large_mean_costs_no_digits() -> None:
    x = np.random.default_rng(0).normal(1e4, 1, (64, 4, 4, 3)).astype(np.float32)
    exact = BatchNorm(3, dtype=np.float64)(x.astype(np.float64))
    np.testing.assert_allclose(BatchNorm(3)(x), exact, atol=2e-3)
