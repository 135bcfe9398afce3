"""RandomResizedCrop: against a plain form of it, and what it must keep."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl._typing import Array
from minidl.data import RandomResizedCrop

sides = st.integers(1, 7)
scales = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(lambda pair: (min(pair), max(pair)))
ratios = st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)).map(lambda pair: (min(pair), max(pair)))


def between(image: Array, row: float, column: float) -> Array:
    """Return the colour at a position, pixel by pixel in float64."""
    height, width, _ = image.shape
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    i, j = int(row), int(column)
    below, right = min(i + 1, height - 1), min(j + 1, width - 1)
    u, v, x = row - i, column - j, image.astype(np.float64)
    colour: Array = (1 - u) * ((1 - v) * x[i, j] + v * x[i, right]) + u * ((1 - v) * x[below, j] + v * x[below, right])
    return colour


@given(st.integers(1, 3), sides, sides, st.integers(1, 4), scales, ratios, seeds)
def test_the_plain_form(n: int, height: int, width: int, channels: int, scale: Any, ratio: Any, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    before = x.copy()
    result = RandomResizedCrop(scale, ratio, rng=seed)(x)
    np.testing.assert_array_equal(x, before)
    assert result.shape == x.shape
    assert result.dtype == np.uint8
    assert not np.shares_memory(x, result)
    rng = np.random.default_rng(seed)
    areas = rng.uniform(scale[0], scale[1], n)
    proportions = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), n))
    down, along = rng.random(n), rng.random(n)
    for k in range(n):
        tall = min(height, math.sqrt(areas[k] * height * width / proportions[k]))
        wide = min(width, math.sqrt(areas[k] * height * width * proportions[k]))
        top, left = down[k] * (height - tall), along[k] * (width - wide)
        for i in range(height):
            for j in range(width):
                row, column = top + (i + 0.5) * tall / height - 0.5, left + (j + 0.5) * wide / width - 0.5
                # Half for the rounding to whole numbers, and what positions in float32 are worth at 255 a pixel.
                assert np.abs(result[k, i, j] - between(x[k], row, column)).max() <= 0.5 + 1e-3


@given(st.integers(0, 3), sides, sides, seeds)
def test_the_whole_is_the_picture_itself(n: int, height: int, width: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    proportion = width / height
    whole = RandomResizedCrop(scale=(1.0, 1.0), ratio=(proportion, proportion), rng=seed)
    assert np.abs(whole(x).astype(int) - x).max(initial=0) <= 1  # the root of a square may be less than its side
    if height == width:
        np.testing.assert_array_equal(whole(x), x)


def test_each_picture_is_cut_for_itself_and_anew() -> None:
    x = np.broadcast_to(np.arange(16, dtype=np.uint8)[:, None, None] * 16, (50, 16, 16, 3)).copy()
    crop = RandomResizedCrop(scale=(0.2, 0.6), rng=0)
    first, second = crop(x), crop(x)
    assert len(np.unique(first, axis=0)) > 40
    assert (first != second).any()
    np.testing.assert_array_equal(RandomResizedCrop(scale=(0.2, 0.6), rng=0)(x), first)
    # A part of a ramp is less steep than the whole, by the share of the height that it has.
    steepness = (first[:, -1, 0, 0].astype(float) - first[:, 0, 0, 0]) / 240
    assert 0.3 < steepness.min() < 0.6 < steepness.max() < 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": (0.0, 1.0)}, r"RandomResizedCrop scale: expected \(smallest, largest\) in \(0, 1\], received"),
        ({"scale": (0.5, 1.1)}, r"RandomResizedCrop scale: expected \(smallest, largest\) in \(0, 1\], received"),
        ({"scale": (0.5, 0.4)}, r"RandomResizedCrop scale: expected \(smallest, largest\)"),
        ({"scale": 0.5}, r"RandomResizedCrop scale: expected a pair of numbers, received 0.5"),
        ({"scale": (True, 1.0)}, r"RandomResizedCrop scale: expected a pair of numbers"),
        ({"ratio": (math.nan, 1.0)}, r"RandomResizedCrop ratio: expected \(smallest, largest\) above 0, received"),
        ({"ratio": (1.0, math.inf)}, r"RandomResizedCrop ratio: expected \(smallest, largest\) above 0, received"),
        ({"ratio": "ab"}, r"RandomResizedCrop ratio: expected a pair of numbers, received 'ab'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**arguments)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"RandomResizedCrop: expected uint8 pictures \(n, height, width, channels\)"):
        RandomResizedCrop()(np.zeros((1, 4, 4, 3)))
    pictures: Any = [1, 2]
    with pytest.raises(TypeError, match="RandomResizedCrop: expected an array of pictures, received"):
        RandomResizedCrop()(pictures)
