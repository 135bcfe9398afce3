"""Conv2D against loops, by hand, and its errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import Conv2D, Dense, Flatten, Sequential
from minidl._typing import Array
from minidl.ops import tuning


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv2D, Array, int, int]:
    """A float64 layer with random bias, a batch for it, and the padding before and after."""
    small = st.integers(1, 3)
    n, channels, filters, stride, size = draw(small), draw(small), draw(small), draw(small), draw(st.integers(1, 4))
    paddings: list[tuple[int | str, int, int]] = [("valid", 0, 0), ("same", (size - 1) // 2, size // 2), (2, 2, 2)]
    padding, before, after = draw(st.sampled_from(paddings))
    rng = np.random.default_rng(draw(seeds))
    layer = Conv2D(channels, filters, size, stride, padding, bias=draw(st.booleans()), rng=rng, dtype=np.float64)
    if layer.bias is not None:
        layer.bias.data[...] = rng.standard_normal(filters)
    x = rng.standard_normal((n, draw(st.integers(size, 6)), draw(st.integers(size, 6)), channels))
    return layer, x, before, after


@given(convolutions(), st.sampled_from([1, 40, 1 << 18]), seeds)
def test_against_loops(case: tuple[Conv2D, Array, int, int], block_size: int, seed: int) -> None:
    layer, x, before, after = case
    bias = None if layer.bias is None else layer.bias.data
    surrounded = naive.padded(x, before, after)
    expected = naive.convolution(surrounded, layer.weight.data, bias, layer.stride)
    g = np.random.default_rng(seed).standard_normal(expected.shape)
    grad_x, grad_weight, grad_bias = naive.convolution_gradients(surrounded, layer.weight.data, g, layer.stride)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", dataclasses.replace(tuning.TUNING, cache_block=block_size))
        np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-10)
        inside = (slice(None), slice(before, before + x.shape[1]), slice(before, before + x.shape[2]))
        np.testing.assert_allclose(layer.backward(g), grad_x[inside], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(layer.weight.grad, grad_weight, rtol=1e-10, atol=1e-10)  # type: ignore[arg-type]
    if layer.bias is not None:
        np.testing.assert_allclose(layer.bias.grad, grad_bias, rtol=1e-10, atol=1e-10)  # type: ignore[arg-type]


def test_by_hand() -> None:
    # The picture 1 2 3 / 4 5 6 / 7 8 9 under the kernel 1 0 / 0 -1: each pixel minus its lower right neighbour, -4.
    layer = Conv2D(1, 1, 2, weight_init=lambda shape, _: np.array([1.0, 0, 0, -1]).reshape(shape))
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)
    assert layer(x).tolist() == [[[[-4], [-4]], [[-4], [-4]]]]
    # With g = 1 everywhere, dW is the sum of the four windows' pixels at each place, and each pixel's gradient
    # is 1 for each window it leads and -1 for each window it ends.
    assert layer.backward(np.ones((1, 2, 2, 1), np.float32))[0, :, :, 0].tolist() == [
        [1, 1, 0],
        [1, 0, -1],
        [0, -1, -1],
    ]
    assert layer.weight.grad is not None
    assert layer.bias is not None
    assert layer.weight.grad.ravel().tolist() == [1 + 2 + 4 + 5, 2 + 3 + 5 + 6, 4 + 5 + 7 + 8, 5 + 6 + 8 + 9]
    assert layer.bias.grad is not None
    assert layer.bias.grad.tolist() == [4]


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_same_padding_gives_the_pictures_size_divided_by_the_stride(size: int, stride: int, h: int, w: int) -> None:
    y = Conv2D(1, 1, size, stride, "same")(np.zeros((1, h, w, 1), np.float32))
    assert y.shape == (1, -(-h // stride), -(-w // stride), 1)


def test_a_window_of_the_whole_picture_is_dense() -> None:
    convolution = Conv2D(3, 5, 4, rng=0, weight_init="scaled_normal")
    dense = Dense(48, 5, rng=0)
    x = np.random.default_rng(1).standard_normal((2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(convolution(x)[:, 0, 0], Sequential(Flatten(), dense)(x), rtol=1e-5, atol=1e-6)


def test_evaluation_gives_the_same_bits_as_training() -> None:
    layer = Conv2D(3, 4, 3, padding="same", rng=0)
    x = np.random.default_rng(1).standard_normal((2, 5, 5, 3)).astype(np.float32)
    output = layer(x)
    np.testing.assert_array_equal(layer.eval()(x), output)


def test_floating_input_is_cast_to_the_layers_precision() -> None:
    assert Conv2D(1, 1, 1)(np.ones((1, 1, 1, 1))).dtype == np.float32
    assert Conv2D(1, 1, 1, dtype=np.float64)(np.ones((1, 1, 1, 1), np.float32)).dtype == np.float64


def test_names_and_shapes_of_the_parameters() -> None:
    layer = Conv2D(3, 8, 5)
    assert {name: p.shape for name, p in layer.named_parameters()} == {"weight": (8, 5, 5, 3), "bias": (8,)}
    assert list(Conv2D(3, 8, 5, bias=False).state_dict()) == ["weight"]
    assert repr(layer) == "Conv2D(3 -> 8, 5 x 5, stride=1, padding='valid')"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((2, 8, 8, 4)),
            r"layer 0, Conv2D\(3 -> 2, .*: expected \(batch, height, width, 3\), received \(2, 8",
        ),
        (np.zeros((2, 3, 8, 8)), r"the channels seem to stand second: pass x.transpose\(0, 2, 3, 1\)"),
        (np.zeros((8, 8, 3)), r"a single picture still needs its batch axis: pass x\[None\]"),
        (np.zeros((2, 192)), r"expected \(batch, height, width, 3\), received \(2, 192\)"),
        (np.zeros((0, 8, 8, 3)), r"at least one sample and pixel, received an empty batch \(0, 8, 8, 3\)"),
        (np.zeros((2, 3, 8, 3)), r"of at least 6 x 6, received \(2, 3, 8, 3\) \(5 x 10 with its padding\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"expected float32 numbers, received dtype uint8; put Rescale\(\) first"),
    ],
)
def test_bad_input(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sequential(Conv2D(3, 2, 6, padding=1))(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "Conv2D in_channels: expected a whole number of at least 1, received 0"),
        ({"out_channels": 2.0}, "Conv2D out_channels: expected a whole number of at least 1, received 2.0"),
        ({"kernel_size": 0}, "Conv2D kernel_size: expected a whole number of at least 1, received 0"),
        ({"stride": -1}, "Conv2D stride: expected a whole number of at least 1, received -1"),
        (
            {"padding": "full"},
            r'padding: expected "valid", "same" or a whole number from 0 to 2147483647, received \'full\'',
        ),
        ({"padding": -1}, r"whole number from 0 to 2147483647, received -1"),
        ({"padding": True}, r"whole number from 0 to 2147483647, received True"),
        ({"dtype": np.float16}, "dtype: expected float32 or float64, received float16"),
        ({"weight_init": lambda shape, _: np.zeros(shape[::-1])}, r"shape \(2, 5, 5, 3\), received \(3, 5, 5, 2\)"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conv2D(**{"in_channels": 3, "out_channels": 2, "kernel_size": 5, **arguments})
