"""Layers: shapes, dtypes, what they keep, and the errors they answer with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, batches, dtypes, seeds, sizes

from minidl import Dense, Flatten, Module, ReLU, Rescale, Sequential, Sigmoid
from minidl._typing import Array
from minidl.initializers import BY_NAME


@given(batches(), sizes, dtypes, seeds)
def test_dense_against_loops(x: Array, units: int, dtype: Any, seed: int) -> None:
    x = x.astype(dtype)
    layer = Dense(x.shape[1], units, rng=seed, dtype=dtype)
    assert layer.bias is not None
    layer.bias.data[...] = np.arange(units)
    expected = np.zeros((len(x), units), dtype)
    for i in range(len(x)):
        for j in range(units):
            expected[i, j] = layer.bias.data[j] + sum(w * v for w, v in zip(layer.weight.data[j], x[i], strict=True))
    z = layer(x)
    assert z.dtype == dtype
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-4 if dtype == np.float32 else 1e-10)


@given(st.lists(sizes, min_size=2, max_size=3), sizes, sizes, seeds)
def test_dense_takes_each_row_along_the_last_axis(before: list[int], inputs: int, units: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(*before, inputs)), rng.normal(size=(*before, units))
    layer, of_rows = (Dense(inputs, units, rng=seed, dtype=np.float64) for _ in range(2))
    np.testing.assert_array_equal(layer(x), of_rows(x.reshape(-1, inputs)).reshape(g.shape))
    np.testing.assert_array_equal(layer.backward(g), of_rows.backward(g.reshape(-1, units)).reshape(x.shape))
    for (name, one), (_, other) in zip(layer.named_parameters(), of_rows.named_parameters(), strict=True):
        assert one.grad is not None
        np.testing.assert_array_equal(one.grad, other.grad, name)


def test_dense_without_bias() -> None:
    layer = Dense(2, 3, bias=False)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer(np.zeros((1, 2), np.float32)).tolist() == [[0.0, 0.0, 0.0]]


def test_dense_casts_floating_input_to_its_own_precision() -> None:
    assert Dense(2, 1)(np.ones((1, 2), np.float64)).dtype == np.float32
    assert Dense(2, 1, dtype=np.float64)(np.ones((1, 2), np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 3)), r"Dense\(12 -> 2\): expected \(batch, 12\), received \(4, 3\)"),
        (np.zeros((4, 2, 2, 3)), r"received \(4, 2, 2, 3\); pictures must be flattened: put Flatten"),
        (np.zeros((12, 5)), "samples seem to stand in columns: pass the transpose"),
        (np.zeros(12), r"still needs its batch axis: pass x\[None\]"),
        (np.zeros((0, 12)), "at least one sample, received an empty batch"),
        (np.zeros((4, 12), np.uint8), r"expected float32 numbers, received dtype uint8; put Rescale\(\) first"),
        (np.zeros((4, 12), object), "expected float32 numbers, received dtype object"),
        (np.zeros(()), r"received \(\)"),
    ],
)
def test_dense_bad_input(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dense(12, 2)(x)


@pytest.mark.parametrize("sizes_given", [(0, 1), (1, 0), (-1, 1), (2.5, 1), (True, 1), ("2", 1)])
def test_dense_bad_sizes(sizes_given: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"Dense (in|out)_features: expected a whole number of at least 1, received"):
        Dense(*sizes_given)


def test_dense_bad_dtype_and_rng() -> None:
    with pytest.raises(ValueError, match="dtype: expected float32 or float64, received int64"):
        Dense(1, 1, dtype=np.int64)
    with pytest.raises(ValueError, match="rng: expected a seed of at least 0"):
        Dense(1, 1, rng=-1)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_initializers_by_name(name: str) -> None:
    expected = BY_NAME[name]((4, 9), np.random.default_rng(2)).astype(np.float32)
    np.testing.assert_array_equal(Dense(9, 4, weight_init=name, rng=2).weight.data, expected)


def test_initializer_of_ones_own_and_bad_ones() -> None:
    layer = Dense(2, 1, weight_init=lambda shape, _: np.full(shape, 7.0))
    assert layer.weight.data.tolist() == [[7.0, 7.0]]
    with pytest.raises(ValueError, match=r"callable or one of scaled_normal, he_normal.*received 'xavier'"):
        Dense(2, 1, weight_init="xavier")
    with pytest.raises(ValueError, match=r"weight_init: expected an array of shape \(1, 2\), received \(2, 1\)"):
        Dense(2, 1, weight_init=lambda shape, _: np.zeros(shape[::-1]))


def test_same_seed_same_bits_and_no_global_state() -> None:
    np.random.seed(0)  # noqa: NPY002 - the legacy global generator must not matter
    first = Dense(5, 4, rng=9).weight.data
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first, Dense(5, 4, rng=9).weight.data)
    assert (first != Dense(5, 4, rng=10).weight.data).all()


@given(batches(low=-1e4, high=1e4), dtypes)
def test_activations_keep_shape_and_dtype(x: Array, dtype: Any) -> None:
    x = x.astype(dtype)
    for layer in (ReLU(), Sigmoid()):
        y = layer(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        gradient = layer.backward(np.ones_like(y))
        assert (gradient.shape, gradient.dtype) == (x.shape, x.dtype)
        assert np.isfinite(gradient).all()


def test_relu_at_zero_and_below() -> None:
    relu = ReLU()
    assert relu(np.array([[-1.0, 0.0, 2.0]])).tolist() == [[0.0, 0.0, 2.0]]
    assert relu.backward(np.array([[5.0, 5.0, 5.0]])).tolist() == [[0.0, 0.0, 5.0]]
    assert np.isnan(relu(np.array([[math.nan]]))).all()


@given(arrays((2, 3, 2, 3), 0, 255))
def test_flatten_round_trip(x: Array) -> None:
    flatten = Flatten()
    y = flatten(x)
    assert y.shape == (2, 18)
    assert y[1].tolist() == x[1].ravel().tolist()
    np.testing.assert_array_equal(flatten.backward(y), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rescale_of_every_pixel(dtype: Any) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    y = Rescale(offset=-0.5, dtype=dtype)(pixels)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, pixels.astype(np.float64) / 255 - 0.5, atol=2 * np.finfo(dtype).eps)
    assert pixels[0, 1] == 1


def test_rescale_keeps_the_precision_of_floating_input() -> None:
    assert Rescale()(np.ones((1, 1), np.float64)).dtype == np.float64
    assert Rescale(dtype=np.float64)(np.ones((1, 1), np.float32)).dtype == np.float32


def test_bad_input_of_the_input_layers() -> None:
    with pytest.raises(ValueError, match=r"layer 0, Rescale.*real numbers, received dtype <U1"):
        Sequential(Rescale())(np.array([["a"]]))
    with pytest.raises(ValueError, match="received a single number"):
        Flatten()(np.zeros(()))
    with pytest.raises(ValueError, match="Rescale scale: expected a finite number, received nan"):
        Rescale(math.nan)


LAYERS: list[Module] = [Dense(4, 4, rng=0), ReLU(), Sigmoid(), Flatten(), Rescale()]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_the_contract_of_forward_and_backward(layer: Module) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    original, upstream = x.copy(), np.ones((3, 4), np.float32)

    output = layer.eval()(x)
    assert layer._saved is None  # evaluation keeps nothing
    with pytest.raises(RuntimeError, match="backward needs a forward pass in training mode"):
        layer.backward(upstream)

    np.testing.assert_array_equal(layer.train()(x), output)
    layer.backward(upstream)
    np.testing.assert_array_equal(x, original)
    assert (upstream == 1).all()
    with pytest.raises(RuntimeError, match=r"backward needs a forward pass"):
        layer.backward(upstream)

    first, kept = layer(x), output.copy()
    layer(x + 1)
    np.testing.assert_array_equal(first, kept)  # a result handed out is not overwritten by the next one
