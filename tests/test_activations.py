"""The activations' values against their formulas, at extremes, and Dropout's statistics."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, dtypes, seeds

from minidl import GELU, Dropout, LeakyReLU, Module, ReLU, Softmax, Tanh
from minidl._typing import Array
from minidl.functional import logsumexp, softmax


@given(batches(), st.floats(-1, 1))
def test_leaky_relu_against_its_formula(x: Array, slope: float) -> None:
    assert LeakyReLU(slope)(x).tolist() == [[z if z > 0 else slope * z for z in row] for row in x.tolist()]


@given(batches())
def test_tanh_against_its_formula(x: Array) -> None:
    np.testing.assert_allclose(Tanh()(x), [[math.tanh(z) for z in row] for row in x], rtol=1e-14)


@given(batches())
def test_gelu_is_near_its_definition(x: Array) -> None:
    exact = [[z * (1 + math.erf(z / math.sqrt(2))) / 2 for z in row] for row in x]
    np.testing.assert_allclose(GELU()(x), exact, atol=5e-4)


@given(batches(low=-700, high=700))
def test_softmax_and_logsumexp_against_their_formulas(x: Array) -> None:
    for row, probabilities, total in zip(x, softmax(x), logsumexp(x), strict=True):
        # Divided through by the largest exponential, which keeps the sum within Python's floats.
        terms = [math.exp(z - max(row)) for z in row]
        np.testing.assert_allclose(probabilities, [term / math.fsum(terms) for term in terms], rtol=1e-12)
        np.testing.assert_allclose(total, max(row) + math.log(math.fsum(terms)), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(softmax(x).sum(axis=-1), 1, rtol=1e-12)


@given(batches(), st.floats(-1e4, 1e4))
def test_softmax_ignores_and_logsumexp_follows_a_shift(x: Array, shift: float) -> None:
    np.testing.assert_allclose(softmax(x + shift), softmax(x), rtol=1e-10)
    np.testing.assert_allclose(logsumexp(x + shift), logsumexp(x) + shift, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layer", [Tanh(), LeakyReLU(), GELU(), Softmax()], ids=repr)
@given(dtype=dtypes)
def test_extreme_numbers_stay_finite(layer: Module, dtype: Any) -> None:
    y = layer(np.array([[-1e4, 1e4, 0.0, -1e-30]], dtype))
    assert np.isfinite(y).all()
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_softmax_in_float32() -> None:
    y = Softmax()(np.array([[1e4, 1e4 - 1, -1e4]], np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y[0], [1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0], rtol=1e-6)


def test_bad_input_and_arguments() -> None:
    with pytest.raises(ValueError, match=r"Softmax\(\): expected \(batch, ..., classes\), received \(3,\)"):
        Softmax()(np.zeros(3))
    with pytest.raises(ValueError, match=r"LeakyReLU negative_slope: expected a finite number, received inf"):
        LeakyReLU(math.inf)
    with pytest.raises(ValueError, match=r"GELU\(\): expected floating numbers, received dtype <U1$"):
        GELU()(np.array([["a"]]))


@given(st.floats(0, 0.9), seeds, dtypes)
def test_dropout_statistics(rate: float, seed: int, dtype: Any) -> None:
    x = np.ones((200, 100), dtype)
    layer = Dropout(rate, rng=seed)
    y = layer(x)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    deviation = math.sqrt(rate * (1 - rate) / x.size)
    assert abs(kept.mean() - (1 - rate)) <= 6 * deviation
    np.testing.assert_array_equal(layer.backward(x), y)  # the same mask on the way back
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_dropout_draws_a_new_mask_each_time_and_the_same_ones_from_the_same_state() -> None:
    x = np.ones((5, 20))
    layer = Dropout(0.5, rng=3)
    twin = copy.deepcopy(layer)
    first, second = layer(x), layer(x)
    assert (first != second).any()
    np.testing.assert_array_equal(twin(x), first)
    np.testing.assert_array_equal(twin(x), second)


def test_dropout_takes_a_generator_and_evaluation_does_not_advance_it() -> None:
    generator = np.random.default_rng(0)
    layer = Dropout(0.5, rng=generator)
    assert layer.rng is generator
    before = generator.bit_generator.state
    layer.eval()(np.ones((2, 2)))
    assert generator.bit_generator.state == before


@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5, math.nan, "0.5", True, None])
def test_bad_rates(rate: Any) -> None:
    with pytest.raises(ValueError, match=r"Dropout rate: expected a number in \[0, 1\), received"):
        Dropout(rate)


def test_relu_of_a_single_number_and_of_turned_arrays() -> None:
    assert ReLU()(np.float32(-3)).tolist() == 0.0
    x = np.random.default_rng(0).normal(size=(3, 4))
    layer = ReLU()
    np.testing.assert_array_equal(layer(x.T), np.maximum(x.T, 0))
    np.testing.assert_array_equal(layer.backward(np.ones((3, 4)).T), (x.T > 0).astype(np.float64))
