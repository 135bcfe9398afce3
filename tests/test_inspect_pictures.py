"""Occlusion, activation maps and sheets: pictures of what a network does, held to plain loops."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import seeds

from minidl import (
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    LogSoftmax,
    ReLU,
    Rescale,
    Sequential,
    Sigmoid,
    Softmax,
    mlp,
)
from minidl._typing import Array
from minidl.inspect import activation_maps, occlusion, saliency, sheet, weight_pictures

F64: Any = np.float64
BLUE, WHITE, ORANGE = (31, 95, 174), (255, 255, 255), (184, 74, 11)


@settings(max_examples=50)
@given(
    seed=seeds, height=st.integers(1, 9), width=st.integers(1, 9), patch=st.integers(1, 5), stride=st.integers(1, 5),
    classes=st.integers(1, 3), of=st.none() | st.integers(0, 1),
)  # fmt: skip
def test_drops_are_those_of_covered_pictures(
    seed: int, height: int, width: int, patch: int, stride: int, classes: int, of: int | None
) -> None:
    stride, rng = min(stride, patch), np.random.default_rng(seed)
    last = [Dense(height * width * 2, classes, rng=seed, dtype=F64), Sigmoid() if classes == 1 else Softmax()]
    model, x = Sequential(Flatten(), *last), rng.normal(size=(height, width, 2))
    found = occlusion(model, x, of, patch, stride)
    whole = model.predict(x[None])[0]
    k = (int(whole[0] > 0.5) if classes == 1 else int(whole.argmax())) if of is None else of

    def probability(picture: Array) -> float:
        p = model.predict(picture[None])[0]
        return float(p[k]) if classes > 1 else float(p[0] if k == 1 else 1 - p[0])

    assert found.class_index == k
    np.testing.assert_allclose(found.probability, probability(x), rtol=1e-12)
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for i, top in enumerate(found.tops):
        for j, left in enumerate(found.lefts):
            covered = x.copy()
            covered[top : top + patch, left : left + patch] = x.reshape(-1, 2).mean(axis=0)
            drop = probability(x) - probability(covered)
            np.testing.assert_allclose(found.grid[i, j], drop, rtol=1e-7, atol=1e-12)
            total[top : top + patch, left : left + patch] += drop
            count[top : top + patch, left : left + patch] += 1
    assert count.min() >= 1
    np.testing.assert_allclose(found.upscaled, total / count, rtol=1e-7, atol=1e-12)


def test_pixels_are_filled_with_pixels() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    before = x.copy()
    model = Sequential(Rescale(), Flatten(), *mlp([192, 1], rng=0))
    found = occlusion(model, x, of=1, patch=4, stride=4, fill=[0, 128, 255])
    covered = x.copy()
    covered[4:, :4] = (0, 128, 255)
    drop = model.predict(x[None])[0, 0] - model.predict(covered[None])[0, 0]
    np.testing.assert_allclose(found.grid[1, 0], drop, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(x, before)
    mean = occlusion(model, x[None], of=1, patch=8, stride=4)
    all_mean = np.broadcast_to(np.rint(x.reshape(-1, 3).mean(axis=0)), x.shape).astype(np.uint8)
    drop = model.predict(x[None])[0, 0] - model.predict(all_mean[None])[0, 0]
    np.testing.assert_allclose(mean.grid, [[drop]], rtol=1e-5, atol=1e-7)
    many = occlusion(model, x, patch=2, stride=1)  # more patches than are computed at once
    assert many.grid.shape == (7, 7)


def test_logarithms_are_probabilities() -> None:
    layers, x = [Flatten(), Dense(16, 3, rng=0)], np.random.default_rng(0).normal(size=(4, 4, 1))
    one = occlusion(Sequential(*layers, Softmax()), x, 2, 2, 2)
    other = occlusion(Sequential(*layers, LogSoftmax()), x, 2, 2, 2)
    np.testing.assert_allclose(one.grid, other.grid, atol=1e-6)


def conv() -> Sequential:
    layers = [Conv2D(3, 4, 3, rng=0), BatchNorm(4), ReLU(), Conv2D(4, 2, 1, rng=1), GlobalAveragePool2D()]
    return Sequential(*layers, Dense(2, 1, rng=2), Sigmoid())


def test_maps_are_outputs_in_colours() -> None:
    model, x = conv(), np.random.default_rng(0).normal(size=(2, 6, 7, 3)).astype(np.float32)
    output = model[0].predict(x)
    maps = activation_maps(model, x)
    assert maps.shape == (2, 4, 4, 5, 3)
    for n, k, r, c in np.ndindex(2, 4, 4, 5):
        share = output[n, r, c, k] / np.abs(output[n]).max()
        end = ORANGE if share > 0 else BLUE
        expected = [w + (e - w) * abs(share) for w, e in zip(WHITE, end, strict=True)]
        np.testing.assert_allclose(maps[n, k, r, c], expected, atol=0.51)
    np.testing.assert_array_equal(activation_maps(model, x[0]), maps[0])
    assert activation_maps(model, x, "3").shape == (2, 2, 4, 5, 3)
    positive = activation_maps(model, x[0], "2")
    assert positive[..., 2].max() == 255
    assert (positive[..., 0] >= positive[..., 2]).all()  # no blue


def test_a_sheet_has_a_place_for_each_picture() -> None:
    red, wide = np.full((4, 4, 3), (255, 0, 0), np.uint8), np.full((10, 20, 3), (0, 0, 255), np.uint8)
    picture = sheet([red, wide, Image.new("L", (2, 2), 7)], ["a", "b", "c"], "title", columns=2, side=40)
    assert picture.size == (2 * 24 + 2 * 40 + 16, 24 + 34 + 2 * (40 + 16 + 22) - 16 + 24)
    pixels = np.asarray(picture)
    top = 24 + 34
    assert pixels[top + 20, 24 + 20].tolist() == [255, 0, 0]
    assert pixels[top + 20, 24 + 56 + 20].tolist() == [0, 0, 255]
    assert pixels[top + 5, 24 + 56 + 20].tolist() == [255, 255, 255]  # above the wide one
    assert pixels[top + 78 + 20, 24 + 20].tolist() == [7, 7, 7]
    assert (pixels[top + 41 : top + 62, 24:64] != 255).any()  # the caption
    assert (pixels[20:48, 24:104] != 255).any()  # the title
    plain = sheet([red], side=40)
    assert plain.size == (88, 88)
    assert sheet(np.zeros((8, 3, 3, 3), np.uint8), side=10).size == (2 * 24 + 4 * 26 - 16, 2 * 24 + 2 * 26 - 16)


def test_numbers_are_drawn_around_white() -> None:
    values = np.array([[-2.0, 0.0], [1.0, 2.0]])
    pixels = np.asarray(sheet([values], side=40))
    assert pixels[34, 34].tolist() == list(BLUE)
    assert pixels[34, 54].tolist() == list(WHITE)
    assert pixels[54, 54].tolist() == list(ORANGE)
    of_three = np.asarray(sheet([np.stack([values, values, -values], axis=2)], side=40))
    np.testing.assert_array_equal(of_three, pixels)


def test_everything_fits_on_a_sheet() -> None:
    model, x = Sequential(Flatten(), *mlp([48, 3, 1], rng=0)), np.random.default_rng(0).normal(size=(4, 4, 3))
    weights = weight_pictures(model[1], initial=np.zeros((3, 48)))
    assert weights.changes is not None
    drops = occlusion(model, x, patch=2, stride=1)
    pictures = [*weights.weights, *weights.changes, saliency(model, x), drops.upscaled, drops.grid]
    assert sheet(pictures, [str(i) for i in range(9)], "a title that is far longer than the sheet is " * 3).height > 0
    hostile = sheet(pictures[:1], ["<script>\n\x00\ud800 \u202e mio\u0301"], "\n\t")
    assert hostile.width > 0


def test_numbers_of_any_size() -> None:
    model = Sequential(Flatten(), *mlp([12, 2, 2], rng=0))
    pictures = [np.ones((2, 2, 3), np.float32) * np.float32(size) for size in (1e-38, 1e-30, 1.0, 1e30)]
    with np.errstate(all="raise"):
        for x in pictures:
            x[0, 0, 0] = 0
            assert np.isfinite(saliency(model, x, smooth=2, rng=0)).all()
            assert np.isfinite(occlusion(model, x, patch=1, stride=1).upscaled).all()
            assert sheet([x.astype(np.float64), x]).width > 0
            assert activation_maps(Sequential(Conv2D(3, 2, 2, rng=0)), x).shape == (2, 1, 1, 3)
            assert weight_pictures([x.ravel()], initial=[-x.ravel()]).weights.shape == (1, 2, 2, 3)
        with pytest.raises(ValueError, match="weight_pictures changes: expected finite numbers"):
            weight_pictures([[1.7e308] * 3], initial=[[-1.7e308] * 3])
        with pytest.raises(ValueError, match=r"sheet pictures\[0\], summed over the colours: expected finite numbers"):
            sheet([np.full((2, 2, 3), 1.7e308)])
    with pytest.raises(ValueError, match=r"x: expected at least one sample, received shape \(0, 12\)"):
        saliency(model, np.zeros((0, 12)))


RED = np.zeros((2, 2, 3), np.uint8)
NET, PICTURE = Sequential(Flatten(), *mlp([12, 2], rng=0)), np.ones((2, 2, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: occlusion(NET, PICTURE, patch=2, stride=3), "occlusion stride: expected at most the patch of 2"),
        (lambda: occlusion(NET, PICTURE, of=2), "occlusion of: expected a class below 2 or None, received 2"),
        (
            lambda: occlusion(NET, np.ones((3, 2, 2, 3))),
            r"occlusion x: expected one picture .*\(3, 2, 2, 3\)",
        ),
        (lambda: occlusion(NET, PICTURE, fill=[1, 2]), r"occlusion fill: expected a number or 3, received \[1, 2\]"),
        (lambda: occlusion(NET, RED, fill=300), "occlusion fill: expected numbers that uint8 holds, received 300"),
        (lambda: occlusion(NET, PICTURE.astype(np.float32), fill=1e300), "occlusion fill: .* too large for float32"),
        (lambda: occlusion(NET, PICTURE * np.nan), "occlusion x: expected finite numbers"),
        (lambda: occlusion(NET, PICTURE, fill=np.inf), "occlusion fill: expected finite numbers"),
        (lambda: occlusion(Sequential(ReLU()), PICTURE), r"expected outputs \(batch, classes\), received shape"),
        (lambda: activation_maps(NET, PICTURE), "expected a network with a Conv2D, received None"),
        (lambda: activation_maps(NET, PICTURE, "9"), "expected the path of a layer that is called, received '9'"),
        (lambda: activation_maps(NET, PICTURE, "1"), "layer 1: expected outputs that are pictures"),
        (lambda: sheet([]), "sheet pictures: expected at least one, received none"),
        (lambda: sheet([RED], ["a", "b"]), r"sheet captions: expected 1 lines or None, received \['a', 'b'\]"),
        (lambda: sheet([RED], "a"), "sheet captions: expected 1 lines or None, received 'a'"),
        (lambda: sheet([np.zeros((2, 2), int)]), r"sheet pictures\[0\]: expected uint8 \(height, width, 3\)"),
        (lambda: sheet([np.zeros((2, 2, 4))]), r"sheet pictures\[0\]: expected uint8 .* received float64 \(2, 2, 4\)"),
        (lambda: sheet([RED, np.full((2, 2), np.nan)]), r"sheet pictures\[1\]: expected finite numbers"),
        (lambda: sheet([RED], side=0), "sheet side"),
        (lambda: sheet([RED], columns=0), "sheet columns"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_importing_the_package_does_not_load_it() -> None:
    program = "import minidl, sys; print('minidl.inspect' in sys.modules); from minidl import inspect; inspect.sheet"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False"]
