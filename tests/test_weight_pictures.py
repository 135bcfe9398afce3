"""Weight pictures: each unit's weights as colours, held to the formula number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays

from minidl import Conv1D, Conv2D, Dense, Flatten
from minidl._typing import Array
from minidl.inspect import weight_pictures

BLUE, WHITE, ORANGE = (31, 95, 174), (255, 255, 255), (184, 74, 11)


def colour(value: float, largest: float) -> tuple[int, int, int]:
    """Return the colour of one number, as the docstring says it."""
    share = 0.0 if largest == 0 else value / largest
    end = BLUE if share < 0 else ORANGE
    red, green, blue = (round(w + (e - w) * abs(share)) for w, e in zip(WHITE, end, strict=True))
    return red, green, blue


@given(weight=arrays((2, 3, 4, 3)), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_three_channels_are_colours_around_grey(weight: Array, scale: float) -> None:
    found = weight_pictures(scale * weight)
    assert found.weights.dtype == np.uint8
    assert found.weights.shape == (2, 3, 4, 3)
    for unit in range(2):
        largest = np.abs(scale * weight[unit]).max()
        assert found.largest[unit] == largest
        for place in np.ndindex(3, 4, 3):
            share = scale * weight[unit][place] / largest if largest else 0.0
            assert abs(found.weights[unit][place] - (128 + 127 * share)) <= 0.5 + 1e-6


@given(weight=arrays((2, 3, 4, 1)))
def test_one_channel_goes_from_blue_over_white_to_orange(weight: Array) -> None:
    pictures = weight_pictures(weight).weights
    for unit in range(2):
        largest = np.abs(weight[unit]).max()
        for row, column in np.ndindex(3, 4):
            expected = colour(weight[unit, row, column, 0], largest)
            assert np.abs(pictures[unit, row, column].astype(int) - expected).max() <= 1


@given(first=arrays((2, 12)), weight=arrays((2, 12)))
def test_changes_are_drawn_like_weights(first: Array, weight: Array) -> None:
    found = weight_pictures(weight, (2, 2, 3), first)
    alone = weight_pictures(weight - first, (2, 2, 3))
    assert found.changes is not None
    np.testing.assert_array_equal(found.changes, alone.weights)
    np.testing.assert_array_equal(found.largest_changes, alone.largest)


def test_layers() -> None:
    dense = Dense(4 * 5 * 3, 6, rng=0)
    found = weight_pictures(dense, shape=(4, 5, 3))
    np.testing.assert_array_equal(found.weights, weight_pictures(dense.weight.data.reshape(6, 4, 5, 3)).weights)
    assert found.changes is None
    assert found.largest_changes is None
    assert weight_pictures(Dense(49, 2, rng=0)).weights.shape == (2, 7, 7, 3)
    assert weight_pictures(Dense(8, 2, rng=0), (2, 4)).weights.shape == (2, 2, 4, 3)
    assert weight_pictures(Conv2D(3, 8, 5, rng=0)).weights.shape == (8, 5, 5, 3)
    assert weight_pictures(Conv1D(1, 4, 5, rng=0)).weights.shape == (4, 1, 5, 3)
    again = Dense(4 * 5 * 3, 6, rng=1)
    changes = weight_pictures(dense, (4, 5, 3), initial=again).changes
    assert changes is not None
    assert changes.shape == (6, 4, 5, 3)


def test_other_numbers_of_channels_stand_side_by_side() -> None:
    weight = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
    pictures, largest = weight_pictures(weight).weights, np.abs(weight).max(axis=(1, 2, 3))
    assert pictures.shape == (2, 3, 8, 3)
    for channel in range(2):
        part = pictures[:, :, 4 * channel : 4 * channel + 4].astype(int)
        for unit, row, column in np.ndindex(2, 3, 4):
            expected = colour(weight[unit, row, column, channel], largest[unit])
            assert np.abs(part[unit, row, column] - expected).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((Flatten(),), TypeError, r"weight_pictures layer: expected a Dense.*received Flatten\(\)"),
        ((np.zeros(3),), ValueError, r"expected weights \(units, features\).*received \(3,\)"),
        ((np.array([[np.nan]]),), ValueError, "weight_pictures layer: expected finite numbers"),
        ((Dense(8, 2),), ValueError, "8 features are no square; received None"),
        ((Dense(8, 2), (2, 2)), ValueError, r"of 8 features in all, received \(2, 2\)"),
        ((Dense(8, 2), 8), ValueError, r"of 8 features in all, received 8"),
        ((Conv2D(3, 2, 2), (2, 2, 3)), ValueError, "shape: expected None for weights"),
        ((Dense(4, 2), None, np.zeros((2, 5))), ValueError, r"initial: expected the weights' shape \(2, 4\)"),
    ],
)
def test_mistakes(arguments: tuple[Any, ...], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        weight_pictures(*arguments)
