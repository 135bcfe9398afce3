"""The activations' values against their formulas, at extremes, and Dropout's statistics."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, dtypes, seeds, sizes

from minidl import (
    ELU,
    GELU,
    SELU,
    Dropout,
    HardSwish,
    LeakyReLU,
    LogSoftmax,
    Module,
    PReLU,
    ReLU,
    ReLU6,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minidl._typing import Array
from minidl.functional import erf, log_softmax, logsumexp, softmax
from minidl.ops import tuning


@given(batches(), st.floats(-1, 1))
def test_leaky_relu_against_its_formula(x: Array, slope: float) -> None:
    assert LeakyReLU(slope)(x).tolist() == [[z if z > 0 else slope * z for z in row] for row in x.tolist()]


@given(batches())
def test_tanh_against_its_formula(x: Array) -> None:
    np.testing.assert_allclose(Tanh()(x), [[math.tanh(z) for z in row] for row in x], rtol=1e-14)


def tanh_form(z: float) -> float:
    return z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2


def elu(z: float, alpha: float = 1.0) -> float:
    return z if z > 0 else alpha * math.expm1(z)


# The layer, its formula for one number, and the formula's derivative, both as the definition has them.
FORMULAS: list[tuple[Module, Callable[[float], float], Callable[[float], float]]] = [
    (
        GELU(),
        lambda z: z * math.erfc(-z / math.sqrt(2)) / 2,
        lambda z: math.erfc(-z / math.sqrt(2)) / 2 + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    ),
    (GELU("tanh"), tanh_form, lambda z: (tanh_form(z + 1e-6) - tanh_form(z - 1e-6)) / 2e-6),
    (
        SiLU(),
        lambda z: z / (1 + math.exp(-z)),
        lambda z: (1 + math.exp(-z) + z * math.exp(-z)) / (1 + math.exp(-z)) ** 2,
    ),
    (ELU(0.7), lambda z: elu(z, 0.7), lambda z: 1 if z > 0 else 0.7 * math.exp(z)),
    (
        SELU(),
        lambda z: 1.0507009873554805 * elu(z, 1.6732632423543772),
        lambda z: 1.0507009873554805 * (1 if z > 0 else 1.6732632423543772 * math.exp(z)),
    ),
    (Softplus(), lambda z: math.log(1 + math.exp(z)), lambda z: math.exp(z) / (1 + math.exp(z))),
    (
        HardSwish(),
        lambda z: z * min(max(z + 3, 0), 6) / 6,
        lambda z: 0 if z <= -3 else 1 if z >= 3 else (2 * z + 3) / 6,
    ),
    (ReLU6(), lambda z: min(max(z, 0), 6), lambda z: 1 if 0 < z < 6 else 0),
]


@pytest.mark.parametrize(("layer", "formula", "derivative"), FORMULAS, ids=lambda thing: repr(thing)[:20])
@given(x=batches(), block=st.sampled_from([1, 7, 1 << 18]))
def test_activations_against_their_formulas(
    layer: Module, formula: Callable[[float], float], derivative: Callable[[float], float], x: Array, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(cache_block=block))
        y, gradient = layer(x), layer.backward(np.full_like(x, 3))
    np.testing.assert_allclose(y, [[formula(z) for z in row] for row in x], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gradient, [[3 * derivative(z) for z in row] for row in x], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(layer.predict(x), y)


@given(batches())
def test_the_tanh_form_is_near_the_exact_gelu(x: Array) -> None:
    np.testing.assert_allclose(GELU("tanh")(x), GELU()(x), atol=5e-4)


def test_selu_keeps_mean_and_variance() -> None:
    y = SELU()(np.random.default_rng(0).standard_normal((1000, 1000)))
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.01


@given(st.lists(sizes, min_size=2, max_size=3).map(tuple), st.booleans(), st.sampled_from([1, 7, 1 << 18]), seeds)
def test_prelu_against_loops(shape: tuple[int, ...], shared: bool, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, g, slopes = rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(shape[-1])
    layer = PReLU(1 if shared else shape[-1], dtype=np.float64)
    layer.weight.data[...] = slopes = slopes[: layer.features]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(cache_block=block))
        y, grad_input = layer(x), layer.backward(g)
    grad_slopes = np.zeros(len(slopes))
    for place in np.ndindex(*shape):
        k = 0 if shared else place[-1]
        assert y[place] == (x[place] if x[place] > 0 else slopes[k] * x[place])
        assert grad_input[place] == (g[place] if x[place] > 0 else slopes[k] * g[place])
        grad_slopes[k] += 0 if x[place] > 0 else g[place] * x[place]
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad, grad_slopes, rtol=1e-12, atol=1e-12)


def test_a_shared_slope_takes_any_shape() -> None:
    assert PReLU()(np.array([-4.0, 4.0])).tolist() == [-1.0, 4.0]
    assert PReLU()(np.float32(-4)).tolist() == -1.0
    with pytest.raises(ValueError, match=r"PReLU\(2, negative_slope=0.25\): expected \(batch, 2\), received \(3, 3\)"):
        PReLU(2)(np.ones((3, 3)))


def test_a_slope_of_many_float32_numbers_has_a_gradient_of_float64() -> None:
    x = -np.random.default_rng(0).random((300_000, 2), np.float32) - np.float32(10)
    for features in (1, 2):
        layer = PReLU(features)
        layer(x)
        layer.backward(np.ones_like(x))
        total = x.sum(axis=0, dtype=np.float64)
        assert layer.weight.grad is not None
        np.testing.assert_allclose(layer.weight.grad, total if features == 2 else [total.sum()], rtol=1e-6)


@given(st.lists(st.one_of(st.floats(-7, 7), st.floats(allow_nan=False, allow_infinity=False)), min_size=1))
def test_erf_to_the_last_places(numbers: list[float]) -> None:
    for dtype, places in ((np.float64, 3), (np.float32, 5)):
        with np.errstate(over="ignore", under="ignore"):
            x = np.array(numbers, dtype)
        x = x[np.isfinite(x)]
        exact = np.array([math.erf(z) for z in x.tolist()])
        with np.errstate(under="ignore"):
            one_place = np.spacing(np.abs(exact).astype(dtype)).astype(np.float64)
        result = erf(x)
        assert result.dtype == dtype
        assert (np.abs(result - exact) <= places * one_place).all()
        assert (np.abs(result) <= 1).all()


@given(batches(low=-700, high=700))
def test_log_softmax_against_its_formula(x: Array) -> None:
    for row, logs in zip(x, LogSoftmax()(x) if x.shape[1] > 1 else log_softmax(x), strict=True):
        total = max(row) + math.log(math.fsum(math.exp(z - max(row)) for z in row))
        np.testing.assert_allclose(logs, [z - total for z in row], rtol=1e-12, atol=1e-12)


def test_the_gradient_of_log_softmax_by_hand() -> None:
    layer = LogSoftmax()
    layer(np.log([[0.2, 0.3, 0.5]]))  # p = (.2, .3, .5); dL/dz = g - p sum(g) = (1 - .2 * 3, -.3 * 3, 2 - .5 * 3)
    np.testing.assert_allclose(layer.backward(np.array([[1.0, 0.0, 2.0]])), [[0.4, -0.9, 0.5]], rtol=1e-14)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):  # 6e38 is beyond float32
        layer(np.array([[3e38, -3e38]], np.float32))


def test_slopes_at_the_kinks() -> None:
    for layer, x, slopes in (
        (HardSwish(), [-3.0, 3.0], [0.0, 1.0]),
        (ReLU6(), [0.0, 6.0], [0.0, 0.0]),
        (ELU(0.5), [0.0], [0.5]),
        (PReLU(dtype=np.float64), [0.0], [0.25]),
    ):
        layer(np.array([x]))
        assert layer.backward(np.ones((1, len(x)))).tolist() == [slopes]


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


@pytest.mark.parametrize("layer", [Tanh(), LeakyReLU(), Softmax(), LogSoftmax(), *(f[0] for f in FORMULAS)], ids=repr)
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
    with pytest.raises(ValueError, match=r"GELU\(approximate='none'\): expected floating numbers, received dtype <U1$"):
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
