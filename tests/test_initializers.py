"""Initializers: their variances, bounds and shapes of distribution, and the orthogonality of `orthogonal`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import Conv2D
from minidl.initializers import BY_NAME

# Of each name: the variance and the largest number, from fan-in and fan-out.
NORMAL = math.inf
CUT = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))
EXPECTED: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "scaled_normal": lambda n_in, n_out: (1 / n_in, NORMAL),
    "he_normal": lambda n_in, n_out: (2 / n_in, NORMAL),
    "glorot_normal": lambda n_in, n_out: (2 / (n_in + n_out), NORMAL),
    "lecun_normal": lambda n_in, n_out: (1 / n_in, 2 / math.sqrt(CUT * n_in)),
    "standard_normal": lambda n_in, n_out: (1.0, NORMAL),
    "small_normal": lambda n_in, n_out: (0.0004, NORMAL),
    "truncated_normal": lambda n_in, n_out: (0.0004 * CUT, 0.04),
    "he_uniform": lambda n_in, n_out: (2 / n_in, math.sqrt(6 / n_in)),
    "glorot_uniform": lambda n_in, n_out: (2 / (n_in + n_out), math.sqrt(6 / (n_in + n_out))),
    "lecun_uniform": lambda n_in, n_out: (1 / n_in, math.sqrt(3 / n_in)),
    "zeros": lambda n_in, n_out: (0.0, 0.0),
}


def test_all_are_here() -> None:
    assert {*EXPECTED, "orthogonal"} == set(BY_NAME)


@pytest.mark.parametrize("name", EXPECTED)
@settings(max_examples=20)
@given(
    outputs=st.integers(1, 40), inputs=st.integers(1, 40), kernel=st.lists(st.integers(1, 3), max_size=2), seed=seeds
)
def test_mean_variance_and_bound(name: str, outputs: int, inputs: int, kernel: list[int], seed: int) -> None:
    shape = (outputs, *kernel, inputs)
    rng = np.random.default_rng(seed)
    draws = [BY_NAME[name](shape, rng) for _ in range(40_000 // math.prod(shape) + 1)]
    assert all(draw.shape == shape for draw in draws)
    values = np.concatenate(draws).ravel()
    window = math.prod(kernel)
    variance, largest = EXPECTED[name](inputs * window, outputs * window)
    deviation = math.sqrt(variance)
    # The mean of n numbers varies by deviation / sqrt(n), and their variance by at most variance * sqrt(2 / n).
    assert abs(values.mean()) <= 6 * deviation / math.sqrt(len(values))
    assert abs(values.var() - variance) <= 6 * variance * math.sqrt(2 / len(values))
    assert np.abs(values).max() <= largest * (1 + 1e-12)
    if 0 < largest < math.inf:
        assert np.abs(values).max() >= 0.99 * largest


@given(
    outputs=st.integers(1, 30), inputs=st.integers(1, 30), kernel=st.lists(st.integers(1, 3), max_size=2), seed=seeds
)
def test_orthogonality(outputs: int, inputs: int, kernel: list[int], seed: int) -> None:
    w = BY_NAME["orthogonal"]((outputs, *kernel, inputs), np.random.default_rng(seed))
    assert w.shape == (outputs, *kernel, inputs)
    w = w.reshape(outputs, -1)
    gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_all_orthogonal_matrices_are_as_likely() -> None:
    # Each entry of a random rotation or reflection of the plane has mean 0 and mean square 1/2.
    rng = np.random.default_rng(0)
    w = np.array([BY_NAME["orthogonal"]((2, 2), rng) for _ in range(4000)])
    np.testing.assert_allclose(w.mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose((w * w).mean(axis=0), 0.5, atol=0.04)
    assert abs((np.linalg.det(w) > 0).mean() - 0.5) < 0.05


def test_a_normal_that_is_cut_has_no_gap_and_no_heap_at_its_ends() -> None:
    x = BY_NAME["truncated_normal"]((200, 1000), np.random.default_rng(0)) / 0.02
    for low in np.arange(-2, 2, 0.25):
        share = (math.erf((low + 0.25) / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / (2 * math.erf(math.sqrt(2)))
        assert ((x >= low) & (x < low + 0.25)).mean() == pytest.approx(share, rel=0.05)


def test_a_convolution_takes_them_by_name() -> None:
    expected = BY_NAME["orthogonal"]((4, 3, 3, 2), np.random.default_rng(7)).astype(np.float32)
    np.testing.assert_array_equal(Conv2D(2, 4, 3, weight_init="orthogonal", rng=7).weight.data, expected)
