"""The fast forms of matrix products against the plain one, whatever their thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl._typing import Array
from minidl.ops import matmul, parallel, tuning, wide
from minidl.ops.matmul import (
    column_products,
    dense_bias_grad,
    dense_forward,
    dense_input_grad,
    dense_weight_grad,
    row_products,
    uses_stacks,
)

small = st.integers(1, 40)
ALWAYS_WIDE = {"thin_weight": (0, 0), "wide_outputs": (0, 24), "wide_features": 0, "wide_samples": 0}
NEVER_WIDE: dict[str, Any] = {"wide_outputs": (1, 0), "thin_wide": 0}


def use(patch: pytest.MonkeyPatch, **constants: Any) -> None:
    """Set constants, and let all new arrays be NaN, so that what is not written shows."""
    patch.setattr(tuning, "TUNING", tuning.TUNING._replace(**constants))
    patch.setattr(matmul, "empty", lambda shape, dtype: np.full(shape, np.nan, dtype))


def assert_close(result: Array, expected: Array) -> None:
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    tolerance = 1e-12 if expected.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@given(small, small, small, st.sampled_from([1, 30, 1000]), st.sampled_from([0, 10, 10_000]), st.integers(1, 9), seeds)
def test_stacks_of_products(
    rows: int, k: int, n: int, multiplications: int, kernel: int, stacked_rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(rows, k)), rng.normal(size=(k, n)), rng.normal(size=(rows, n))
    out = np.full((rows, n), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        use(patch, small_product=multiplications, stacked_kernel=kernel, stacked_rows=stacked_rows)
        assert uses_stacks(k * n) is (k * n <= kernel)
        row_products(a, b, out)
        assert_close(out, a @ b)
        assert_close(column_products(a, c), a.T @ c)


LAYOUTS: list[Callable[[Array], Array]] = [np.asarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2]]


@given(
    small,
    small,
    small,
    st.sampled_from([0, 20, 50]),
    st.sampled_from([0, 30]),
    st.sampled_from([200, 1 << 18]),
    st.sampled_from([(0, 0), (0, 500), (0, 10_000), (100, 10_000)]),
    st.sampled_from([1, 3, 8]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(LAYOUTS),
    seeds,
)
def test_products_of_dense(
    rows: int,
    k: int,
    n: int,
    thin: int,
    few: int,
    small_product: int,
    weight_sizes: tuple[int, int],
    run: int,
    dtype: Any,
    layout: Callable[[Array], Array],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x, weight, bias, g = (layout(rng.normal(size=size).astype(dtype)) for size in ((rows, k), (n, k), (n,), (rows, n)))
    before = [array.copy() for array in (x, weight, bias, g)]
    with pytest.MonkeyPatch.context() as patch:
        use(patch, thin_batch=thin, thin_weight=weight_sizes, thin_run=run, **NEVER_WIDE)
        use(patch, few_samples=few, small_product=small_product)
        assert_close(dense_forward(x, weight, None), x @ weight.T)
        assert_close(dense_forward(x, weight, bias), x @ weight.T + bias)
        assert_close(dense_input_grad(g, weight), g @ weight)
        assert_close(dense_weight_grad(g, x), g.T @ x)
        assert_close(dense_bias_grad(g), g.sum(axis=0))
    for array, copy in zip((x, weight, bias, g), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("outputs", [3, 200])
def test_a_gradient_of_another_precision_leaves_the_weight_in_its_own(outputs: int) -> None:
    x, g = np.ones((4, 300), np.float32), np.ones((4, outputs))
    assert dense_weight_grad(g, x).dtype == dense_input_grad(g, np.ones((outputs, 5), np.float32)).dtype == np.float32


@given(
    small,
    st.integers(1, 300),
    st.integers(1, 24),
    st.sampled_from([1, 3, 16]),
    st.sampled_from([1, 3]),
    st.integers(1, 3),
    seeds,
)
def test_products_of_wide_samples(
    rows: int, d: int, n: int, tile: int, forward_tiles: int, cores: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, weight, g = rng.normal(size=(rows, d)), rng.normal(size=(n, d)), rng.normal(size=(rows, n))
    bias = rng.normal(size=n)
    with pytest.MonkeyPatch.context() as patch:
        use(
            patch,
            **ALWAYS_WIDE,
            wide_backward_features=tile,
            wide_forward_rows=7,
            wide_backward_rows=5,
            small_product=7 * n * wide.ALIGNMENT * forward_tiles,
            cache_block=50,
        )
        patch.setattr(parallel, "cores", lambda: cores)
        assert_close(dense_forward(x, weight, None), x @ weight.T)
        assert_close(dense_forward(x, weight, bias), x @ weight.T + bias)
        assert_close(dense_weight_grad(g, x), g.T @ x)


def test_the_products_of_wide_samples_are_the_ones_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("wide_forward", "wide_weight_grad"):
        monkeypatch.setattr(matmul, name, lambda *arrays, name=name: called.append(name))
    x, weight, g = np.ones((3, 5)), np.ones((2, 5)), np.ones((3, 2))
    dense_forward(x, weight, None)
    dense_weight_grad(g, x)
    assert called == []
    use(monkeypatch, **ALWAYS_WIDE)
    dense_forward(x, weight, None)
    dense_weight_grad(g, x)
    assert called == ["wide_forward", "wide_weight_grad"]


@pytest.mark.parametrize(
    ("shape", "outputs", "expected"),
    [
        ((2048, 1 << 14), 8, True),
        ((2048, 1 << 14), 24, True),
        ((2048, 1 << 14), 7, False),
        ((2048, 1 << 14), 25, False),
        ((4096, 1 << 13), 8, False),
        ((2047, 1 << 14), 8, False),
    ],
)
def test_what_is_wide(shape: tuple[int, int], outputs: int, expected: bool) -> None:
    x = np.broadcast_to(np.float32(0), shape)
    assert not wide.is_wide(x, outputs)  # as it is no run of memory
    assert wide.is_wide(np.zeros(shape, np.int8), outputs) is expected
