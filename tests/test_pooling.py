"""Pooling against loops, at ties and borders, and its errors."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dtypes, seeds

from minidl import (
    AveragePool1D,
    AveragePool2D,
    GlobalAveragePool2D,
    GlobalMaxPool2D,
    MaxPool1D,
    MaxPool2D,
    Sequential,
    UpSample2D,
)
from minidl._typing import Array

small = st.integers(1, 3)


@st.composite
def pictures(draw: st.DrawFn, at_least: int) -> Array:
    """Small whole numbers, so that windows have several maxima."""
    side = st.integers(at_least, 6)
    shape = draw(small), draw(side), draw(side), draw(small)
    return np.random.default_rng(draw(seeds)).integers(-3, 3, shape).astype(np.float64)


Padding = tuple[naive.Pair, naive.Pair]


@st.composite
def pools(draw: st.DrawFn) -> tuple[naive.Pair, naive.Pair, Padding, Array]:
    """Size, stride, padding and pictures that have room for a window."""
    size, stride = draw(st.tuples(small, small)), draw(st.tuples(small, small))
    (top, bottom), (left, right) = ((draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))) for side in size)
    return size, stride, ((top, bottom), (left, right)), draw(pictures(max(size)))


@given(pools(), dtypes, seeds)
def test_max_pool_against_loops(case: Any, dtype: Any, seed: int) -> None:
    size, stride, padding, x = case
    x = x.astype(dtype)
    surrounded = naive.padded(x, padding[0], padding[1], -np.inf)
    expected = naive.max_pool(surrounded, size, stride)
    layer = MaxPool2D(size, stride, padding)
    np.testing.assert_array_equal(layer(x), expected)
    g = np.random.default_rng(seed).integers(-9, 9, expected.shape).astype(dtype)
    right = naive.inside(naive.max_pool_gradient(surrounded, g, size, stride), *padding)
    np.testing.assert_array_equal(layer.backward(g), right)


@given(pools(), st.booleans(), seeds)
def test_average_pool_against_loops(case: Any, count_padding: bool, seed: int) -> None:
    size, stride, padding, x = case
    surrounded = naive.padded(x, *padding)
    counted = naive.padded(np.ones((1, *x.shape[1:3], 1)), padding[0], padding[1], float(count_padding))
    expected = naive.average_pool(surrounded, counted, None, size, stride)
    layer = AveragePool2D(size, stride, padding, count_padding)
    np.testing.assert_allclose(layer(x), expected, atol=1e-14)
    g = np.random.default_rng(seed).standard_normal(expected.shape)
    right = naive.inside(naive.average_pool(surrounded, counted, g, size, stride), *padding)
    np.testing.assert_allclose(layer.backward(g), right, atol=1e-14)


@pytest.mark.parametrize("kinds", [(MaxPool1D, MaxPool2D), (AveragePool1D, AveragePool2D)])
@given(pools(), seeds)
def test_pooling_over_time_is_that_of_a_picture_of_height_1(kinds: tuple[Any, Any], case: Any, seed: int) -> None:
    (_, size), (_, stride), (_, border), x = case
    of_time, of_pictures = kinds[0](size, stride, border), kinds[1]((1, size), (1, stride), ((0, 0), border))
    x = x[:, 0]
    y = of_time(x)
    np.testing.assert_array_equal(y[:, None], of_pictures(x[:, None]))
    g = np.random.default_rng(seed).standard_normal(y.shape)
    np.testing.assert_array_equal(of_time.backward(g)[:, None], of_pictures.backward(g[:, None]))


def test_pooling_over_time_by_hand() -> None:
    x = np.array([3.0, 1, 2, 5]).reshape(1, 4, 1)
    layer = MaxPool1D(3, stride=1, padding=(1, 0))
    assert layer(x).ravel().tolist() == [3, 3, 5]
    assert layer.backward(np.ones((1, 3, 1))).ravel().tolist() == [2, 0, 0, 1]
    assert AveragePool1D(2, padding=1)(x).ravel().tolist() == [1.5, 1.5, 2.5]
    assert AveragePool1D(2, padding=1, count_padding=False)(x).ravel().tolist() == [3, 1.5, 5]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [2, 3, (2, 3), 7])
@pytest.mark.parametrize("count_padding", [True, False])
def test_a_mean_of_the_largest_numbers_is_no_larger(size: Any, count_padding: bool, dtype: Any) -> None:
    largest = np.finfo(dtype).max
    for x in (np.full((1, 8, 8, 1), largest), np.random.default_rng(0).uniform(0.999, 1, (1, 8, 8, 1)) * largest):
        with np.errstate(all="raise"):
            y = AveragePool2D(size, 1, 1, count_padding)(x.astype(dtype))
        assert (y <= largest).all()
        assert y[0, 1, 1, 0] >= 0.998 * largest or size == 7
        assert np.isfinite(y).all()


@given(pictures(1))
def test_global_average_pool(x: Array) -> None:
    layer = GlobalAveragePool2D()
    np.testing.assert_allclose(layer(x), [[picture[:, :, k].mean() for k in range(x.shape[3])] for picture in x])
    gradient = layer.backward(np.ones((len(x), x.shape[3])))
    np.testing.assert_allclose(gradient, np.full(x.shape, 1 / (x.shape[1] * x.shape[2])))


@given(pictures(1))
def test_global_max_pool_is_one_window_over_the_whole_picture(x: Array) -> None:
    layer = GlobalMaxPool2D()
    np.testing.assert_array_equal(layer(x), [[picture[:, :, k].max() for k in range(x.shape[3])] for picture in x])
    g = np.arange(1.0, 1 + len(x) * x.shape[3]).reshape(len(x), x.shape[3])
    gradient = layer.backward(g)
    for i, picture in enumerate(x):
        for k in range(x.shape[3]):
            first = np.unravel_index(picture[:, :, k].argmax(), picture.shape[:2])
            expected = np.zeros(picture.shape[:2])
            expected[first] = g[i, k]
            np.testing.assert_array_equal(gradient[i, :, :, k], expected)


@given(pictures(1), small)
def test_up_sample_against_loops(x: Array, factor: int) -> None:
    n, height, width, channels = x.shape
    layer = UpSample2D(factor)
    y = layer(x)
    g = np.random.default_rng(0).normal(size=y.shape)
    gradient, expected = layer.backward(g), np.zeros_like(x)
    assert y.shape == (n, factor * height, factor * width, channels)
    for r in range(factor * height):
        for c in range(factor * width):
            np.testing.assert_array_equal(y[:, r, c], x[:, r // factor, c // factor])
            expected[:, r // factor, c // factor] += g[:, r, c]
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


def test_padding_never_wins() -> None:
    x = np.full((1, 2, 2, 1), -5.0)
    layer = MaxPool2D(3, stride=1, padding=1)
    assert layer(x).ravel().tolist() == [-5.0] * 4
    assert layer.backward(np.ones((1, 2, 2, 1))).ravel().tolist() == [4.0, 0.0, 0.0, 0.0]


def test_the_first_of_several_maxima_takes_the_gradient() -> None:
    layer = MaxPool2D(2)
    layer(np.array([[0.0, 7.0], [7.0, 7.0]]).reshape(1, 2, 2, 1))
    assert layer.backward(np.full((1, 1, 1, 1), 3.0)).ravel().tolist() == [0.0, 3.0, 0.0, 0.0]


def test_rows_and_columns_left_over_have_no_part() -> None:
    layer = MaxPool2D(2)
    assert layer(np.arange(25.0).reshape(1, 5, 5, 1)).shape == (1, 2, 2, 1)
    gradient = layer.backward(np.ones((1, 2, 2, 1)))
    assert gradient.shape == (1, 5, 5, 1)
    assert not gradient[:, 4].any()
    assert not gradient[:, :, 4].any()


def test_nan_is_not_hidden() -> None:
    assert np.isnan(MaxPool2D(2)(np.array([[0.0, np.nan], [1.0, 2.0]]).reshape(1, 2, 2, 1))).all()


def test_reprs() -> None:
    assert repr(MaxPool2D()) == "MaxPool2D(2, stride=2, padding=0)"
    assert repr(MaxPool2D((2, 3), 1, ((1, 0), (2, 1)))) == "MaxPool2D((2, 3), stride=1, padding=((1, 0), (2, 1)))"
    assert repr(MaxPool1D(3, 1, (2, 0))) == "MaxPool1D(3, stride=1, padding=(2, 0))"
    assert repr(AveragePool2D(3)) == "AveragePool2D(3, stride=3)"
    assert repr(AveragePool2D(3, padding=1)) == "AveragePool2D(3, stride=3, padding=1)"
    assert repr(AveragePool1D(3, 1, 1, False)) == "AveragePool1D(3, stride=1, padding=1, count_padding=False)"


@pytest.mark.parametrize("layer", [MaxPool2D(3), AveragePool2D(3)])
def test_a_window_larger_than_the_picture(layer: Any) -> None:
    with pytest.raises(ValueError, match=r"layer 0, \w+Pool2D.*: expected pictures of at least 3 x 3, received \(1"):
        Sequential(layer)(np.zeros((1, 2, 9, 1)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxPool2D(0), "MaxPool2D pool_size: expected a whole number of at least 1, received 0"),
        (lambda: MaxPool2D(2, 0), "MaxPool2D stride: expected a whole number of at least 1, received 0"),
        (lambda: MaxPool2D(2, padding=2), "padding: .* at least 0 and less than pool_size 2, received 2"),
        (lambda: MaxPool2D((2, 3), padding=(2, 0)), r"less than pool_size \(2, 3\), received \(2, 0\)"),
        (lambda: AveragePool2D((2, 3), padding=((1, 2), (2, 2))), r"less than pool_size \(2, 3\), received \(\(1, 2\)"),
        (lambda: AveragePool2D(2, count_padding=1), "AveragePool2D count_padding: expected True or False, received 1"),  # type: ignore[arg-type]
        (lambda: MaxPool1D((2, 3)), r"MaxPool1D pool_size: .* at least 1, received \(2, 3\)"),  # type: ignore[arg-type]
        (
            lambda: MaxPool1D(2, padding=((0, 0), (1, 1))),  # type: ignore[arg-type]
            r"a number or \(left, right\), .* pool_size 2, received \(\(0",
        ),
        (lambda: MaxPool2D(2, padding=-1), "at least 0 and less than pool_size 2, received -1"),
        (lambda: AveragePool2D(True), "AveragePool2D pool_size: expected a whole number of at least 1, received True"),
        (lambda: AveragePool2D(2, -2), "AveragePool2D stride: expected a whole number of at least 1, received -2"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
