"""What hypothesis draws from: sizes, arrays and networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import Sequential, mlp
from minidl._typing import Array

sizes = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])


def arrays(
    shape: tuple[int, ...], low: float = -10.0, high: float = 10.0, dtype: Any = np.float64
) -> st.SearchStrategy[Array]:
    """Arrays of a shape with elements between two bounds, the awkward values (0, bounds, repeats) among them."""
    width: Any = np.dtype(dtype).itemsize * 8
    return hnp.arrays(dtype, shape, elements=st.floats(low, high, width=width, allow_subnormal=False))


@st.composite
def batches(draw: st.DrawFn, features: int | None = None, low: float = -10.0, high: float = 10.0) -> Array:
    """A float64 batch (n, features)."""
    n = draw(sizes)
    return draw(arrays((n, draw(sizes) if features is None else features), low, high))


@st.composite
def networks(draw: st.DrawFn) -> tuple[Sequential, Array, Array]:
    """The article's network at a random depth and width, in float64, with a batch and targets for it."""
    dims = [*draw(st.lists(sizes, min_size=1, max_size=5)), 1]
    model = mlp(dims, rng=draw(seeds), dtype=np.float64)
    x = draw(batches(features=dims[0], low=-3, high=3))
    y = draw(arrays((len(x), 1), 0, 1))
    return model, x, y
