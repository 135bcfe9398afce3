"""Augmentation: what it may change, what it must not, and each change against a plain form of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import arrays, seeds

from minidl._typing import Array
from minidl.data import Augment, Batches
from minidl.data.augment import recolour, resample

pictures = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=6))
shares = st.floats(0, 0.99)
EVERYTHING: dict[str, Any] = {
    "flip": True, "shift": 0.2, "rotation": 40, "crop": 0.3, "brightness": 0.3, "contrast": 0.5,
}  # fmt: skip


@given(pictures, st.booleans(), shares, st.floats(0, 180), shares, shares, shares, seeds)
def test_shape_type_and_input_stay(
    x: Array, flip: bool, shift: float, rotation: float, crop: float, brightness: float, contrast: float, seed: int
) -> None:
    before = x.copy()
    augment = Augment(flip, shift, rotation, crop, brightness, contrast, rng=seed)
    result = augment(x)
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
    assert not np.shares_memory(result, x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(Augment(flip, shift, rotation, crop, brightness, contrast, rng=seed)(x), result)
    if not brightness and not contrast:
        assert x.min() <= result.min() <= result.max() <= x.max()  # between pixels, never beyond them


@given(pictures, seeds)
def test_nothing_asked_for_changes_nothing(x: Array, seed: int) -> None:
    result = Augment(rng=seed)(x)
    np.testing.assert_array_equal(result, x)
    assert not np.shares_memory(result, x)


@given(pictures, seeds)
def test_flip_gives_the_picture_or_its_mirror_image(x: Array, seed: int) -> None:
    result = Augment(flip=True, rng=seed)(x)
    for one, original in zip(result, x, strict=True):
        assert np.array_equal(one, original) or np.array_equal(one, original[:, ::-1])
    twice = Augment(flip=True, rng=seed)(result)
    np.testing.assert_array_equal(twice, x)  # the same seed mirrors the same ones, and back


def test_flip_mirrors_about_half() -> None:
    x = np.zeros((1000, 1, 2, 1), np.uint8)
    x[:, 0, 0] = 1
    assert 400 < Augment(flip=True, rng=0)(x)[:, 0, 1].sum() < 600


def test_each_call_and_each_picture_draws_anew() -> None:
    x = np.broadcast_to(ramp(16, 2.0, 1.0), (20, 16, 16, 3))
    augment = Augment(**EVERYTHING, rng=0)
    first, second = augment(x), augment(x)
    assert len(np.unique(first.reshape(20, -1), axis=0)) == 20
    assert not np.array_equal(first, second)


def naive_resample(image: Array, row: Array, column: Array) -> Array:
    """The formula of bilinear interpolation, a pixel at a time."""
    height, width, channels = image.shape
    result = np.empty((*row.shape, channels))
    for position in np.ndindex(*row.shape):
        r = min(max(float(row[position]), 0), height - 1)
        c = min(max(float(column[position]), 0), width - 1)
        i, j = math.floor(r), math.floor(c)
        i1, j1 = min(i + 1, height - 1), min(j + 1, width - 1)
        u, v = r - i, c - j
        x = image.astype(float)
        result[position] = (1 - u) * ((1 - v) * x[i, j] + v * x[i, j1]) + u * ((1 - v) * x[i1, j] + v * x[i1, j1])
    return result


@given(st.data(), hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)))
def test_resample_against_the_plain_loop(data: st.DataObject, image: Array) -> None:
    row, column = (data.draw(arrays(image.shape[:2], -2, 7, np.float32)) for _ in range(2))
    np.testing.assert_allclose(resample(image, row, column), naive_resample(image, row, column), atol=1e-3)


@given(pictures, st.data())
def test_recolour_moves_the_mean_and_scales_the_differences(x: Array, data: st.DataObject) -> None:
    factor, offset = (data.draw(arrays((len(x),), -2, 2, np.float32)) for _ in range(2))
    result = recolour(x, factor, offset).astype(float)
    means = x.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), means + offset, atol=1e-2)
    expected = np.stack([m + f * (one - m) + o for one, m, f, o in zip(x, means, factor, offset, strict=True)])
    np.testing.assert_allclose(result, expected, atol=1e-2)


def ramp(size: int, down: float, right: float) -> Array:
    """A picture that grows brighter evenly, downwards and to the right: what is done to it shows in its slopes."""
    axis = np.arange(size) - (size - 1) / 2
    grey = 128 + down * axis[:, None] + right * axis
    return np.repeat(np.rint(grey)[..., None], 3, axis=2).astype(np.uint8)


def slopes(image: Array) -> tuple[float, float, float]:
    """Return (down, right, value in the middle) of the plane through a picture's inner half."""
    size = len(image)
    axis = np.arange(size) - (size - 1) / 2
    inner = slice(size // 4, size - size // 4)
    y, x = (grid[inner, inner].ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    values = image[inner, inner, 0].astype(float).ravel()
    solution = np.linalg.lstsq(np.stack([y, x, np.ones_like(y)], axis=1), values, rcond=None)[0]
    down, right, middle = solution.tolist()
    return down, right, middle


def measured(**arguments: Any) -> Array:
    """Return turn in degrees, length of the slope, and value in the middle, of 200 augmented ramps of slope 2."""
    x = np.repeat(ramp(64, 1.2, 1.6)[None], 200, axis=0)
    found = [slopes(image) for image in Augment(**arguments, rng=0)(x)]
    before = math.degrees(math.atan2(1.2, 1.6))
    return np.array([(math.degrees(math.atan2(d, r)) - before, math.hypot(d, r), middle) for d, r, middle in found])


def test_rotation_turns_by_up_to_the_angle_and_keeps_lengths() -> None:
    angle, length, middle = measured(rotation=20).T
    assert 18 < angle.max() < 20.5
    assert -20.5 < angle.min() < -18
    np.testing.assert_allclose(length, 2, atol=0.05)
    np.testing.assert_allclose(middle, 128, atol=0.6)


def test_shift_moves_by_up_to_the_share() -> None:
    angle, length, middle = measured(shift=0.1).T
    np.testing.assert_allclose(angle, 0, atol=0.5)
    np.testing.assert_allclose(length, 2, atol=0.05)
    assert 14 < (middle - 128).max() < 18  # 0.1 of 63 pixels both ways, of slopes 1.2 and 1.6
    assert -18 < (middle - 128).min() < -14


def test_crop_enlarges_what_it_keeps_and_stays_inside() -> None:
    angle, length, middle = measured(crop=0.5).T
    np.testing.assert_allclose(angle, 0, atol=0.5)
    assert 0.99 < length.min() < 1.05
    assert 1.95 < length.max() < 2.02
    assert (np.abs(middle - 128) < 63 * (1.2 + 1.6) * (1 - length / 2) / 2 + 1).all()  # half of what is cut away


def test_edges_go_on_beyond_the_picture() -> None:
    x = np.full((50, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(Augment(shift=0.9, rotation=180, crop=0.5, rng=0)(x), x)


def test_brightness_and_contrast_stay_within_their_bounds() -> None:
    x = np.repeat(np.arange(96, 160, dtype=np.uint8).reshape(1, 8, 8, 1), 300, axis=0)
    moved = Augment(brightness=0.2, rng=0)(x).mean(axis=(1, 2, 3)) - x[0].mean()
    assert 48 < moved.max() < 51.5
    assert -51.5 < moved.min() < -48
    changed = Augment(contrast=0.4, rng=0)(x)
    assert abs(changed.mean() - x.mean()) < 0.1  # rounded, not cut off
    spread = changed.std(axis=(1, 2, 3)) / x[0].std()
    assert 1.37 < spread.max() < 1.41
    assert 0.59 < spread.min() < 0.63


def test_batches_augment_the_samples_alone() -> None:
    x = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    y = x[:, 0, 0, 0].copy()
    plain = list(Batches(x, y, 4, rng=1))
    augmented = list(Batches(x, y, 4, rng=1, augment=Augment(**EVERYTHING, rng=2)))
    for (rows, labels), (changed, same) in zip(plain, augmented, strict=True):
        np.testing.assert_array_equal(labels, same)
        assert changed.shape == rows.shape
        assert not np.array_equal(changed, rows)
    ((whole, _),) = Batches(x, y, augment=lambda images: 255 - images)
    np.testing.assert_array_equal(whole, 255 - x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shift": 1.0}, r"Augment shift: expected a share in \[0, 1\), received 1.0"),
        ({"crop": -0.1}, r"Augment crop: expected a share in \[0, 1\), received -0.1"),
        ({"brightness": math.nan}, r"Augment brightness: expected a share in \[0, 1\), received nan"),
        ({"contrast": "0.2"}, r"Augment contrast: expected a share in \[0, 1\), received '0.2'"),
        ({"contrast": True}, "Augment contrast: .* received True"),
        ({"rotation": 181}, "Augment rotation: expected degrees from 0 to 180, received 181"),
        ({"rng": -1}, "rng: expected a seed"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augment(**arguments)


@pytest.mark.parametrize("x", [np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8)])
def test_bad_pictures(x: Array) -> None:
    with pytest.raises(ValueError, match=r"Augment: expected uint8 pictures .*; augmentation stands before Rescale"):
        Augment(flip=True)(x)


@given(pictures, shares, seeds)
def test_a_shift_alone_is_by_whole_pixels(x: Array, shift: float, seed: int) -> None:
    height, width = x.shape[1:3]
    for picture, moved in zip(x, Augment(shift=shift, rng=seed)(x), strict=True):
        down, right = (np.arange(-side, side + 1) for side in (height, width))
        candidates = (
            picture[(np.arange(height) + d).clip(0, height - 1)][:, (np.arange(width) + r).clip(0, width - 1)]
            for d in down
            for r in right
        )
        assert any(np.array_equal(moved, candidate) for candidate in candidates)
