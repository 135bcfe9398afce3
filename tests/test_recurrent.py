"""LSTM, GRU and pooling over time: beside plain loops, with padding at any place, and step by step."""

from __future__ import annotations

from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    GRU,
    LSTM,
    Dense,
    Embedding,
    GlobalAveragePool1D,
    GlobalMaxPool1D,
    LayerInputError,
    Masked,
    Sequential,
    lstm_classifier,
    streaming,
)
from minidl._typing import Array
from minidl.testing import gradcheck

DOUBLE: Any = {"dtype": np.float64}
KINDS = pytest.mark.parametrize("kind", [LSTM, GRU], ids=lambda kind: kind.__name__)
POOLS = pytest.mark.parametrize("kind", [GlobalAveragePool1D, GlobalMaxPool1D], ids=lambda kind: kind.__name__)


@st.composite
def padded_sequences(draw: st.DrawFn) -> tuple[Array, Array]:
    """Sequences (batch, time, 3), and which of their steps are real: any of them, at least one."""
    n, time = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    mask = np.array(draw(st.lists(st.lists(st.booleans(), min_size=time, max_size=time), min_size=n, max_size=n)))
    mask[~mask.any(axis=1), draw(st.integers(0, time - 1))] = True
    x = np.random.default_rng(draw(seeds)).standard_normal((n, time, 3))
    x[~mask] = 0
    return x, mask


def weights_of(layer: Any, direction: str) -> list[Array]:
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return [getattr(layer, name + direction).data for name in names]


@KINDS
@settings(max_examples=30)
@given(batch=padded_sequences(), both=st.booleans(), units=st.integers(1, 3), seed=seeds)
def test_outputs_and_last_states_are_those_of_loops(
    kind: Any, batch: tuple[Array, Array], both: bool, units: int, seed: int
) -> None:
    x, mask = batch
    layer = kind(3, units, bidirectional=both, rng=seed, **DOUBLE)
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    last = kind(3, units, bidirectional=both, return_sequence=False, **DOUBLE)
    last.load_state_dict(layer.state_dict())
    found = [
        naive.recurrent(x, mask, weights_of(layer, direction), gru=kind is GRU, backwards=direction != "")
        for direction in (["", "_reverse"] if both else [""])
    ]
    np.testing.assert_allclose(Masked(layer)(x), np.concatenate([y for y, _ in found], axis=2), rtol=1e-10, atol=1e-12)
    states = np.concatenate([state for _, state in found], axis=1)
    np.testing.assert_allclose(Masked(last)(x), states, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LSTM(2, 3, rng=1, **DOUBLE),
        lambda: LSTM(2, 3, bidirectional=True, return_sequence=False, rng=1, **DOUBLE),
        lambda: GRU(2, 3, bidirectional=True, rng=1, **DOUBLE),
        lambda: GRU(2, 3, return_sequence=False, rng=1, **DOUBLE),
        GlobalAveragePool1D,
        GlobalMaxPool1D,
    ],
    ids=lambda make: repr(make()),
)
@settings(max_examples=15)
@given(data=st.data(), seed=seeds)
def test_gradients_beside_padding(make: Any, data: st.DataObject, seed: int) -> None:
    n, time = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    tokens = np.random.default_rng(seed).integers(0, 4, (n, time))
    tokens[:, data.draw(st.integers(0, time - 1))] = 3  # padding is 0
    # Tokens, since sequences of features would no longer be padding where they are moved.
    gradcheck(Masked(Embedding(4, 2, rng=seed, **DOUBLE), make(), padding=0), tokens, rng=seed)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LSTM(2, 3, bidirectional=True, return_sequence=False, rng=1),
        lambda: GRU(2, 3, bidirectional=True, return_sequence=False, rng=1),
        GlobalAveragePool1D,
        GlobalMaxPool1D,
    ],
    ids=lambda make: repr(make()),
)
def test_the_number_of_padded_steps_changes_nothing(make: Any) -> None:
    network = Masked(make())
    x = np.random.default_rng(0).standard_normal((3, 4, 2), dtype=np.float32)
    padded = np.concatenate([np.zeros((3, 2, 2), np.float32), x, np.zeros((3, 5, 2), np.float32)], axis=1)
    np.testing.assert_allclose(network(padded), network(x), rtol=1e-5)
    upstream = np.random.default_rng(1).standard_normal(network(x).shape, dtype=np.float32)
    network(x)
    short = network.backward(upstream), [parameter.grad for parameter in network.parameters()]
    network(padded)
    gradient = network.backward(upstream)
    np.testing.assert_allclose(gradient[:, 2:6], short[0], rtol=1e-4, atol=1e-6)
    assert not gradient[:, :2].any()
    assert not gradient[:, 6:].any()
    for parameter, grad in zip(network.parameters(), short[1], strict=True):
        assert parameter.grad is not None
        assert grad is not None
        np.testing.assert_allclose(parameter.grad, grad, rtol=1e-4, atol=1e-5)


@KINDS
@settings(max_examples=20)
@given(steps=st.lists(st.integers(1, 3), min_size=1, max_size=4), sequence=st.booleans())
def test_streaming_goes_on_where_the_last_call_ended(kind: Any, steps: list[int], sequence: bool) -> None:
    model = Sequential(kind(2, 3, rng=0, **DOUBLE), kind(3, 2, return_sequence=sequence, rng=1, **DOUBLE))
    x = np.random.default_rng(0).standard_normal((2, sum(steps), 2))
    whole, ends = model(x), np.cumsum(steps)
    for _ in range(2):  # each block begins anew
        with streaming():
            parts = [model(part) for part in np.split(x, ends[:-1], axis=1)]
        streamed = np.concatenate(parts, axis=1) if sequence else parts[-1]
        np.testing.assert_allclose(streamed, whole, rtol=1e-12)
    np.testing.assert_array_equal(model(x), whole)


@KINDS
def test_what_cannot_be_streamed_is_answered_by_an_error(kind: Any) -> None:
    x = np.zeros((2, 3, 4), np.float32)
    with streaming(), pytest.raises(LayerInputError, match=r"layer 1, .*expected whole sequences.*both directions"):
        Sequential(Dense(4, 4), kind(4, 2, bidirectional=True))(x)
    layer = kind(4, 2)
    with streaming():
        layer(x)
        with pytest.raises(LayerInputError, match=r"expected the 2 sequences that streaming\(\) has begun with"):
            layer(x[:1])
        assert layer(x).shape == (2, 3, 2)


@KINDS
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 0, 3)), "expected at least one sample and step, received an empty batch (2, 0, 3)"),
        (np.zeros((0, 2, 3)), "expected at least one sample and step, received an empty batch (0, 2, 3)"),
        (np.zeros((2, 3)), "a single sequence still needs its batch axis: pass x[None]"),
        (np.zeros((2, 3), int), "tokens need an Embedding before this layer"),
        (np.zeros((2, 4, 5)), "expected (batch, time, 3), received (2, 4, 5)"),
        (np.zeros((2, 4, 4, 3)), "expected (batch, time, 3), received (2, 4, 4, 3)"),
    ],
)
def test_wrong_sequences_are_answered_by_one_error(kind: Any, x: Array, message: str) -> None:
    with pytest.raises(LayerInputError) as error:
        Sequential(kind(3, 2))(x)
    assert message in str(error.value)
    assert f"{kind.__name__}(3 -> 2)" in str(error.value)


def test_first_values() -> None:
    lstm, gru = LSTM(400, 9, rng=0, bidirectional=True), GRU(400, 9, rng=0)
    for direction in ("", "_reverse"):
        w_ih, w_hh, b_ih, b_hh = weights_of(lstm, direction)
        assert w_ih.std() == pytest.approx(1 / 20, rel=0.1)
        np.testing.assert_allclose(w_hh.T @ w_hh, np.eye(9), atol=1e-6)
        assert b_ih.reshape(4, 9).tolist() == [[0] * 9, [1] * 9, [0] * 9, [0] * 9]
        assert not b_hh.any()
    assert not any(gru.state_dict()[name].any() for name in ("bias_ih_l0", "bias_hh_l0"))
    ones = LSTM(2, 3, weight_init="zeros", recurrent_init=lambda shape, _: np.ones(shape))
    assert [array.mean() for array in weights_of(ones, "")[:2]] == [0, 1]


@KINDS
@pytest.mark.parametrize("size", [1e4, 1e30, 1e300])
def test_saturated_gates_are_exact(kind: Any, size: float) -> None:
    dtype = np.float64 if size > 1e38 else np.float32
    layer = kind(1, 1, weight_init=lambda shape, _: np.ones(shape), rng=0, dtype=dtype)
    x = np.array([[[size], [size]], [[-size], [-size]]], dtype)
    with np.errstate(all="raise"):
        y = layer(x)
        gradient = layer.backward(np.ones_like(y))
    # An LSTM's open gates add 1 to the cell at each step; a GRU's state stays as it is, or becomes the candidate.
    expected = [[np.tanh(1), np.tanh(2)], [0, 0]] if kind is LSTM else [[0, 0], [-1, -1]]
    np.testing.assert_allclose(y[..., 0], expected, rtol=1e-6, atol=1e-30)
    assert not gradient.any()


@KINDS
@settings(max_examples=10)
@given(both=st.booleans(), scale=st.sampled_from([1e-20, 1e-3, 1.0, 10.0]), seed=seeds)
def test_float32_gradients_over_many_steps(kind: Any, both: bool, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (scale * rng.standard_normal((3, 70, 5))).astype(np.float32)
    single = kind(5, 16, bidirectional=both, rng=seed)
    double = kind(5, 16, bidirectional=both, **DOUBLE)
    double.load_state_dict(single.state_dict())
    with np.errstate(all="raise"):
        y, exact = single(x), double(x)
        upstream = rng.standard_normal(y.shape)
        gradient, right = single.backward(upstream.astype(np.float32)), double.backward(upstream)
    # Rounding of the gates' arguments, as large as x, moves all that follows.
    allowed = 1e-5 * (1 + scale)
    np.testing.assert_allclose(y, exact, rtol=0, atol=allowed)
    np.testing.assert_allclose(gradient, right, rtol=0, atol=allowed * abs(right).max())
    for name, parameter in single.named_parameters():
        expected = getattr(double, name).grad
        np.testing.assert_allclose(parameter.grad, expected, rtol=0, atol=allowed * (1 + abs(expected).max()))


@POOLS
@settings(max_examples=30)
@given(batch=padded_sequences())
def test_pooling_over_the_real_steps(kind: Any, batch: tuple[Array, Array]) -> None:
    x, mask = batch
    pooled = np.mean if kind is GlobalAveragePool1D else np.max
    expected = [pooled(sequence[real], axis=0) for sequence, real in zip(x, mask, strict=True)]
    np.testing.assert_allclose(Masked(kind())(x), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kind()(x), pooled(x, axis=1), rtol=1e-12, atol=1e-14)


def test_the_mean_of_many_steps_is_exact_in_float32() -> None:
    x = np.full((1, 100_000, 2), 0.1, np.float32)
    np.testing.assert_allclose(GlobalAveragePool1D()(x), 0.1, rtol=1e-5)
    largest = np.full((1, 7, 1), 3e38, np.float32)
    np.testing.assert_allclose(GlobalAveragePool1D()(largest), 3e38, rtol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_lstm_classifier(bidirectional: bool) -> None:
    sizes: Any = {"features": 4, "units": 5, "bidirectional": bidirectional, "dropout": 0.5}
    model = lstm_classifier(7, 3, **sizes, padding=6, rng=0)
    tokens = np.array([[1, 0, 5, 6], [2, 6, 6, 6]])
    logits = model.predict(tokens)
    assert logits.shape == (2, 3)
    np.testing.assert_allclose(model.predict(tokens[1:, :1]), logits[1:], rtol=1e-5)
    assert (model(tokens) != logits).any()  # Dropout
    assert [name for name, _ in model.named_parameters()][:2] == ["0.weight", "1.weight_ih_l0"]
