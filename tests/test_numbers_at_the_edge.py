"""Numbers of any size: every finite number gives a right finite result, or an error that says what is too large."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    BinaryCrossEntropy,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSwish,
    Hinge,
    Huber,
    LayerNorm,
    LeakyReLU,
    Lion,
    LogSoftmax,
    Loss,
    MaxPool1D,
    MaxPool2D,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    NAdam,
    NonFiniteError,
    Normalize,
    Optimizer,
    Parallel,
    Parameter,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Residual,
    RMSNorm,
    RMSProp,
    SelfAttention,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Tanh,
    Trainer,
    UpSample2D,
    clip_gradient_norm,
    functional,
    mlp,
)
from minidl._calls import calling
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import cast
from minidl.errors import LayerInputError
from minidl.initializers import BY_NAME, initial_weight
from minidl.schedules import cosine, step_decay, warm_up

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
LARGEST = float(np.finfo(np.float32).max)
has_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="no type has a larger range than float64"
)


def numbers(shape: tuple[int, ...], dtype: np.dtype[Any] = FLOAT32, largest: float | None = None) -> Any:
    """Arrays of finite numbers of every size."""
    limits = np.finfo(dtype)
    bound = float(limits.max if largest is None else largest)
    # About as many of each order of magnitude, where floats() prefers simple ones; some of a row are alike.
    powers = st.floats(math.log2(limits.tiny), math.log2(bound) - 1e-9).map(lambda p: min(2.0**p, bound))
    signed = st.builds(lambda size, sign: size * sign, powers, st.sampled_from([-1.0, 1.0]))
    ordinary = st.floats(-min(bound, 10), min(bound, 10), allow_subnormal=False)
    others = [x for x in (0.0, -0.0, bound, -bound, 1e4, 1e4 + 2**-10) if abs(x) <= bound]
    elements = st.one_of(signed, ordinary, st.sampled_from(others))
    return hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()).map(lambda x: x.astype(dtype))


def attempt(function: Callable[[], Any]) -> tuple[Any, str]:
    """Return the result and nothing, or nothing and what was answered instead, in a program that asks for errors."""
    try:
        with np.errstate(all="raise"):
            return function(), ""
    except (FloatingPointError, ValueError) as error:
        return None, str(error)


# ------------------------------------------------------------------------------------------------------------- layers

LAYERS: dict[str, tuple[Callable[[np.dtype[Any]], Module], tuple[int, ...]]] = {
    "ReLU": (lambda _: ReLU(), (2, 3)),
    "LeakyReLU": (lambda _: LeakyReLU(0.1), (2, 3)),
    "Sigmoid": (lambda _: Sigmoid(), (2, 3)),
    "Tanh": (lambda _: Tanh(), (2, 3)),
    "GELU": (lambda _: GELU(), (2, 3)),
    "GELU in the tanh form": (lambda _: GELU("tanh"), (2, 3)),
    "PReLU": (lambda dtype: PReLU(3, dtype=dtype), (2, 3)),
    "ReLU6": (lambda _: ReLU6(), (2, 3)),
    "ELU": (lambda _: ELU(0.7), (2, 3)),
    "SELU": (lambda _: SELU(), (2, 3)),
    "SiLU": (lambda _: SiLU(), (2, 3)),
    "HardSwish": (lambda _: HardSwish(), (2, 3)),
    "Softplus": (lambda _: Softplus(), (2, 3)),
    "Softmax": (lambda _: Softmax(), (2, 3)),
    "LogSoftmax": (lambda _: LogSoftmax(), (2, 3)),
    "Flatten": (lambda _: Flatten(), (2, 1, 3)),
    "Rescale": (lambda _: Rescale(0.5, -0.25), (2, 3)),
    "Normalize": (lambda dtype: Normalize(3, dtype=dtype).adapt(np.diag([3.0, 1.5, 9.0])), (2, 3)),
    "Dropout": (lambda _: Dropout(0.5, rng=0), (2, 3)),
    "LayerNorm": (lambda dtype: LayerNorm(4, dtype=dtype), (2, 4)),
    "RMSNorm": (lambda dtype: RMSNorm(4, dtype=dtype), (2, 4)),
    "GroupNorm": (lambda dtype: GroupNorm(2, 2, dtype=dtype), (1, 2, 2, 2)),
    "BatchNorm": (lambda dtype: BatchNorm(2, dtype=dtype), (4, 2)),
    "MaxPool2D": (lambda _: MaxPool2D(2, padding=1), (1, 3, 3, 2)),
    "MaxPool1D": (lambda _: MaxPool1D(2, padding=1), (1, 5, 2)),
    "AveragePool2D": (lambda _: AveragePool2D(2, stride=1), (1, 3, 3, 2)),
    "AveragePool2D, padded": (lambda _: AveragePool2D((2, 3), 1, 1, count_padding=False), (1, 3, 3, 2)),
    "AveragePool1D": (lambda _: AveragePool1D(3, stride=1, padding=1), (1, 5, 2)),
    "GlobalAveragePool2D": (lambda _: GlobalAveragePool2D(), (2, 3, 2, 2)),
    "GlobalMaxPool2D": (lambda _: GlobalMaxPool2D(), (2, 3, 2, 2)),
    "UpSample2D": (lambda _: UpSample2D(2), (1, 2, 3, 2)),
    "Residual": (lambda dtype: Residual(Dense(3, 3, rng=0, dtype=dtype)), (2, 3)),
    "Parallel": (lambda _: Parallel(Sequential(), ReLU()), (2, 3)),
    "PositionalEmbedding": (lambda dtype: PositionalEmbedding(3, 2, rng=0, dtype=dtype), (2, 3, 2)),
    "SelfAttention": (lambda dtype: SelfAttention(2, 1, rng=0, dtype=dtype), (2, 3, 2)),
    "LSTM": (lambda dtype: LSTM(2, 3, rng=0, dtype=dtype), (2, 3, 2)),
    "GRU": (lambda dtype: GRU(2, 3, bidirectional=True, rng=0, dtype=dtype), (2, 3, 2)),
    "GlobalAveragePool1D": (lambda _: GlobalAveragePool1D(), (2, 3, 2)),
    "GlobalMaxPool1D": (lambda _: GlobalMaxPool1D(), (2, 3, 2)),
    "Dense": (lambda dtype: Dense(3, 2, rng=0, dtype=dtype), (2, 3)),
    "Conv2D": (lambda dtype: Conv2D(2, 2, 2, rng=0, dtype=dtype), (1, 3, 3, 2)),
    "Conv2D, depthwise": (lambda dtype: Conv2D(2, 2, 2, groups=2, rng=0, dtype=dtype), (1, 3, 3, 2)),
    "Conv2D, groups": (lambda dtype: Conv2D(2, 4, 2, groups=2, rng=0, dtype=dtype), (1, 2, 3, 2)),
    "Conv1D": (lambda dtype: Conv1D(2, 2, 2, padding="causal", dilation=2, rng=0, dtype=dtype), (1, 5, 2)),
    "ConvTranspose2D": (lambda dtype: ConvTranspose2D(2, 2, 2, rng=0, dtype=dtype), (1, 2, 3, 2)),
}
PRODUCTS = ("Dense", "Residual", *(name for name in LAYERS if name.startswith("Conv")))


def tolerance(name: str, x: Array, exact: Array) -> Array:
    """What float32 may be wrong by: its rounding of the largest number that the formula adds up."""
    size = np.abs(exact)
    if name in PRODUCTS or "AveragePool" in name:
        size = np.maximum(size, np.abs(x).max())
    if name in ("LayerNorm", "GroupNorm", "BatchNorm"):
        size = size + 1
    if name == "SelfAttention":
        # A weight is wrong by as much of itself as its score is wrong by, and the scores grow with the square of x.
        largest = np.abs(x).max()
        size = size + largest * (1 + 10 * largest**2)
    if name in ("LSTM", "GRU"):
        # Gates are functions of slope 1 at most of sums of a few products with x; three steps add their errors up.
        return np.full(size.shape, min(3e-6 * (1 + 10 * float(np.abs(x).max())), 2.0))  # both are between -1 and 1
    if name == "BatchNorm":
        # The mean is rounded to the layer's precision, and what it is subtracted from may be nearly the same.
        size = size + np.abs(x).max(axis=0) / np.sqrt(x.var(axis=0) + 1e-5)
    rounds_at_1 = ("GELU", "GELU in the tanh form", "Softmax", "LogSoftmax", "Sigmoid")
    return 3e-6 * size + (3e-6 if name in rounds_at_1 else 1e-37)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=40)
@given(data=st.data())
def test_float32_layers_are_right_at_every_size(name: str, data: st.DataObject) -> None:
    make, shape = LAYERS[name]
    x = data.draw(numbers(shape))
    before = x.copy()
    exact = make(FLOAT64)(x.astype(np.float64))
    layer = make(FLOAT32)
    allowed = tolerance(name, x.astype(np.float64), exact)
    y, problem = attempt(lambda: layer(x))
    if problem:
        assert "overflow" in problem or "too large" in problem
        beyond = np.abs(exact) + allowed > LARGEST
        if name == "BatchNorm":
            wide = x.astype(np.float64)
            # Squared deviations are added up in float32: their sum may overflow where their mean would not.
            beyond = np.square(wide - wide.mean(axis=0)).sum(axis=0) + 1e-6 * np.square(wide).mean() > LARGEST
        if name in (*PRODUCTS, "LSTM", "GRU"):
            beyond = beyond | (np.abs(x).max() > 1e37)  # products may overflow whose sum would not
        if name == "SelfAttention":
            beyond = beyond | (np.abs(x).max() > 1e18)  # scores overflow
        assert beyond.any()
    else:
        assert y.dtype == np.float32
        assert np.isfinite(y).all()
        assert (np.abs(y - exact) <= allowed).all()
    assert np.array_equal(x, before)


SLOPES_THAT_CANCEL = (
    *("GELU", "GELU in the tanh form", "SiLU", "HardSwish", "ELU", "SELU"),
    *("Softmax", "LogSoftmax", "Sigmoid", "Tanh"),
)
# The gradients of the others are compared where they are well conditioned.
BACKWARD = [name for name in LAYERS if name not in ("BatchNorm", "SelfAttention", "LSTM", "GRU")]


@pytest.mark.parametrize("name", BACKWARD)
@settings(max_examples=25)
@given(data=st.data())
def test_float32_gradients_are_right_at_every_size(name: str, data: st.DataObject) -> None:
    make, shape = LAYERS[name]
    x = data.draw(numbers(shape, largest=1e37))
    layer, exact = make(FLOAT32), make(FLOAT64)
    upstream = data.draw(numbers(exact(x.astype(np.float64)).shape, largest=2.0))
    with np.errstate(all="raise"):
        layer(x)
        received = [layer.backward(upstream), *(p.grad for p in layer.parameters())]
    expected = [exact.backward(upstream.astype(np.float64)), *(p.grad for p in exact.parameters())]
    for what, (gradient, right) in enumerate(zip(received, expected, strict=True)):
        assert gradient is not None
        assert right is not None
        size = np.abs(right).max() + 1e-30
        if name == "LayerNorm" and what == 0:  # what remains of terms that nearly cancel
            deviation = np.sqrt(x.astype(np.float64).var(axis=-1, keepdims=True) + 1e-5)
            size = 10 / deviation
        if name == "GroupNorm" and what == 0:
            size = 10 / np.sqrt(x.astype(np.float64).var(axis=(1, 2), keepdims=True) + 1e-5)
        if name.endswith("Norm") and what >= 1:  # sums over samples and pixels, whose summands may cancel
            size = size + 1
        if name == "RMSNorm" and what == 0:
            size = 10 / np.sqrt(np.square(x.astype(np.float64)).mean(axis=-1, keepdims=True) + 1e-5)
        if name in PRODUCTS:
            size = max(size, 10 * float(np.abs(x).max())) if what == 1 else size + 10
        if name in SLOPES_THAT_CANCEL:
            size = 2
        if name == "PReLU" and what == 1:  # a sum of products, which may cancel
            size = max(size, 10 * float(np.abs(x).max()))
        assert gradient.dtype == np.float32
        assert (np.abs(gradient - right) <= 1e-5 * size).all(), what


@has_longdouble
@settings(max_examples=50)
@given(x=numbers((2, 4), FLOAT64))
def test_float64_layers_are_right_at_every_size(x: Array) -> None:
    wide = x.astype(np.longdouble)
    below = np.exp(wide - wide.max(axis=-1, keepdims=True))
    centred = wide - wide.mean(axis=-1, keepdims=True)
    normalized = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.longdouble(1e-5))
    pictures = x.reshape(1, 2, 2, 2)
    exact: list[tuple[Module, Array, Array]] = [
        (GELU(), x, 0.5 * wide * [[math.erfc(-z * math.sqrt(0.5)) for z in row] for row in x.tolist()]),
        (
            GELU("tanh"),
            x,
            np.where(np.abs(wide) < 20, 0.5 * wide * (1 + np.tanh(gelu_argument(wide))), np.maximum(wide, 0)),
        ),
        (Softmax(), x, below / below.sum(axis=-1, keepdims=True)),
        (Sigmoid(), x, 1 / (1 + np.exp(-np.clip(wide, -1e4, 1e4)))),
        (Tanh(), x, np.tanh(wide)),
        (SiLU(), x, wide / (1 + np.exp(-np.clip(wide, -1e4, 1e4)))),
        (ELU(0.7), x, np.where(wide > 0, wide, np.longdouble(0.7) * np.expm1(np.minimum(wide, 0)))),
        (Softplus(), x, np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))),
        (HardSwish(), x, wide * np.clip((wide + 3) / 6, 0, 1)),
        (LayerNorm(4, dtype=np.float64), x, normalized),
        (GlobalAveragePool2D(), pictures, wide.reshape(1, 2, 2, 2).mean(axis=(1, 2))),
        (AveragePool2D(), pictures, wide.reshape(1, 2, 2, 2).mean(axis=(1, 2))[:, None, None]),
    ]
    for layer, given_x, right in exact:
        with np.errstate(all="raise"):
            y = layer(given_x)
        size = np.abs(wide).max() if "Average" in repr(layer) else np.abs(right) + 1
        assert np.isfinite(y).all(), layer
        assert (np.abs(y - right) <= 1e-13 * size).all(), layer


def gelu_argument(z: Array) -> Array:
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4, 1e8, 1e20, 1e30])
def test_a_constant_sample_or_feature_is_normalized_to_0(size: float, dtype: np.dtype[Any]) -> None:
    x = np.full((1000, 7), size / 3, dtype)
    assert not LayerNorm(7, dtype=dtype)(x).any()
    if size < 1e18:
        layer = BatchNorm(7, momentum=1.0, dtype=dtype)
        assert not layer(x).any()
        assert not layer.running_variance.data.any()


@pytest.mark.parametrize("size", [1e18, 1e20, 1e30, 1e38])
def test_normalization_of_large_numbers(size: float) -> None:
    x = np.array([[size, -size]], np.float32)
    rows = np.array([[size, -size], [size, size], [2, -2], [0, 0]], np.float32)
    np.testing.assert_allclose(RMSNorm(2)(rows), [[1, -1], [1, 1], [1, -1], [0, 0]], rtol=1e-5)
    layer = LayerNorm(2)
    np.testing.assert_allclose(layer(rows), [[1, -1], [0, 0], [1, -1], [0, 0]], rtol=1e-5)
    gradient = layer.backward(np.array([[1.0, 0.0]] * 4, np.float32))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[0]).max() <= 1e-6 / size  # a sample of two numbers is always normalized to 1 and -1
    if size < 1e19:
        np.testing.assert_allclose(BatchNorm(1)(x.T), [[1], [-1]], rtol=1e-6)
        return
    batch_norm = BatchNorm(1)
    with pytest.raises(LayerInputError, match=rf"variance float32 holds.*{size:g}".replace("+", r"\+")) as error:
        Sequential(ReLU(), batch_norm)(-x.T)
    assert "layer 1, BatchNorm" in str(error.value)
    assert "too large" in str(error.value)
    assert batch_norm.running_variance.data == 1  # as it was


def test_what_is_not_finite_already_is_not_called_too_large() -> None:
    x = np.array([[np.nan], [1.0], [2.0]], np.float32)
    with np.errstate(all="ignore"):
        assert np.isnan(BatchNorm(1)(x)).all()
        assert np.isnan(LayerNorm(3)(x.T)).all()
        assert np.isnan(RMSNorm(3)(x.T)).all()
        assert np.isnan(LayerNorm(3)(np.array([[np.inf, 1, 2]], np.float32))).any()


# -------------------------------------------------------------------------------------------------------------- sums


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("strided", [False, True])
def test_long_float32_sums_are_those_of_float64(constant: bool, strided: bool) -> None:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        x = np.full(shape, 0.1, np.float32) if constant else rng.random(shape, np.float32) + np.float32(10)
        return np.asfortranarray(x) if strided else x

    def check(name: str, received: Any, exact: Array) -> None:
        np.testing.assert_allclose(received, exact, rtol=1e-5, err_msg=name)

    pictures = draw(2, 300, 500, 3)
    check("GlobalAveragePool2D", GlobalAveragePool2D()(pictures), pictures.mean((1, 2), dtype=np.float64))
    large = draw(1, 300, 300, 1)
    check("AveragePool2D", AveragePool2D(300)(large), large.mean((1, 2), dtype=np.float64)[:, None, None])

    x, g = draw(150_001, 2), draw(150_001, 2)
    total = g.sum(axis=0, dtype=np.float64)
    batch_norm = BatchNorm(2, momentum=1.0)
    for layer in (Dense(2, 2, rng=0), LayerNorm(2), batch_norm):
        layer(x)
        layer.backward(g)
        check(repr(layer), dict(layer.named_parameters())["bias"].grad, total)
    check("running mean", batch_norm.running_mean.data, x.mean(axis=0, dtype=np.float64))

    h = rng.standard_normal((150_001, 2), dtype=np.float32)
    norm: Any = LayerNorm(2)
    y = norm(h).astype(np.float64)
    norm.backward(g)
    error = np.abs(norm.weight.grad - (y * g).sum(axis=0))
    assert (error <= 1e-5 * np.abs(y * g).sum(axis=0)).all()

    norm(np.tile(np.array([1, 3], np.float32), (150_001, 1)))  # to -1 and 1, so that errors of one sign add up
    norm.backward(g)
    check("gradient of LayerNorm's weight", norm.weight.grad, total * [-1, 1])

    conv = Conv2D(3, 2, 1, rng=0)
    g4 = draw(*conv(pictures).shape)
    conv.backward(g4)
    assert conv.bias is not None
    check("Conv2D", conv.bias.grad, g4.sum(axis=(0, 1, 2), dtype=np.float64))


def test_batch_norm_of_many_numbers_has_the_variance_of_float64() -> None:
    around_100 = np.random.default_rng(0).standard_normal((300_000, 1), dtype=np.float32) + np.float32(100)
    around_0 = np.tile(np.array([[0.1], [-0.1]], np.float32), (150_000, 2))
    for x in (around_100, around_0):
        layer = BatchNorm(x.shape[1], momentum=1.0)
        layer(x)
        np.testing.assert_allclose(layer.running_variance.data, x.var(axis=0, dtype=np.float64, ddof=1), rtol=1e-5)


# -------------------------------------------------------------------------------------------------------------- casts


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Dense(2, 1, rng=0), np.array([[1e39, 1.0]])),
        (LayerNorm(2), np.array([[1.0, -2e50]])),
        (BatchNorm(2), np.array([[1.0, 1e300], [1.0, 1.0]])),
        (Conv2D(1, 1, 1, rng=0), np.full((1, 1, 1, 1), 3.5e38)),
    ],
)
def test_numbers_beyond_the_layers_precision_are_named(layer: Module, x: Array) -> None:
    largest = f"{np.abs(x).max():g}".replace("+", r"\+")
    model = Sequential(Sequential(layer))
    for call in (model, model.predict):
        with pytest.raises(LayerInputError, match=rf"layer 0.0, .*received {largest}, too large for float32"):
            call(x)


def test_a_cast_costs_nothing_where_none_is_needed_and_keeps_infinity() -> None:
    x = np.array([1.0, np.inf, -np.inf, np.nan])
    assert cast(x, FLOAT64, "x") is x
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(cast(x, FLOAT32, "x"), x)
        assert cast(np.array([1e-50]), FLOAT32, "x") == 0
        with pytest.raises(ValueError, match=r"x: expected numbers up to 3.4e\+38 in size, received 1e\+39, too large"):
            cast(np.array([np.inf, -1e39, 2.0]), FLOAT32, "x")


@pytest.mark.parametrize("x", [[[1e38, 1e38]], [[-1e38, -1e38]], [[3e38, -3e38]]])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_predict_refuses_numbers_that_become_too_large_on_the_way(x: Any, batch_size: int | None) -> None:
    model = Sequential(Dense(2, 2, weight_init=lambda shape, rng: np.full(shape, 1e3), rng=0))
    with pytest.raises(ValueError, match=r"too large for float32.* first in row 1"):
        model.predict(np.array([[1.0, 2.0], *x], np.float32), batch_size)


def test_predict_keeps_logits_of_classes_that_a_layer_leaves_out() -> None:
    class Mask(Module):
        def forward(self, x: Array) -> Array:
            return np.where([True, False], x, x.dtype.type(-np.inf))

    assert Mask().predict([[1.0, 2.0]]).tolist() == [[1.0, -np.inf]]
    assert Sequential(Mask(), Softmax()).predict([[1.0, 2.0]]).tolist() == [[1.0, 0.0]]


# ------------------------------------------------------------------------------------------------------------- losses


@st.composite
def classified(draw: st.DrawFn, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Logits of any size and distributions over their classes."""
    logits = draw(numbers((2, 3), dtype, largest=np.finfo(dtype).max))
    target = draw(st.sampled_from([np.eye(3)[[0, 2]], np.eye(3)[[1, 1]], np.array([[0.5, 0.25, 0.25], [0, 0.5, 0.5]])]))
    return logits, target.astype(dtype)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@settings(max_examples=40)
@given(pair=classified(FLOAT32))
def test_softmax_cross_entropy_is_right_at_every_size(smoothing: float, pair: tuple[Array, Array]) -> None:
    logits, target = pair
    loss = SoftmaxCrossEntropy(label_smoothing=smoothing)
    z, u = logits.astype(np.float64), (1 - smoothing) * target.astype(np.float64) + smoothing / 3
    below = z - z.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(below).sum(axis=1))
    right = np.mean(log_sum - (u * below).sum(axis=1))
    p = np.exp(below - log_sum[:, None])
    with np.errstate(all="raise"):
        value, gradient = loss(logits, target), loss.gradient(logits, target)
    assert value == pytest.approx(right, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(gradient, (p - u) / 2, atol=1e-6)
    if smoothing == 0 and (target.max(axis=1) == 1).all():
        assert loss(logits, target.argmax(axis=1)) == value


def test_softmax_cross_entropy_of_float64_says_what_is_too_large() -> None:
    with pytest.raises(ValueError, match=r"SoftmaxCrossEntropy: the loss is inf; numbers up to 1.7e\+308 in"):
        SoftmaxCrossEntropy()(np.array([[1.7e308, -1.7e308]]), np.array([1]))
    assert SoftmaxCrossEntropy()(np.array([[1.7e308, -1.7e308]]), np.array([0])) == 0


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64])
def test_logits_of_minus_infinity_leave_their_class_out(dtype: np.dtype[Any]) -> None:
    loss = SoftmaxCrossEntropy()
    logits = np.array([[0.5, -np.inf, 1.0], [-np.inf, 3.0, -np.inf]], dtype)
    for target in (np.array([2, 1]), np.array([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]], dtype)):
        rows = np.eye(3)[target] if target.ndim == 1 else target
        p = np.exp([0.5, 1.0]) / np.exp([0.5, 1.0]).sum()
        with np.errstate(all="raise"):
            value, gradient = loss(logits, target), loss.gradient(logits, target)
        assert value == pytest.approx(-(rows[0, [0, 2]] @ np.log(p)) / 2, rel=1e-6)
        np.testing.assert_allclose(gradient, (np.array([[p[0], 0, p[1]], [0, 1, 0]]) - rows) / 2, atol=1e-7)
        assert loss.accuracy(logits, target) == 1


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        ([[0.0, -np.inf]], [1], "probability 0.*-inf"),
        ([[0.0, -np.inf]], [[0.5, 0.5]], "probability 0.*-inf"),
        ([[0.0, 1.0], [-np.inf, -np.inf]], [0, 0], "expected finite logits, or -inf for some.* -inf.*row 1"),
        ([[0.0, np.nan]], [0], "expected finite logits.* nan .*row 0"),
        ([[0.0, 1.0], [np.inf, 0.0]], [0, 0], "expected finite logits.* inf .*row 1"),
    ],
)
def test_logits_without_a_distribution_are_refused(logits: Any, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"SoftmaxCrossEntropy.*{message}"):
        SoftmaxCrossEntropy()(np.array(logits), np.array(target))
    with pytest.raises(ValueError, match="label_smoothing"):
        SoftmaxCrossEntropy(label_smoothing=0.1)(np.array([[0.0, -np.inf]]), np.array([0]))
    for probabilities in ([[np.nan, 1.0]], [[-np.inf, 1.0]]):
        with pytest.raises(ValueError, match="SoftmaxCrossEntropy prediction: expected"):
            SoftmaxCrossEntropy(from_logits=False)(np.array(probabilities), np.array([0]))


def float32_columns(elements: st.SearchStrategy[float]) -> st.SearchStrategy[Array]:
    return hnp.arrays(np.float64, (3, 1), elements=elements).map(lambda x: x.astype(np.float32))


weights = st.one_of(st.sampled_from([1.0, 1e-38, 1e-20, 3e38, 0.5, 2.0]), st.floats(-38, 38).map(lambda p: 10.0**p))


def softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: Array) -> Array:
    return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))


@settings(max_examples=50)
@given(
    logits=numbers((3, 1)),
    target=float32_columns(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    w=weights,
)
def test_binary_cross_entropy_of_logits_is_right_at_every_size(logits: Array, target: Array, w: float) -> None:
    loss = BinaryCrossEntropy(from_logits=True, pos_weight=w)
    z, t = logits.astype(np.float64), target.astype(np.float64)
    with np.errstate(all="raise"):
        value, gradient = loss(logits, target), loss.gradient(logits, target)
    parts = w * t * softplus(-z), (1 - t) * softplus(z)
    assert value == pytest.approx(np.mean(parts[0] + parts[1]), rel=1e-5, abs=1e-37)
    ones, zeros = w * t * sigmoid(-z), (1 - t) * sigmoid(z)
    assert (np.abs(gradient - (zeros - ones) / 3) <= 1e-6 * (zeros + ones) + 1e-37).all()
    assert np.isfinite(gradient).all()


@settings(max_examples=50)
@given(
    p=float32_columns(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 1e-30, 1e-38]))),
    target=float32_columns(st.sampled_from([0.0, 0.25, 1.0])),
    w=weights,
)
def test_binary_cross_entropy_of_probabilities_is_right_at_every_size(p: Array, target: Array, w: float) -> None:
    loss = BinaryCrossEntropy(pos_weight=w)
    with np.errstate(all="raise"):
        value, gradient = loss(p, target), loss.gradient(p, target)
    tiny = float(np.finfo(np.float32).tiny)
    q, t = np.maximum(p.astype(np.float64), tiny), target.astype(np.float64)
    rest = np.maximum(1 - p.astype(np.float64), tiny)
    assert value == pytest.approx(np.mean(-w * t * np.log(q) - (1 - t) * np.log(rest)), rel=1e-5, abs=1e-6)
    ones, zeros = np.minimum(w * t / q, LARGEST), (1 - t) / rest
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient - (zeros - ones) / 3) <= 1e-6 * (zeros + ones)).all()


def test_a_weight_beyond_the_predictions_precision_is_named() -> None:
    p, t = np.array([[0.5]], np.float32), np.array([[1.0]], np.float32)
    for loss in (BinaryCrossEntropy(pos_weight=1e39), BinaryCrossEntropy(from_logits=True, pos_weight=1e39)):
        for call in (loss, loss.gradient):
            with pytest.raises(ValueError, match=r"pos_weight: expected at most .*1e\+39, too large for float32"):
                call(p, t)
        assert math.isfinite(loss(p.astype(np.float64), t))
        assert np.isfinite(loss.gradient(p.astype(np.float64), t.astype(np.float64))).all()


@pytest.mark.parametrize("w", [5e-324, 1e-30, 0.3, 1.0, 7.0, 1e30, 1.7e308])
def test_the_baseline_of_any_weight_is_the_lowest_loss_of_one_answer(w: float) -> None:
    loss = BinaryCrossEntropy(from_logits=True, pos_weight=w)
    target = np.array([[1.0], [0.0], [0.0]])
    baseline = loss.baseline_loss(target)
    assert baseline is not None
    best = np.full((3, 1), math.log(w) - math.log(2))
    assert baseline == pytest.approx(loss(best, target), rel=1e-9, abs=1e-300)
    for step in (-0.1, 0.1):
        assert loss(best + step, target) >= baseline * (1 - 1e-12)


@settings(max_examples=40)
@given(data=st.data(), dtype=st.sampled_from([FLOAT32, FLOAT64]))
def test_mean_squared_error_is_right_or_says_what_is_too_large(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    prediction, target = data.draw(numbers((2, 2), dtype)), data.draw(numbers((2, 2), dtype))
    loss = MeanSquaredError()
    distances = prediction.astype(np.longdouble) - target.astype(np.longdouble)
    largest = np.abs(distances).max()
    limits = np.finfo(dtype)
    value, problem = attempt(lambda: loss(prediction, target))
    if problem:
        assert "too large for" in problem
        assert largest > 0.99 * math.sqrt(limits.max) / 2
    else:
        assert value == pytest.approx(float(np.square(distances).mean()), rel=1e-5, abs=float(limits.tiny))
        with np.errstate(all="raise"):
            gradient = loss.gradient(prediction, target)
        np.testing.assert_allclose(gradient, (distances / 2).astype(dtype), rtol=1e-6, atol=1e-37)


@settings(max_examples=40)
@given(
    data=st.data(),
    dtype=st.sampled_from([FLOAT32, FLOAT64]),
    loss=st.sampled_from([MeanAbsoluteError(), Huber(1e-3), Huber(), Huber(1e30)]),
)
def test_robust_losses_are_right_or_name_what_is_too_large(data: st.DataObject, dtype: Any, loss: Loss) -> None:
    prediction, target = data.draw(numbers((2, 2), dtype)), data.draw(numbers((2, 2), dtype))
    delta = np.longdouble(loss.delta if isinstance(loss, Huber) else np.inf)
    differences = prediction.astype(np.longdouble) - target.astype(np.longdouble)
    sizes = np.abs(differences)
    small = sizes <= delta
    if isinstance(loss, Huber):
        losses = np.where(small, sizes * sizes / 2, delta * (sizes - delta / 2))
        gradients = np.where(small, differences, np.sign(differences) * delta) / 4
    else:
        losses, gradients = sizes, np.sign(differences) / 4
    limits = np.finfo(dtype)
    value, problem = attempt(lambda: loss(prediction, target))
    if problem:
        assert "too large for" in problem
        assert max(losses.max(), sizes.max()) > 0.24 * limits.max  # a sum of four
    else:
        assert value == pytest.approx(float(losses.mean()), rel=1e-5, abs=float(limits.tiny))
    with np.errstate(all="raise"):
        gradient = loss.gradient(prediction, target)
    np.testing.assert_allclose(gradient, gradients.astype(dtype), rtol=1e-6, atol=1e-37)


@settings(max_examples=40)
@given(data=st.data(), dtype=st.sampled_from([FLOAT32, FLOAT64]), squared=st.booleans())
def test_hinge_is_right_or_says_what_is_too_large(data: st.DataObject, dtype: np.dtype[Any], squared: bool) -> None:
    scores, target = data.draw(numbers((2, 2), dtype)), np.array([[1, 0], [0, 1]])
    loss, signs = Hinge(squared), np.where(target > 0, 1, -1)
    lacks = np.maximum(0, 1 - signs * scores.astype(np.longdouble))
    value, problem = attempt(lambda: loss(scores, target))
    if problem:
        assert "too large for" in problem
        most = float(np.finfo(dtype).max)
        assert lacks.max() > (0.49 * math.sqrt(most) if squared else 0.24 * most)  # a sum of four
    else:
        right = float((lacks * lacks if squared else lacks).mean())
        assert value == pytest.approx(right, rel=1e-5, abs=1e-12)  # 1 - s loses digits for s near 1
    with np.errstate(all="raise"):
        gradient = loss.gradient(scores, loss.cast_target(target, dtype))
    right = -signs * (2 * lacks if squared else lacks > 0) / 4
    np.testing.assert_allclose(gradient, right.astype(dtype), rtol=1e-6, atol=1e-37)


def test_a_delta_that_the_dtype_does_not_hold_is_refused() -> None:
    p = np.ones((1, 1), np.float32)
    for delta in (1e39, 1e-40):
        with pytest.raises(ValueError, match=r"Huber delta: .*too (large|small) for float32"):
            Huber(delta)(p, p)
        assert Huber(delta)(p.astype(float), p) == 0


def test_an_infinite_cost_of_finite_numbers_is_named() -> None:
    with pytest.raises(ValueError, match=r"MeanSquaredError: the loss is inf; numbers up to 1e\+20 in"):
        MeanSquaredError()(np.array([[1.0]], np.float32), np.array([[1e20]]))
    with pytest.raises(ValueError, match=r"MeanSquaredError target: .*received 1e\+39, too large for float32"):
        MeanSquaredError()(np.array([[1.0]], np.float32), np.array([[1e39]]))
    assert MeanSquaredError()(np.array([[1.0]]), np.array([[1e20]])) == pytest.approx(1e40)


# --------------------------------------------------------------------------------------------------------- optimizers


@settings(max_examples=50)
@given(data=st.data(), dtype=st.sampled_from([FLOAT32, FLOAT64]))
def test_clipping_is_right_at_every_size(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    a, b = data.draw(numbers((3,), dtype)), data.draw(numbers((2, 2), dtype))
    max_norm = data.draw(st.sampled_from([1e-30, 1.0, 1e10, 1e30]))
    parameters = [Parameter(np.zeros_like(x)) for x in (a, b)]
    parameters[0].grad, parameters[1].grad = a, b
    norm = math.hypot(*map(float, [*a, *b.ravel()]))
    if norm == math.inf:
        with pytest.raises(NonFiniteError, match="too large for float64"):
            clip_gradient_norm(parameters, max_norm)
        return
    kept = a.copy(), b.copy()
    with np.errstate(all="raise"):
        assert clip_gradient_norm(parameters, max_norm) == pytest.approx(norm, rel=1e-5)
    for parameter, gradient in zip(parameters, kept, strict=True):
        right = gradient.astype(np.float64) / norm * max_norm if norm > max_norm else gradient
        assert parameter.grad is not None
        assert parameter.grad.dtype == dtype
        np.testing.assert_allclose(parameter.grad, right, rtol=1e-5, atol=1e-44)
    assert np.array_equal(a, kept[0])


def test_the_norm_of_many_numbers_is_that_of_float64() -> None:
    parameter = Parameter(np.zeros((1000, 1001), np.float32))
    parameter.grad = np.full((1000, 1001), 0.1, np.float32)
    right = float(np.linalg.norm(parameter.grad.astype(np.float64)))
    assert clip_gradient_norm([parameter], 1e9) == pytest.approx(right, rel=1e-5)
    assert clip_gradient_norm([], 1.0) == 0


OPTIMIZERS: dict[str, tuple[Callable[[list[Parameter]], Optimizer], Callable[[Array, Array], Array]]] = {
    "SGD": (lambda w: SGD(w, 0.5), lambda w, g: w - 0.5 * g),
    "momentum": (lambda w: SGD(w, 0.5, momentum=0.5), lambda w, g: w - 0.5 * g),
    "Nesterov": (lambda w: SGD(w, 0.5, momentum=0.5, nesterov=True), lambda w, g: w - 0.5 * (g + 0.5 * g)),
    "Adam": (lambda w: Adam(w, 0.5), lambda w, g: w - 0.5 * g / (np.abs(g) + 1e-8)),
    "AdamW": (lambda w: AdamW(w, 0.5, weight_decay=0.5), lambda w, g: 0.75 * w - 0.5 * g / (np.abs(g) + 1e-8)),
    "NAdam": (lambda w: NAdam(w, 0.5, betas=(0.0, 0.9)), lambda w, g: w - 0.5 * g / (np.abs(g) + 1e-8)),
    "RMSProp": (lambda w: RMSProp(w, 0.5, alpha=0.75), lambda w, g: w - 0.5 * g / (np.abs(g) / 2 + 1e-8)),
    "centered": (
        lambda w: RMSProp(w, 0.5, alpha=0.5, centered=True, momentum=0.5),
        lambda w, g: w - 0.5 * g / (np.abs(g) / 2 + 1e-8),
    ),
    "Adagrad": (lambda w: Adagrad(w, 0.5), lambda w, g: w - 0.5 * g / (np.abs(g) + 1e-10)),
    "Lion": (lambda w: Lion(w, 0.5, betas=(0.5, 0.9)), lambda w, g: w - 0.5 * np.sign(np.float32(0.5) * np.float32(g))),
    "clipped": (lambda w: SGD(w, 0.5, max_gradient_norm=1.0), lambda w, g: w - 0.5 * g / max(1, math.hypot(*g))),
}

LINEAR = {"SGD", "momentum", "Nesterov", "clipped"}  # in the gradient; the others' steps are bounded
SQUARING = OPTIMIZERS.keys() - LINEAR - {"Lion"}


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(max_examples=40)
@given(w=numbers((2,), largest=1e38), g=numbers((2,)))
def test_a_step_is_right_at_every_size_or_says_what_is_too_large(name: str, w: Array, g: Array) -> None:
    make, formula = OPTIMIZERS[name]
    parameter = Parameter(w)
    parameter.grad = g.copy()
    optimizer = make([parameter])
    _, problem = attempt(optimizer.step)
    if problem:
        assert problem.startswith(f"{type(optimizer).__name__} parameters[0]: ")
        assert "too large for float32" in problem
        assert np.abs(g).max() > (1e18 if name in SQUARING else 1e38)
    else:
        right = formula(w.astype(np.float64), g.astype(np.float64))
        size = np.abs(w.astype(np.float64)) + (np.abs(g.astype(np.float64)) if name in LINEAR else 1)
        assert np.isfinite(parameter.data).all()
        assert (np.abs(parameter.data - right) <= 1e-5 * size + 2e-45).all()  # float32 counts in steps of 1.4e-45
    assert np.array_equal(parameter.grad, g)


def test_an_overflow_in_one_block_of_a_large_parameter_is_named() -> None:
    parameter = Parameter(np.zeros((1000, 300), np.float32))
    parameter.grad = np.zeros((1000, 300), np.float32)
    parameter.grad[777, 7] = 1e20
    with pytest.raises(NonFiniteError, match=r"Adam parameters\[0.weight\]: a gradient of up to 1e\+20 .*for float32"):
        Adam([("0.weight", parameter)]).step()
    SGD([parameter]).step()
    assert np.isfinite(parameter.data).all()


@pytest.mark.parametrize("kind", [Adam, NAdam, RMSProp, Adagrad])
@pytest.mark.parametrize(("dtype", "epsilon"), [(FLOAT32, 1e-20), (FLOAT32, 1e39), (FLOAT64, 1e-200)])
def test_an_epsilon_that_no_root_can_be_computed_with_is_refused(
    kind: Any, dtype: np.dtype[Any], epsilon: float
) -> None:
    with pytest.raises(ValueError, match=f"^{kind.__name__} epsilon: .*too (small|large) for {dtype}"):
        kind([Parameter(np.zeros(1, dtype))], epsilon=epsilon)


def test_training_answers_an_overflow_in_a_step_like_any_other() -> None:
    x, y = np.array([[1e10], [2e10]], np.float32), [[0.0], [1e9]]
    model = Sequential(Dense(1, 1, rng=0))
    trainer = Trainer(model, MeanSquaredError(), Adam(model.parameters()))
    with pytest.raises(NonFiniteError, match=r"epoch 0: .*Adam parameters.*too large for float32"):
        trainer.fit(x, y, 3, print_every=None)
    assert np.array_equal(model[0].weight.data, Sequential(Dense(1, 1, rng=0))[0].weight.data)


# ---------------------------------------------------------------------------------------------------------- underflow


def check_underflow_is_zero(function: Callable[[], Any], right: Any = None) -> None:
    """Run it in a program that has asked for errors, and look whether its settings are as they were."""
    with np.errstate(all="raise"):
        settings_before = np.geterr()
        result = function()
        assert np.geterr() == settings_before
    if right is not None:
        np.testing.assert_allclose(result, right, atol=1e-6)


small = np.array([[-800.0, 1e-30], [800.0, -1e-30], [1e-38, -100.0]], np.float32)


@pytest.mark.parametrize("name", [name for name in LAYERS if len(LAYERS[name][1]) == 2])
def test_layers_let_small_numbers_become_0(name: str) -> None:
    make, shape = LAYERS[name]
    layer = make(FLOAT32)
    x = np.resize(small, (4, shape[1])).astype(np.float32)
    with np.errstate(all="ignore"):
        right = make(FLOAT32)(x)
    check_underflow_is_zero(lambda: layer(x), right)
    gradient = np.full(right.shape, 1e-30, np.float32)
    gradient[0] = 1e-45
    check_underflow_is_zero(lambda: layer.backward(gradient))
    check_underflow_is_zero(lambda: layer.predict(x))


@pytest.mark.parametrize("name", [name for name in LAYERS if len(LAYERS[name][1]) == 4])
def test_layers_of_pictures_let_small_numbers_become_0(name: str) -> None:
    make, _ = LAYERS[name]
    x = np.random.default_rng(0).standard_normal((8, 64, 64, 2)).astype(np.float32) * np.float32(1e-38)
    layer = make(FLOAT32)
    check_underflow_is_zero(lambda: layer(x))  # also in the threads that share the work
    gradient = np.full(make(FLOAT32)(x).shape, 1e-38, np.float32)
    check_underflow_is_zero(lambda: layer.backward(gradient))


def test_an_invalid_value_that_a_product_flags_is_no_error() -> None:
    class Flags(Module):
        """Raises the flag that a BLAS raises at random, and returns what is right."""

        def forward(self, x: Array) -> Array:
            np.subtract(np.inf, np.inf)
            return 2 * x

    with np.errstate(all="raise"):
        assert Flags()([[1.0]]).tolist() == [[2.0]]
        assert Flags().predict([[1.0]]).tolist() == [[2.0]]


def test_batch_norm_of_pictures_lets_small_numbers_become_0() -> None:
    gradient = np.random.default_rng(0).standard_normal((8, 64, 64, 2)).astype(np.float32)
    x = gradient * np.float32(1e-30)
    layer = BatchNorm(2)
    check_underflow_is_zero(lambda: layer(x))
    check_underflow_is_zero(lambda: layer.backward(gradient))


def test_functions_let_small_numbers_become_0() -> None:
    z = np.array([[-800.0, 0.0], [800.0, 1e-30]], np.float32)
    check_underflow_is_zero(lambda: functional.sigmoid(z), [[0, 0.5], [1, 0.5]])
    check_underflow_is_zero(lambda: functional.softplus(z), [[0, math.log(2)], [800, math.log(2)]])
    check_underflow_is_zero(lambda: functional.logsumexp(z), [0, 800])
    check_underflow_is_zero(lambda: functional.softmax(z), [[0, 1], [1, 0]])
    wide = np.array([3e38, -3e38, -np.inf], np.float32)
    check_underflow_is_zero(lambda: functional.softmax(wide), [1, 0, 0])
    check_underflow_is_zero(lambda: functional.logsumexp(wide) / 3e38, 1)


LOSSES: list[tuple[Loss, Array, Array]] = [
    (BinaryCrossEntropy(), np.array([[1e-30], [1.0]], np.float32), np.array([[0.0], [1e-30]], np.float32)),
    (BinaryCrossEntropy(True), np.array([[-800.0], [90.0]], np.float32), np.array([[0.0], [1.0]], np.float32)),
    (BinaryCrossEntropy(True, 1e-30), np.array([[-90.0], [90.0]], np.float32), np.array([[1.0], [1.0]], np.float32)),
    (SoftmaxCrossEntropy(), np.array([[-800.0, 0.0], [99.0, 0.0]], np.float32), np.array([1, 0])),
    (SoftmaxCrossEntropy(from_logits=False), np.array([[1.0, 0.0]], np.float32), np.array([[1 - 1e-7, 1e-38]])),
    (MeanSquaredError(), np.array([[1e-30], [2e-45]], np.float32), np.array([[0.0], [0.0]], np.float32)),
    (MeanAbsoluteError(), np.array([[1e-30], [2e-45]], np.float32), np.array([[0.0], [0.0]], np.float32)),
    (Huber(1e-30), np.array([[1e-30], [2e-45]], np.float32), np.array([[0.0], [0.0]], np.float32)),
    (Hinge(squared=True), np.array([[1 - 1e-7], [-1e-45]], np.float32), np.array([[1.0], [0.0]], np.float32)),
]


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: repr(case[0]))
def test_losses_let_small_numbers_become_0(case: tuple[Loss, Array, Array]) -> None:
    loss, prediction, target = case
    cast_target = loss.cast_target(target, prediction.dtype)
    with np.errstate(all="ignore"):
        right = loss.value(prediction, cast_target), loss.gradient(prediction, cast_target)
    check_underflow_is_zero(lambda: loss(prediction, target), right[0])
    check_underflow_is_zero(lambda: loss.value(prediction, cast_target), right[0])
    check_underflow_is_zero(lambda: loss.gradient(prediction, cast_target), right[1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_let_small_numbers_become_0(name: str) -> None:
    parameter = Parameter(np.full(3, 1e-38, np.float32))
    parameter.grad = np.array([1e-30, 1e-45, -1e-38], np.float32)
    optimizer = OPTIMIZERS[name][0]([parameter])
    check_underflow_is_zero(optimizer.step)
    check_underflow_is_zero(optimizer.step)
    check_underflow_is_zero(lambda: clip_gradient_norm([parameter], 1e-40))


def test_a_hand_written_loop_and_the_trainer_let_small_numbers_become_0() -> None:
    x, y = np.array([[-800.0, 1e-20], [800.0, 1e-20]], np.float32), np.array([[0.0], [1.0]], np.float32)
    model = mlp([2, 3, 1], rng=0)
    model[2].weight.data[:] = 1e-30
    loss, optimizer = BinaryCrossEntropy(), Adam(model.parameters())

    def loop() -> None:
        for _ in range(3):
            output = model(x)
            loss(output, y)
            model.backward(loss.gradient(output, y))
            optimizer.step()

    check_underflow_is_zero(loop)
    trainer = Trainer(model, loss, optimizer)
    check_underflow_is_zero(lambda: trainer.fit(x, y, 3, print_every=None)["loss"])
    check_underflow_is_zero(lambda: trainer.evaluate(x, y)["loss"])
    check_underflow_is_zero(lambda: model.predict(x))


def test_overflow_stays_what_the_program_asked_for() -> None:
    x = np.array([[3e38]], np.float32)
    layer = LeakyReLU(-3.0)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        layer(-x)
    with np.errstate(over="ignore"):
        assert layer(-x) == np.inf
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        layer(-x)
    assert len(said) == 1


def test_errors_of_each_thread_are_off_while_it_needs_it_and_no_longer() -> None:
    inside, entered, seen = threading.Event(), threading.Event(), []

    @without_false_alarms
    def wait() -> None:
        entered.set()
        inside.wait(10)

    def other() -> None:
        with np.errstate(under="raise"):
            wait()
            seen.append(np.geterr()["under"])

    with np.errstate(under="warn"):
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(10)
        assert np.geterr()["under"] == "warn"
        assert without_false_alarms(np.geterr)()["under"] == "ignore"
        inside.set()
        thread.join()
        assert np.geterr()["under"] == "warn"
    assert seen == ["raise"]

    @without_false_alarms
    def fail() -> None:
        raise KeyError("as any function may")

    with np.errstate(under="raise"):
        with pytest.raises(KeyError):
            fail()
        with pytest.raises(FloatingPointError):
            np.exp(np.float32(-1000))


def test_evaluation_mode_is_right_at_every_size_too() -> None:
    x = np.array([[1e20, -1e20], [3e38, 3e38]], np.float32)
    with calling(training=False), np.errstate(all="raise"):
        np.testing.assert_allclose(LayerNorm(2)(x[:1]), [[1, -1]], rtol=1e-6)
        np.testing.assert_allclose(BatchNorm(2, epsilon=1e-5)(x[:1]), x[:1] / np.sqrt(1 + 1e-5), rtol=1e-6)
        assert Dropout(0.5)(x).tolist() == x.tolist()


# --------------------------------------------------------------------------------------- first weights and schedules


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("shape", [(1, 1), (3, 100_000), (2, 3, 3, 4)])
def test_first_weights_are_finite(name: str, shape: tuple[int, ...]) -> None:
    for dtype in (FLOAT32, FLOAT64):
        weight = initial_weight(name, shape, np.random.default_rng(0), dtype)
        assert weight.dtype == dtype
        assert np.isfinite(weight).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (1e39, r"weight_init: expected numbers up to 3.4e\+38 in size, received 1e\+39, too large for float32"),
        (np.nan, "weight_init: expected finite numbers, received NaN or infinity, first in row 0"),
        (np.inf, "weight_init: expected finite numbers"),
        (None, "weight_init: expected numbers in a rectangular array"),
        ("a", "weight_init: expected numbers, received dtype <U1"),
    ],
)
def test_first_weights_that_no_layer_can_use_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dense(2, 1, weight_init=lambda shape, rng: np.full(shape, values))


def test_schedules_are_finite_or_say_that_a_rate_is_too_large() -> None:
    growing = step_decay(1.0, factor=10.0, every=1)
    assert growing(300) == pytest.approx(1e300)
    for schedule, epoch in ((growing, 400), (growing, 10**6), (step_decay(1e300, factor=2.0, every=1), 40)):
        with pytest.raises(ValueError, match=f"step_decay: the learning rate of epoch {epoch} is too large"):
            schedule(epoch)
    assert step_decay(1.0, factor=0.1, every=1)(1000) == 0
    assert cosine(1.7e308, 0.0, 10)(0) == 1.7e308
    assert warm_up(cosine(1.7e308, 0.0, 10), 9)(8) == pytest.approx(1.53e308)


def test_the_learning_rate_may_be_0() -> None:
    schedule = cosine(0.5, final=0.0, epochs=4)
    parameter = Parameter(np.ones(2))
    parameter.grad = np.ones(2)
    for kind in (SGD, Adam, AdamW, NAdam, RMSProp, Adagrad, Lion):
        optimizer = kind([parameter], learning_rate=0)
        optimizer.learning_rate = schedule(7)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        assert optimizer.learning_rate == 0
        assert parameter.data.tolist() == [1, 1]
