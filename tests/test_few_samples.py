"""Products of one sample, or few: equal to the plain one, in the thread that asks, with one set of bits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import GRU, LSTM, Dense, Flatten, Module, Rescale, Sequential, mlp
from minidl._typing import Array
from minidl.ops import tuning, wide
from minidl.ops.matmul import dense_forward
from minidl.ops.matrix_vector import matrix_vector
from minidl.ops.wide import is_thin_and_wide

LAYOUTS: list[Callable[[Array], Array]] = [
    np.asarray,
    np.asfortranarray,
    lambda a: np.repeat(a, 2, axis=0)[::2],
    lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    lambda a: a[::-1].copy()[::-1],
]
layouts = st.sampled_from(LAYOUTS)


@given(
    st.integers(1, 40),
    st.integers(1, 300),
    st.sampled_from([1, 7, 16, 100, 1000, 20_000]),
    st.sampled_from([np.float32, np.float64]),
    layouts,
    layouts,
    layouts,
    seeds,
)
def test_a_product_in_pieces_is_the_plain_one(
    rows: int,
    k: int,
    limit: int,
    dtype: Any,
    of_matrix: Callable[[Array], Array],
    of_vector: Callable[[Array], Array],
    of_out: Callable[[Array], Array],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    matrix = of_matrix(rng.normal(size=(rows, k)).astype(dtype))
    vector = of_vector(rng.normal(size=(k, 1)).astype(dtype))
    before = matrix.copy(), vector.copy()
    out = of_out(np.full((rows, 1), np.nan, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(vector_product=limit))
        shapes = recorded(patch)
        matrix_vector(matrix, vector, out)
    assert max(map(math.prod, shapes)) <= limit
    assert sum(map(math.prod, shapes)) == rows * k
    assert_product(out, matrix, vector)
    for array, copy in zip((matrix, vector), before, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(
    st.integers(2, 70),
    st.integers(1, 400),
    st.integers(1, 12),
    st.sampled_from([1, 5, 32]),
    st.integers(0, 5000),
    st.sampled_from([np.float32, np.float64]),
    layouts,
    seeds,
)
def test_a_thin_batch_in_tiles_is_the_plain_product(
    samples: int, k: int, n: int, rows: int, more: int, dtype: Any, of_weight: Callable[[Array], Array], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(samples, k)).astype(dtype), of_weight(rng.normal(size=(n, k)).astype(dtype))
    with pytest.MonkeyPatch.context() as patch:
        small = rows * n * wide.ALIGNMENT + more
        constants: dict[str, Any] = {"small_product": small, "thin_wide": rows * n, "wide_forward_rows": rows}
        constants |= {"thin_weight": (0, 0), "cache_block": 100}
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(**constants))
        assert is_thin_and_wide(x, n) is (samples <= tuning.TUNING.thin_batch and x.size * n > small)
        assert_product(dense_forward(x, weight, None), x, weight.T)


def assert_product(product: Array, a: Array, b: Array) -> None:
    """Assert what holds for any order of the sum: it is wrong by at most a rounding error for each of its terms."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    bound = (a.shape[1] + 2) * np.finfo(product.dtype).eps * (np.abs(a) @ np.abs(b))
    assert product.shape == bound.shape
    assert (np.abs(product - a @ b) <= bound).all()


def recorded(patch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Return a list that will hold (m, k, n) of each product that `np.matmul` hands to the BLAS."""
    shapes: list[tuple[int, int, int]] = []
    multiply = np.matmul

    def record(a: Array, b: Array, **others: Any) -> Array:
        result: Array = multiply(a, b, **others)
        m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
        shapes.extend([(m, k, n)] * (result.size // (m * n)))
        return result

    patch.setattr(np, "matmul", record)
    return shapes


def assert_in_the_calling_thread(shapes: list[tuple[int, int, int]], multiplications: int) -> None:
    """Assert that OpenBLAS shares none of the products, which have at least so many multiplications."""
    assert sum(map(math.prod, shapes)) >= multiplications
    for m, k, n in shapes:
        limit = tuning.TUNING.vector_product if 1 in (m, n) else tuning.TUNING.small_product
        assert m * k * n <= (min(limit, 10_000) if (m, n) == (1, 1) else limit)


def photograph() -> Array:
    return np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def article() -> Sequential:
    return Sequential(Rescale(), Flatten(), *mlp([49152, 20, 7, 5, 1], rng=0))


NETWORKS: dict[str, tuple[Callable[[], Module], Array]] = {
    "the article's": (article, photograph()),
    "wide layers": (lambda: mlp([784, 512, 512, 10], rng=0), numbers(1, 784)),
    "odd sizes": (lambda: mlp([12345, 130, 77, 1], rng=0), numbers(1, 12345)),
    "one output of many inputs": (lambda: Dense(50_000, 1, rng=0), numbers(1, 50_000)),
    "two outputs of many inputs": (lambda: Dense(300_000, 2, rng=0), numbers(1, 300_000)),
    "many outputs of one input": (lambda: Dense(1, 50_000, rng=0), numbers(1, 1)),
    "LSTM": (lambda: LSTM(16, 256, rng=0), numbers(1, 5, 16)),
    "GRU": (lambda: GRU(16, 300, rng=0), numbers(1, 5, 16)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_sample_needs_no_product_that_openblas_shares_among_threads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, x = NETWORKS[name]
    model = make()
    shapes = recorded(monkeypatch)
    model.predict(x)
    weights = sum(parameter.data.size for parameter in model.parameters() if parameter.data.ndim > 1)
    assert_in_the_calling_thread(shapes, weights)


@pytest.mark.parametrize("samples", [2, 8, 32, 64])
def test_few_photographs_need_none_either(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = article(), np.repeat(photograph(), samples, axis=0)
    shapes = recorded(monkeypatch)
    model.predict(x)
    assert_in_the_calling_thread(shapes, x.size * 20)


@pytest.mark.parametrize("samples", [2, 3, 8])
def test_a_few_samples_need_none_between_wide_layers(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp([784, 512, 300, 10], rng=0)
    shapes = recorded(monkeypatch)
    model.predict(numbers(samples, 784))
    weights = sum(parameter.data.size for parameter in model.parameters() if parameter.data.ndim > 1)
    assert_in_the_calling_thread(shapes, samples * weights)


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    program = (
        "import numpy as np; from minidl import mlp; rng = np.random.default_rng(0); "
        "print(mlp([49152, 20, 7, 5], rng=0).predict(rng.standard_normal((1, 49152), np.float32)).tobytes().hex())"
    )
    bits = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OPENBLAS_NUM_THREADS": str(threads)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in (1, 2)
    }
    assert len(bits) == 1
