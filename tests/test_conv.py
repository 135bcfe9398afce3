"""Conv2D against loops, by hand, and its errors."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import Pair
from strategies import seeds

from minidl import Conv1D, Conv2D, ConvTranspose2D, Dense, Flatten, Module, Sequential
from minidl._typing import Array
from minidl.errors import LayerInputError
from minidl.layers._windows import fitted
from minidl.ops import tuning

small = st.integers(1, 3)
pairs = st.tuples(small, small)
Case = tuple[Module, Array, Callable[[Array], Array], Callable[[Array], Sequence[Array]]]
"""A float64 layer, a batch for it, and by loops its output and, for a gradient of that, all gradients."""


def filled(layer: Any, rng: np.random.Generator) -> Any:
    """Give the bias of a layer other values than 0."""
    if layer.bias is not None:
        layer.bias.data[...] = rng.standard_normal(layer.bias.shape)
    return layer


def bias_of(layer: Any) -> Any:
    return None if layer.bias is None else layer.bias.data


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    size, stride, dilation, groups = draw(pairs), draw(pairs), draw(pairs), draw(small)
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    spans = [pace * (side - 1) for pace, side in zip(dilation, size, strict=True)]
    paddings: list[tuple[Any, Pair, Pair]] = [
        ("valid", (0, 0), (0, 0)),
        ("same", (spans[0] // 2, spans[0] - spans[0] // 2), (spans[1] // 2, spans[1] - spans[1] // 2)),
        (2, (2, 2), (2, 2)), ((1, 3), (1, 1), (3, 3)), (((2, 1), (0, 3)), (2, 1), (0, 3)),
    ]  # fmt: skip
    padding, *borders = draw(st.sampled_from(paddings))
    rng = np.random.default_rng(draw(seeds))
    others: Any = {"bias": draw(st.booleans()), "rng": rng, "dtype": np.float64}
    layer = filled(Conv2D(channels, filters, size, stride, padding, dilation, groups, **others), rng)
    shape = [draw(st.integers(span + 1, span + 4)) for span in spans]
    x = rng.standard_normal((draw(small), *shape, channels))
    surrounded = naive.padded(x, *borders)

    def gradients(g: Array) -> Sequence[Array]:
        grad_x, *others = naive.convolution_gradients(surrounded, layer.weight.data, g, stride, dilation, groups)
        return naive.inside(grad_x, *borders), *others

    def output(x: Array) -> Array:
        return naive.convolution(surrounded, layer.weight.data, bias_of(layer), stride, dilation, groups)

    return layer, x, output, gradients


@st.composite
def convolutions_of_sequences(draw: st.DrawFn) -> Case:
    size, stride, dilation, groups = draw(small), draw(small), draw(small), draw(small)
    channels, filters, span = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), dilation * (size - 1)
    paddings: list[tuple[Any, Pair]] = [
        ("valid", (0, 0)), ("same", (span // 2, span - span // 2)), ("causal", (span, 0)), (2, (2, 2)), ((1, 3), (1, 3))
    ]  # fmt: skip
    padding, border = draw(st.sampled_from(paddings))
    rng = np.random.default_rng(draw(seeds))
    others: Any = {"bias": draw(st.booleans()), "rng": rng, "dtype": np.float64}
    layer = filled(Conv1D(channels, filters, size, stride, padding, dilation, groups, **others), rng)
    x = rng.standard_normal((draw(small), draw(st.integers(span + 1, span + 5)), channels))
    surrounded = naive.padded(x[:, None], (0, 0), border)
    how: Any = {"stride": (1, stride), "dilation": (1, dilation), "groups": groups}

    def gradients(g: Array) -> Sequence[Array]:
        grads = naive.convolution_gradients(surrounded, layer.weight.data[:, None], g[:, None], **how)
        return naive.inside(grads[0], (0, 0), border)[:, 0], grads[1][:, 0], grads[2]

    def output(x: Array) -> Array:
        return naive.convolution(surrounded, layer.weight.data[:, None], bias_of(layer), **how)[:, 0]

    return layer, x, output, gradients


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> Case:
    size, stride, dilation, groups = draw(pairs), draw(pairs), draw(pairs), draw(small)
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    more = [draw(st.integers(0, step - 1)) for step in stride]
    shape = [draw(st.integers(2, 4)) for _ in range(2)]
    whole = [(shape[i] - 1) * stride[i] + dilation[i] * (size[i] - 1) + 1 + more[i] for i in range(2)]
    padding = [[draw(st.integers(0, (side - 1) // 2)) for _ in range(2)] for side in whole]
    rng = np.random.default_rng(draw(seeds))
    others: Any = {"bias": draw(st.booleans()), "rng": rng, "dtype": np.float64}
    layer = filled(ConvTranspose2D(channels, filters, size, stride, padding, more, dilation, groups, **others), rng)  # type: ignore[arg-type]
    x = rng.standard_normal((draw(small), *shape, channels))
    (top, bottom), (left, right) = padding
    how: Any = {"stride": stride, "dilation": dilation, "groups": groups}

    def output(x: Array) -> Array:
        z, *_ = naive.convolution_gradients(np.zeros((len(x), *whole, filters)), layer.weight.data, x, **how)
        z = naive.inside(z, (top, bottom), (left, right))
        return z if layer.bias is None else z + layer.bias.data

    def gradients(g: Array) -> Sequence[Array]:
        surrounded = naive.padded(g, (top, bottom), (left, right))
        _, grad_weight, _ = naive.convolution_gradients(surrounded, layer.weight.data, x, **how)
        return naive.convolution(surrounded, layer.weight.data, None, **how), grad_weight, g.sum(axis=(0, 1, 2))

    return layer, x, output, gradients


@pytest.mark.parametrize("cases", [convolutions(), convolutions_of_sequences(), transposed_convolutions()], ids=str)
@given(data=st.data(), block_size=st.sampled_from([1, 40, 1 << 18]), seed=seeds)
def test_against_loops(cases: st.SearchStrategy[Case], data: st.DataObject, block_size: int, seed: int) -> None:
    layer, x, output, gradients = data.draw(cases)
    expected = output(x)
    g = np.random.default_rng(seed).standard_normal(expected.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(cache_block=block_size))
        np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-10)
        received = [layer.backward(g), *(parameter.grad for parameter in layer.parameters())]
    for ours, right in zip(received, gradients(g), strict=False):  # without a bias one gradient less
        np.testing.assert_allclose(ours, right, rtol=1e-10, atol=1e-10)  # type: ignore[arg-type]


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


def test_a_view_with_one_channel_is_convolved() -> None:
    x = np.arange(50, dtype=np.float32).reshape(2, 1, 5, 5)
    layer = Conv2D(1, 2, 3, rng=0)
    # The strides of an axis of length 1 may be any number.
    assert np.array_equal(layer(np.moveaxis(x, 1, -1)), layer(x.reshape(2, 5, 5, 1)))


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


PADDING = r"a number, \(vertical, horizontal\) or \(\(top, bottom\), \(left, right\)\), from 0 to 2147483647, received"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "Conv2D in_channels: expected a whole number of at least 1, received 0"),
        ({"out_channels": 2.0}, "Conv2D out_channels: expected a whole number of at least 1, received 2.0"),
        ({"kernel_size": 0}, "Conv2D kernel_size: expected a whole number of at least 1, received 0"),
        ({"kernel_size": (3, 0)}, r"Conv2D kernel_size\[1\]: expected a whole number of at least 1, received 0"),
        (
            {"kernel_size": (3, 3, 3)},
            r"kernel_size: expected .* or two, \(vertical, horizontal\), received \(3, 3, 3\)",
        ),
        ({"stride": -1}, "Conv2D stride: expected a whole number of at least 1, received -1"),
        ({"dilation": (1,)}, r"dilation: expected a whole number or two, .*, received \(1,\)"),
        ({"padding": "full"}, rf'padding: expected "valid", "same", "same_upper", {PADDING} \'full\''),
        ({"padding": -1}, rf"{PADDING} -1"),
        ({"padding": True}, rf"{PADDING} True"),
        ({"padding": (1, 2, 3)}, rf"{PADDING} \(1, 2, 3\)"),
        ({"padding": ((1, 2), (3, -4))}, rf"{PADDING} \(\(1, 2\), \(3, -4\)\)"),
        ({"groups": 0}, "Conv2D groups: expected a whole number of at least 1, received 0"),
        ({"groups": 3}, "Conv2D groups: expected a divisor of in_channels 3 and of out_channels 2, received 3"),
        ({"groups": 2}, "Conv2D groups: expected a divisor of in_channels 3 and of out_channels 2, received 2"),
        ({"dtype": np.float16}, "dtype: expected float32 or float64, received float16"),
        ({"weight_init": lambda shape, _: np.zeros(shape[::-1])}, r"shape \(2, 5, 5, 3\), received \(3, 5, 5, 2\)"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conv2D(**{"in_channels": 3, "out_channels": 2, "kernel_size": 5, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv1D(2, 2, (3, 3)), r"Conv1D kernel_size: .* at least 1, received \(3, 3\)"),  # type: ignore[arg-type]
        (lambda: Conv1D(2, 2, 3, dilation=0), "Conv1D dilation: .* at least 1, received 0"),
        (lambda: Conv1D(2, 3, 3, groups=2), "Conv1D groups: .* in_channels 2 and of out_channels 3, received 2"),
        (
            lambda: Conv1D(2, 3, 3, padding=((1, 1), (2, 2))),  # type: ignore[arg-type]
            r'"causal", a number or \(left, right\), from 0 to 2147483647, received \(\(1, 1\), \(2, 2\)\)',
        ),
        (lambda: ConvTranspose2D(2, 2, 3, padding="same"), rf"ConvTranspose2D padding: expected {PADDING} 'same'"),  # type: ignore[arg-type]
        (
            lambda: ConvTranspose2D(2, 2, 3, 2, output_padding=2),
            r"output_padding: .*, whole numbers of at least 0 and less than stride 2, received 2",
        ),
        (lambda: ConvTranspose2D(2, 2, 3, (2, 1), output_padding=(1, 1)), r"than stride \(2, 1\), received \(1, 1\)"),
        (lambda: ConvTranspose2D(3, 2, 3, groups=2), "ConvTranspose2D groups: .* in_channels 3 .*, received 2"),
    ],
)
def test_bad_arguments_of_the_other_convolutions(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv2D(1, 1, (2, 3), dilation=(3, 1)), (1, 3, 9, 1), r"of at least 4 x 3, received \(1, 3, 9, 1\)$"),
        (Conv2D(1, 1, (1, 7), padding=(5, 1)), (1, 3, 4, 1), r"of at least 1 x 7, .* \(13 x 6 with its padding\)$"),
        (Conv1D(1, 1, 3, dilation=2), (1, 4, 1), r"sequences of at least 5 steps, received \(1, 4, 1\)$"),
        (
            Conv1D(1, 1, 7, padding=1),
            (1, 4, 1),
            r"at least 7 steps, received \(1, 4, 1\) \(6 steps with its padding\)$",
        ),
        (Conv1D(2, 1, 1), (1, 2, 4), r"expected \(batch, time, 2\), received .*: pass x.transpose\(0, 2, 1\)$"),
        (Conv1D(2, 1, 1), (4, 2), r"expected \(batch, time, 2\), received \(4, 2\); a single sequence still needs"),
        (Conv1D(2, 1, 1), (4, 0, 2), r"at least one sample and step, received an empty batch \(4, 0, 2\)$"),
        (
            ConvTranspose2D(1, 1, 2, padding=1),
            (1, 1, 3, 1),
            r"padding leaves a pixel, received \(1, 1, 3, 1\), 0 x 2 left",
        ),
    ],
)
def test_bad_input_of_other_convolutions(layer: Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(LayerInputError, match=rf"^layer 0, .*{message}"):
        Sequential(layer)(np.zeros(shape))


@given(pairs, pairs, pairs, st.integers(1, 9), st.integers(1, 9))
def test_same_upper_adds_no_more_than_the_windows_need(
    size: Pair, stride: Pair, dilation: Pair, height: int, width: int
) -> None:
    layer = Conv2D(1, 1, size, stride, "same_upper", dilation, weight_init=lambda shape, _: np.ones(shape))
    y = layer(np.zeros((1, height, width, 1), np.float32))
    assert y.shape == (1, -(-height // stride[0]), -(-width // stride[1]), 1)
    for i, side in enumerate((height, width)):
        span = dilation[i] * (size[i] - 1) + 1
        before, after = fitted(layer, np.zeros((1, height, width, 1)), layer.windows, "same_upper").padding[i]
        assert after - before in (0, 1)
        # With a pixel less the last window would not fit.
        assert before + after == 0 or (side + before + after - 1 - span) // stride[i] + 1 < -(-side // stride[i])


@pytest.mark.parametrize(
    ("size", "dilation", "padding"),
    [
        (2, 1, ((0, 1), (0, 1))),
        ((2, 3), 1, ((0, 1), (1, 1))),
        ((4, 1), (3, 2), ((4, 5), (0, 0))),
        (5, 1, ((2, 2), (2, 2))),
    ],
)
def test_the_odd_pixel_of_same_padding_is_below_and_right(size: Any, dilation: Any, padding: Any) -> None:
    x = np.random.default_rng(0).standard_normal((1, 9, 9, 1))
    same, explicit = (Conv2D(1, 1, size, 1, name, dilation, rng=0, dtype=np.float64)(x) for name in ("same", padding))
    np.testing.assert_array_equal(same, explicit)


def test_names_of_padding_differ_at_strides_above_1() -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    ones: Any = {"weight_init": lambda shape, _: np.ones(shape)}
    assert Conv1D(1, 1, 3, 2, "same", **ones)(x).ravel().tolist() == [1, 6]  # -0123-: from the left border on
    assert Conv1D(1, 1, 3, 2, "same_upper", **ones)(x).ravel().tolist() == [3, 5]  # 0123-: the odd step on the right
    assert Conv1D(1, 1, 3, 2, "causal", **ones)(x).ravel().tolist() == [0, 3]  # --0123


def test_causal_padding_sees_nothing_later() -> None:
    layer = Conv1D(2, 3, 3, padding="causal", dilation=2, rng=0)
    x = np.random.default_rng(0).standard_normal((1, 9, 2)).astype(np.float32)
    y = layer(x)
    x[:, 5:] += 1
    np.testing.assert_array_equal(layer(x)[:, :5], y[:, :5])
    assert (layer(x)[:, 5] != y[:, 5]).any()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            Conv2D(2, 4, (3, 5), (1, 2), (1, 2), 2, 2),
            "Conv2D(2 -> 4, 3 x 5, stride=(1, 2), padding=(1, 2), dilation=2, groups=2)",
        ),
        (Conv2D(2, 4, [3, 3], [2, 2], [[1, 1], [1, 1]]), "Conv2D(2 -> 4, 3 x 3, stride=2, padding=1)"),  # type: ignore[arg-type]
        (Conv2D(2, 4, 3, padding=((1, 1), (2, 3))), "Conv2D(2 -> 4, 3 x 3, stride=1, padding=((1, 1), (2, 3)))"),
        (Conv2D(2, 4, 3, padding=((1, 2), (1, 2))), "Conv2D(2 -> 4, 3 x 3, stride=1, padding=((1, 2), (1, 2)))"),
        (Conv1D(2, 4, 3, padding=(2, 0)), "Conv1D(2 -> 4, 3, stride=1, padding=(2, 0))"),
        (ConvTranspose2D(2, 4, 3, 2, 1, 1), "ConvTranspose2D(2 -> 4, 3 x 3, stride=2, padding=1, output_padding=1)"),
    ],
)  # fmt: skip
def test_reprs(layer: Module, expected: str) -> None:
    assert repr(layer) == expected


def test_shapes_of_the_weights_of_groups() -> None:
    assert Conv2D(6, 4, (3, 5), groups=2).weight.shape == (4, 3, 5, 3)
    assert Conv1D(6, 6, 5, groups=6).weight.shape == (6, 5, 1)
    assert ConvTranspose2D(6, 4, (3, 5), groups=2).weight.shape == (6, 3, 5, 2)


def test_a_transposed_convolution_is_drawn_for_what_an_output_reads() -> None:
    asked = []

    def count(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        asked.append(shape)
        return rng.standard_normal(shape)

    layer = ConvTranspose2D(6, 4, (3, 5), groups=2, weight_init=count, rng=0, dtype=np.float64)
    drawn = np.random.default_rng(0).standard_normal((4, 3, 5, 3))
    assert asked == [drawn.shape]
    for out in range(4):
        for one in range(3):  # of the group's channels
            np.testing.assert_array_equal(layer.weight.data[out // 2 * 3 + one, :, :, out % 2], drawn[out, :, :, one])


@pytest.mark.parametrize("options", [{}, {"groups": 4}, {"groups": 32}, {"dilation": 3}], ids=str)
def test_windows_are_copied_a_block_at_a_time(options: dict[str, Any]) -> None:
    layer = Conv2D(32, 32, 3, padding="same", **options, rng=0)
    x = np.zeros((64, 32, 32, 32), np.float32)  # 8 MB, all its windows 75
    tracemalloc.start()
    try:
        g = layer(x)
        layer.backward(g)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * x.nbytes  # the output, the input's gradient, and blocks
