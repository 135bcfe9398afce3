"""The fast forms of matrix products against the plain one, whatever their thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import _threads
from minidl.layers import _products, _wide
from minidl.layers._products import column_products, row_products, times, times_transposed, transposed_times
from minidl.module import Module

small = st.integers(1, 40)


@given(small, small, small, st.sampled_from([1, 30, 1000]), st.sampled_from([0, 10, 10_000]), seeds)
def test_stacks_of_products(rows: int, k: int, n: int, multiplications: int, kernel: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(rows, k)), rng.normal(size=(k, n)), rng.normal(size=(rows, n))
    out = np.empty((rows, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_products, "SMALL", multiplications)
        patch.setattr(_products, "KERNEL", kernel)
        row_products(a, b, out)
        np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(column_products(Module(), a, c), a.T @ c, rtol=1e-12, atol=1e-12)


@given(
    small,
    small,
    small,
    st.sampled_from([0, 20, 50]),
    st.sampled_from([(0, 0), (0, 500), (0, 10_000), (100, 10_000)]),
    seeds,
)
def test_products_of_dense(rows: int, k: int, n: int, thin: int, weight_sizes: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, g = rng.normal(size=(rows, k)), rng.normal(size=(n, k)), rng.normal(size=(rows, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_products, "THIN", thin)
        patch.setattr(_products, "WEIGHT", weight_sizes)
        for product, factors, expected in (
            (times_transposed, (x, weight), x @ weight.T),
            (times, (g, weight), g @ weight),
            (transposed_times, (g, x), g.T @ x),
        ):
            out = np.full(expected.shape, np.nan)
            product(*factors, out=out)
            np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


@given(small, st.integers(1, 300), st.integers(1, 24), st.sampled_from([1, 3, 16]), st.integers(1, 3), seeds)
def test_products_of_wide_samples(rows: int, d: int, n: int, tile: int, cores: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, g = rng.normal(size=(rows, d)), rng.normal(size=(n, d)), rng.normal(size=(rows, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_wide, "OUTPUTS", (0, 24))
        patch.setattr(_wide, "FEATURES", 0)
        patch.setattr(_wide, "NUMBERS", 0)
        patch.setattr(_wide, "TILE", tile)
        patch.setattr(_wide, "ROWS", 7)
        patch.setattr(_wide, "LONG_ROWS", 5)
        patch.setattr(_wide, "SMALL", 7 * n * 16)
        patch.setattr(_threads, "BLOCK", 50)
        patch.setattr(_threads, "cores", lambda: cores)
        for product, factors, expected in (
            (times_transposed, (x, weight), x @ weight.T),
            (transposed_times, (g, x), g.T @ x),
        ):
            out = np.full(expected.shape, np.nan)
            product(*factors, out=out)
            np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "outputs", "wide"),
    [
        ((2048, 1 << 14), 8, True),
        ((2048, 1 << 14), 7, False),
        ((2048, 1 << 14), 25, False),
        ((4096, 1 << 13), 8, False),
    ],
)
def test_what_is_wide(shape: tuple[int, int], outputs: int, wide: bool) -> None:
    x = np.broadcast_to(np.float32(0), shape)
    assert not _wide.is_wide(x, outputs)  # as it is no run of memory
    assert _wide.is_wide(np.zeros(shape, np.int8), outputs) is wide
