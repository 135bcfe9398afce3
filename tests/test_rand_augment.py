"""RandAugment: each operation against a plain form of it, and what is drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import seeds

from minidl._typing import Array
from minidl.data import Compose, MixUp, RandAugment
from minidl.data import _picture_operations as operations

picture = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
pictures = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5))
magnitudes = st.floats(-1, 1)
places = hnp.arrays(np.float64, 2, elements=st.floats(0, 0.999))
NOWHERE = np.zeros(2)


def inside(position: float, side: int) -> float:
    return min(max(position, 0), side - 1)


def between(image: Array, row: float, column: float) -> Array:
    """The colour at a position between pixels."""
    row, column = inside(row, len(image)), inside(column, image.shape[1])
    total = np.zeros(image.shape[2])
    for i in range(len(image)):
        for j in range(image.shape[1]):
            total += max(0, 1 - abs(row - i)) * max(0, 1 - abs(column - j)) * image[i, j]
    return total


def source(name: str, m: float, row: float, column: float, height: int, width: int) -> tuple[float, float]:
    """Where the colour of a pixel at this place from the centre comes from."""
    turn = math.radians(30 * m)
    return {
        "mirror": (row, -column),
        "rotate": (
            math.cos(turn) * row - math.sin(turn) * column,
            math.sin(turn) * row + math.cos(turn) * column,
        ),
        "shear_rows": (row, column + 0.3 * m * row),
        "shear_columns": (row + 0.3 * m * column, column),
        "shift_down": (row - round(0.3 * m * height), column),
        "shift_right": (row, column - round(0.3 * m * width)),
    }[name]


@pytest.mark.parametrize("name", ["mirror", "rotate", "shear_rows", "shear_columns", "shift_down", "shift_right"])
@given(image=picture, magnitude=magnitudes)
def test_what_moves_pixels(name: str, image: Array, magnitude: float) -> None:
    height, width, _ = image.shape
    middle = (height - 1) / 2, (width - 1) / 2
    result = getattr(operations, name)(image, magnitude, NOWHERE)
    assert result.dtype == np.uint8
    for i in range(height):
        for j in range(width):
            row, column = source(name, magnitude, i - middle[0], j - middle[1], height, width)
            expected = between(image, row + middle[0], column + middle[1])
            assert (np.abs(result[i, j] - expected) <= 0.501).all()


def base(name: str, image: Array, i: int, j: int) -> Array | float:
    """What a colour is moved away from, or towards."""
    if name == "brightness":
        return 0.0
    if name == "contrast":
        return float(image.astype(float).mean())
    if name == "colour":
        return float(image[i, j].astype(float).mean())
    rows, columns = (
        [int(inside(at + d, side)) for d in (-1, 0, 1)] for at, side in ((i, len(image)), (j, image.shape[1]))
    )
    mean: Array = np.mean([image[r, c].astype(float) for r in rows for c in columns], axis=0)
    return mean


@pytest.mark.parametrize("name", ["brightness", "contrast", "colour", "sharpness"])
@given(image=picture, magnitude=magnitudes)
def test_what_changes_colours(name: str, image: Array, magnitude: float) -> None:
    result = getattr(operations, name)(image, magnitude, NOWHERE)
    assert result.dtype == np.uint8
    for i, j in np.ndindex(*image.shape[:2]):
        start = base(name, image, i, j)
        expected = np.clip(start + (1 + 0.9 * magnitude) * (image[i, j] - start), 0, 255)
        assert (np.abs(result[i, j] - expected) <= 0.501).all()


@given(picture, magnitudes)
def test_posterize_and_solarize(image: Array, magnitude: float) -> None:
    step, limit = 2 ** round(4 * abs(magnitude)), 256 * (1 - abs(magnitude))
    for value, few, turned in zip(
        image.ravel().tolist(),
        operations.posterize(image, magnitude, NOWHERE).ravel().tolist(),
        operations.solarize(image, magnitude, NOWHERE).ravel().tolist(),
        strict=True,
    ):
        assert few == value // step * step
        assert turned == (255 - value if value >= limit else value)


@given(picture, magnitudes, places)
def test_cutout_fills_a_box_with_the_mean(image: Array, magnitude: float, place: Array) -> None:
    before = image.copy()
    result = operations.cutout(image, magnitude, place)
    np.testing.assert_array_equal(image, before)
    mean = image.astype(float).mean(axis=(0, 1))
    sides = [round(abs(magnitude) / 2 * side) for side in image.shape[:2]]
    first = [math.floor(p * side) - length // 2 for p, side, length in zip(place, image.shape, sides, strict=False)]
    for i, j in np.ndindex(*image.shape[:2]):
        is_in = all(start <= at < start + length for at, start, length in zip((i, j), first, sides, strict=True))
        assert (np.abs(result[i, j] - (mean if is_in else image[i, j])) <= (0.501 if is_in else 0)).all()


@given(pictures, st.integers(1, 3), st.floats(0, 1), seeds)
def test_operations_are_drawn_for_each_picture(x: Array, number: int, magnitude: float, seed: int) -> None:
    before, rng, size = x.copy(), np.random.default_rng(seed), (len(x), number)
    result = RandAugment(number, magnitude, rng=seed)(x)
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
    assert not np.shares_memory(result, x)
    np.testing.assert_array_equal(x, before)
    chosen, signs, where = rng.integers(13, size=size), rng.integers(2, size=size), rng.random((*size, 2))
    for i, one in enumerate(x):
        for k in range(number):
            one = operations.OPERATIONS[chosen[i, k]](one, -magnitude if signs[i, k] else magnitude, where[i, k])
        np.testing.assert_array_equal(result[i], one)


@given(pictures, seeds)
def test_without_magnitude_only_the_mirror_is_left(x: Array, seed: int) -> None:
    for one, original in zip(RandAugment(2, 0.0, rng=seed)(x), x, strict=True):
        assert np.array_equal(one, original) or np.array_equal(one, original[:, ::-1])


def test_every_call_draws_anew_and_it_can_stand_before_mixup() -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    augment = RandAugment(2, 0.5, rng=0)
    first, second = augment(x), augment(x)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(RandAugment(2, 0.5, rng=0)(x), first)
    with np.errstate(all="raise"):
        mixed, rows = Compose(RandAugment(2, 0.5, rng=0), MixUp(1.0, 4, rng=1))(x, np.arange(20) % 4)
    expected, same = MixUp(1.0, 4, rng=1)(first, np.arange(20) % 4)
    np.testing.assert_array_equal(mixed, expected)
    np.testing.assert_array_equal(rows, same)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operations": 0}, "RandAugment operations: expected a whole number of at least 1, received 0"),
        ({"operations": True}, "RandAugment operations: expected a whole number of at least 1, received True"),
        ({"magnitude": 1.1}, r"RandAugment magnitude: expected a number in \[0, 1\], received 1.1"),
        ({"magnitude": math.nan}, r"RandAugment magnitude: expected a number in \[0, 1\], received nan"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandAugment(**arguments)


def test_bad_pictures() -> None:
    with pytest.raises(ValueError, match=r"RandAugment: expected uint8 pictures \(n, height, width, channels\)"):
        RandAugment()(np.zeros((1, 4, 4, 3)))
    not_an_array: Any = [1]
    with pytest.raises(TypeError, match="RandAugment: expected an array of pictures, received"):
        RandAugment()(not_an_array)
