"""Layers of sequences: against plain loops, with padding, in blocks, and step by step."""

from __future__ import annotations

import math
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import arrays, seeds, sizes

from minidl import (
    GRU,
    LSTM,
    Adam,
    AveragePool1D,
    Conv1D,
    Dense,
    Embedding,
    GlobalAveragePool1D,
    Masked,
    MaxPool1D,
    Module,
    PositionalEmbedding,
    ReLU,
    Residual,
    SelfAttention,
    Sequential,
    Softmax,
    SoftmaxCrossEntropy,
    Trainer,
    TransformerBlock,
    load,
    save,
    streaming,
)
from minidl._typing import Array
from minidl.architecture import BUILT_IN
from minidl.building import build
from minidl.errors import LayerInputError, ModelFileError
from minidl.layers._masks import mask_of
from minidl.models import transformer
from minidl.ops import tuning
from minidl.testing import gradcheck

DOUBLE: Any = {"dtype": np.float64}


class MeanOfSteps(Module):
    """The mean over real steps, as a user's layer that asks for the mask."""

    def forward(self, x: Array) -> Array:
        mask = mask_of(self, x)
        real = np.ones(x.shape[:2], bool) if mask is None else mask
        weights = (real / real.sum(axis=1, keepdims=True))[..., None].astype(x.dtype)
        self.save_for_backward(weights)
        mean: Array = (x * weights).sum(axis=1)
        return mean

    def backward(self, grad_output: Array) -> Array:
        (weights,) = self.saved_for_backward()
        return np.asarray(grad_output[:, None] * weights)


def plain_attention(layer: SelfAttention, x: Array, real: Array) -> Array:
    """Return what the layer computes, a number at a time."""
    n, steps, features = x.shape
    width = features // layer.heads
    weight, bias = layer.in_proj_weight.data, layer.in_proj_bias
    y = np.zeros_like(x)
    for i in range(n):
        qkv = [weight @ x[i, t] + (0 if bias is None else bias.data) for t in range(steps)]
        for t in range(steps):
            for head in range(layer.heads):
                part = slice(head * width, (head + 1) * width)
                q = qkv[t][:features][part]
                seen = [s for s in range(steps) if real[i, s] and (s <= t or not layer.causal)]
                scores = [float(q @ qkv[s][features : 2 * features][part]) / math.sqrt(width) for s in seen]
                exponentials = [math.exp(score - max(scores)) for score in scores]
                for s, e in zip(seen, exponentials, strict=True):
                    y[i, t, part] += e / sum(exponentials) * qkv[s][2 * features :][part]
    return layer.out_proj(y)


@st.composite
def attentions(draw: st.DrawFn) -> tuple[SelfAttention, Array, Array]:
    """An attention layer, sequences, and which steps of them are real, at least one of each."""
    heads, width, n, steps = (draw(st.integers(1, 3)) for _ in range(4))
    layer = SelfAttention(heads * width, heads, causal=draw(st.booleans()), bias=draw(st.booleans()), rng=0, **DOUBLE)
    scale = draw(st.sampled_from([1.0, 30.0]))  # with scores that are shifted before their exponentials, too
    layer.in_proj_weight.data *= scale
    real = np.random.default_rng(draw(seeds)).random((n, steps)) < 0.6
    real[np.arange(n), np.random.default_rng(draw(seeds)).integers(steps, size=n)] = True
    return layer, draw(arrays((n, steps, heads * width), -3, 3)), real


@given(attentions())
def test_attention_against_loops(case: tuple[SelfAttention, Array, Array]) -> None:
    layer, x, _ = case
    expected = plain_attention(layer, x, np.ones(x.shape[:2], bool))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-9, atol=1e-9)


@given(attentions(), st.integers(1, 40))
def test_attention_in_blocks_with_padding(case: tuple[SelfAttention, Array, Array], block: int) -> None:
    layer, x, real = case
    x = np.where(real[..., None], x, 99.0)
    x[real] += 1e-3 * (x[real] == 99.0)
    masked = Masked(layer, padding=99.0)
    y = masked(x)
    np.testing.assert_allclose(y[real], plain_attention(layer, x, real)[real], rtol=1e-9, atol=1e-9)
    assert np.isfinite(y).all()  # where nothing is visible, too
    upstream = np.random.default_rng(0).standard_normal(x.shape)
    expected = [masked.backward(upstream), *(p.grad for p in layer.parameters())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "TUNING", tuning.TUNING._replace(cache_block=block))
        np.testing.assert_allclose(masked(x), y, rtol=1e-12, atol=1e-12)
        received = [masked.backward(upstream), *(p.grad for p in layer.parameters())]
    for one, other in zip(received, expected, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@settings(max_examples=20)
@given(attentions())
def test_gradients_of_attention_with_padding(case: tuple[SelfAttention, Array, Array]) -> None:
    layer, x, real = case

    class Padded(Masked):
        def forward(self, x: Array) -> Array:
            return np.where(real[..., None], super().forward(np.where(real[..., None], x, 99.0)), 0)

        def backward(self, grad_output: Array) -> Array:
            return np.where(real[..., None], super().backward(np.where(real[..., None], grad_output, 0)), 0)

    assert gradcheck(Padded(layer, padding=99.0), x, rng=0) < 1e-5


def test_scores_of_long_sequences_are_not_in_memory_at_once() -> None:
    layer = SelfAttention(8, 1, causal=True, rng=0)
    x = np.random.default_rng(0).standard_normal((1, 3000, 8)).astype(np.float32)
    tracemalloc.start()
    layer(x)
    layer.backward(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 3000 * 4 / 4


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 7), seeds)
def test_embedding_against_loops(tokens: int, features: int, n: int, seed: int) -> None:
    layer = Embedding(tokens, features, rng=seed, **DOUBLE)
    rng = np.random.default_rng(seed)
    x, g = rng.integers(tokens, size=(n, 3)), rng.standard_normal((n, 3, features))
    np.testing.assert_array_equal(layer(x), [[layer.weight.data[token] for token in row] for row in x])
    assert not layer.backward(g).any()
    expected = np.zeros((tokens, features))
    for i in range(n):
        for t in range(3):
            expected[x[i, t]] += g[i, t]
    assert layer.weight.grad is not None
    np.testing.assert_allclose(layer.weight.grad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, 5]], r"expected token numbers from 0 to 4, received 5 in row 0 of \(1, 2\)"),
        ([[0, 1], [-1, 0]], r"expected token numbers from 0 to 4, received -1 in row 1 of \(2, 2\)"),
        ([[0.5, 1.0]], r"expected token numbers from 0 to 4, received 0.5 in row 0"),
        ([[np.nan, 1.0]], "expected token numbers from 0 to 4, received nan in row 0"),
        ([[np.inf, 1.0]], "expected token numbers from 0 to 4, received inf in row 0"),
        ([[True, False]], "expected token numbers, received dtype bool"),
        (np.zeros((2, 0), int), r"expected at least one token, received shape \(2, 0\)"),
    ],
)
def test_tokens_that_are_none(x: Any, message: str) -> None:
    model = Sequential(Embedding(5, 2, rng=0))
    with pytest.raises(LayerInputError, match=rf"^0 Embedding\(5 -> 2\): {message}|layer 0.*{message}"):
        model(x)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
def test_sinusoidal_positions(n: int, steps: int, features: int) -> None:
    y = PositionalEmbedding(9, features, kind="sinusoidal", **DOUBLE)(np.zeros((n, steps, features)))
    for t in range(steps):
        for i in range(features):
            angle = t / 10000 ** ((i - i % 2) / features)
            assert y[-1, t, i] == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-12)


def test_only_reached_positions_have_a_gradient() -> None:
    layer = PositionalEmbedding(4, 2, rng=0, **DOUBLE)
    layer(np.zeros((3, 2, 2)))
    layer.backward(np.ones((3, 2, 2)))
    assert layer.weight is not None
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[3, 3], [3, 3], [0, 0], [0, 0]]


def padded_network(padding: float = 0) -> Masked:
    return Masked(
        Embedding(6, 4, rng=0, **DOUBLE),
        PositionalEmbedding(9, 4, rng=1, **DOUBLE),
        TransformerBlock(4, 2, rng=2, **DOUBLE),
        Residual(SelfAttention(4, 1, causal=True, rng=3, **DOUBLE)),
        Residual(Conv1D(4, 4, 3, padding="same", rng=5, **DOUBLE)),
        Residual(Conv1D(4, 4, 2, padding="causal", dilation=2, groups=4, rng=6, **DOUBLE)),
        MeanOfSteps(),
        Dense(4, 2, rng=4, **DOUBLE),
        padding=padding,
    )


@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=4), st.integers(0, 3))
def test_padding_changes_nothing(sequences: list[list[int]], more: int) -> None:
    model = padded_network()
    steps = max(map(len, sequences)) + more
    batch = np.array([row + [0] * (steps - len(row)) for row in sequences])
    y = model(batch)
    upstream = np.random.default_rng(0).standard_normal(y.shape)
    model.backward(upstream)
    gradients = [p.grad.copy() for p in model.parameters() if p.grad is not None]
    totals = [np.zeros_like(gradient) for gradient in gradients]
    for row, expected, g in zip(sequences, y, upstream, strict=True):
        np.testing.assert_allclose(model(np.array([row]))[0], expected, rtol=1e-9, atol=1e-9)
        model.backward(g[None])
        for total, parameter in zip(totals, model.parameters(), strict=True):
            assert parameter.grad is not None
            total += parameter.grad
    for total, gradient in zip(totals, gradients, strict=True):
        np.testing.assert_allclose(total, gradient, rtol=1e-8, atol=1e-8)


@given(st.data(), st.sampled_from([0.0, -1.0, 0.5]))
def test_a_step_is_padding_if_all_its_features_are(data: st.DataObject, padding: float) -> None:
    real = data.draw(
        st.lists(st.booleans(), min_size=2, max_size=5).filter(lambda steps: any(steps) and not all(steps))
    )
    x = np.full((1, len(real), 2), padding)
    x[0, real, 1] = 2.0  # the first feature of real steps is the padding number, too
    seen: list[Array] = []

    class Look(Module):
        def forward(self, x: Array) -> Array:
            mask = mask_of(self, x)
            assert mask is not None
            seen.append(mask)
            return x

    Masked(Look(), padding=padding)(x)
    assert seen[0].tolist() == [real]


def test_a_mask_ends_with_its_container_also_by_an_error() -> None:
    attention = SelfAttention(2, 1, rng=0)
    x = np.ones((1, 3, 2), np.float32)
    with pytest.raises(LayerInputError):
        Masked(Dense(3, 2, rng=0))(x)
    np.testing.assert_array_equal(attention(x), attention(x))
    short = Sequential(Masked(Dense(2, 2, rng=0)), attention)
    assert short(x).shape == x.shape


def test_threads_do_not_see_each_others_masks() -> None:
    model, ends = padded_network(), threading.Event()
    batches = [np.array([[1, 2, 3, 0, 0]]), np.array([[1, 2, 3, 4, 5]])]
    expected = [model.predict(batch) for batch in batches]
    wrong: list[Array] = []

    def predict(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(model.predict(batches[i]), expected[i]):
                wrong.append(batches[i])
        ends.set()

    threads = [threading.Thread(target=predict, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends.is_set()
    assert not wrong


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1, 2], [0, 0]], r"at least one step that is not the padding 0, received none in row 1 of \(2, 2\)"),
        ([1, 2], r"expected \(batch, time\) or \(batch, time, features\), received \(2,\)"),
        (np.ones((1, 2, 3, 4)), r"expected \(batch, time\) or \(batch, time, features\), received \(1, 2, 3, 4\)"),
    ],
)
def test_masks_that_cannot_be(x: Any, message: str) -> None:
    with pytest.raises(LayerInputError, match=message):
        padded_network()(x)


def test_a_changed_number_of_steps_is_named() -> None:
    class EverySecond(Module):
        def forward(self, x: Array) -> Array:
            return x[:, ::2]

    model = Sequential(Masked(EverySecond(), SelfAttention(2, 1, rng=0), padding=0))
    message = r"0\.1.*expected sequences \(batch, time\) of the mask's shape \(1, 4\), received \(1, 2\)"
    with pytest.raises(LayerInputError, match=message):
        model(np.array([[[1.0, 1.0]] * 3 + [[0.0, 0.0]]], np.float32))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), sizes, seeds)
def test_a_sequence_can_be_streamed(cuts: list[int], n: int, seed: int) -> None:
    model = transformer(7, length=12, features=4, heads=2, blocks=2, rng=seed, dtype=np.float64)
    x = np.random.default_rng(seed).integers(7, size=(n, sum(cuts)))
    expected = model.predict(x)
    with streaming():
        parts = [model(part) for part in np.split(x, np.cumsum(cuts)[:-1], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, rtol=1e-9, atol=1e-9)
    with streaming():  # of which nothing is left
        np.testing.assert_allclose(model(x), expected, rtol=1e-12, atol=1e-12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), sizes, seeds)
def test_causal_convolutions_can_be_streamed(cuts: list[int], n: int, seed: int) -> None:
    model = Sequential(
        Conv1D(2, 4, 3, padding="causal", dilation=2, rng=seed, **DOUBLE), ReLU(), Conv1D(4, 4, 1, rng=seed, **DOUBLE),
        Conv1D(4, 4, 4, padding="causal", groups=4, rng=seed, **DOUBLE),
    )  # fmt: skip
    x = np.random.default_rng(seed).standard_normal((n, sum(cuts), 2))
    with streaming():
        parts = [model(part) for part in np.split(x, np.cumsum(cuts)[:-1], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), model.predict(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layer", [MaxPool1D(2), AveragePool1D(2)])
def test_windows_of_time_refuse_padding(layer: Module) -> None:
    x = np.array([[1.0, 2, 3, 4], [1, 2, 3, 0]])[..., None]
    model = Masked(layer)
    assert model(x[:1]).shape == (1, 2, 1)
    with pytest.raises(LayerInputError, match=r"^layer 0, .*received padding in row 1 of \(2, 4, 1\)$"):
        model(x)


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (MaxPool1D(2), np.ones((1, 2, 2)), r"expected whole sequences, not steps inside streaming\(\)"),
        (AveragePool1D(2), np.ones((1, 2, 2)), r"expected whole sequences, not steps inside streaming\(\)"),
        *(
            (
                Conv1D(2, 2, 3, stride, padding, rng=0),
                np.ones((1, 9, 2)),
                "stride 1 and padding 'causal' inside streaming",
            )
            for stride, padding in ((1, "same"), (1, "same_upper"), (1, "valid"), (2, "causal"), (1, (0, 2)))
        ),
        (SelfAttention(2, 1, rng=0), np.ones((1, 1, 2)), r"expected causal=True inside streaming\(\)"),
        (Masked(Embedding(2, 1, rng=0)), np.ones((1, 1)), "padding is for batches of whole sequences"),
    ],
)
def test_what_cannot_be_streamed(model: Module, x: Array, message: str) -> None:
    with streaming(), pytest.raises(LayerInputError, match=message):
        model(x)


def test_a_stream_that_is_too_long_is_refused() -> None:
    layer = PositionalEmbedding(3, 1, rng=0)
    with streaming():
        layer(np.ones((1, 2, 1), np.float32))
        with pytest.raises(LayerInputError, match=r"at most 3 steps, received \(1, 2, 1\) after 2 earlier steps"):
            layer(np.ones((1, 2, 1), np.float32))


def test_a_transformer_learns_saves_and_goes_on(tmp_path: Any) -> None:
    model = transformer(5, length=8, features=8, heads=2, blocks=1, rng=0)
    rng = np.random.default_rng(0)
    x = rng.integers(5, size=(64, 8))
    y = np.roll(x, 1, axis=1)  # the answer is the token before: attention has to look one step back
    y[:, 0] = -1
    loss = SoftmaxCrossEntropy(ignore_index=-1)
    trainer = Trainer(model, loss, Adam(model.parameters(), learning_rate=0.02))
    history = trainer.fit(x, y, epochs=60, batch_size=16, rng=0, print_every=None)
    assert history["accuracy"][-1] > 0.99
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(x), model.predict(x))
    assert isinstance(dict(model.named_modules())["2.0.1"], SelfAttention)


def test_a_hostile_description_allocates_nothing() -> None:
    for name, arguments in [
        ("PositionalEmbedding", {"length": 10**5, "features": 10**5}),
        ("Embedding", {"tokens": 10**5, "features": 10**5}),
        ("SelfAttention", {"features": 10**5, "heads": 1}),
        ("TransformerBlock", {"features": 10**5, "heads": 1}),
    ]:
        with pytest.raises(ModelFileError, match=r"no array backs a weight|is larger than its arrays"):
            build({"class": name, "arguments": arguments}, {}, BUILT_IN)


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e6])
def test_gradients_of_attention_in_float32_at_large_scores(scale: float) -> None:
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((2, 5, 4)) for _ in range(2))
    gradients = []
    for dtype in (np.float32, np.float64):
        layer = SelfAttention(4, 2, causal=True, rng=0, dtype=dtype)
        layer((scale * x).astype(dtype))
        gradients.append(layer.backward(g.astype(dtype)))
    largest = np.abs(gradients[1]).max()
    assert np.abs(gradients[0] - gradients[1]).max() <= 1e-4 * largest  # the scores themselves are rounded


@pytest.mark.parametrize(
    "layer", [LSTM(3, 2, rng=0), GRU(3, 2, bidirectional=True, rng=0), PositionalEmbedding(5, 3, rng=0)], ids=repr
)
def test_layers_of_float32_are_checked_in_float64(layer: Module) -> None:
    assert gradcheck(layer, np.random.default_rng(0).standard_normal((2, 4, 3))) < 1e-5


def test_whole_calls_inside_a_stream_are_given_whole_sequences() -> None:
    model, x = Sequential(LSTM(4, 2, rng=0)), np.random.default_rng(0).standard_normal((3, 5, 4))
    expected = model.predict(x)
    with streaming():
        model(x[:, :2])
        np.testing.assert_allclose(model.predict(x, batch_size=1), expected, rtol=1e-6)
        rest = model(x[:, 2:])
    np.testing.assert_allclose(rest, expected[:, 2:], rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [SelfAttention(2, 1, causal=True, rng=0), LSTM(2, 2, rng=0), PositionalEmbedding(9, 2, rng=0),
     Conv1D(2, 2, 2, padding="causal", rng=0)],
    ids=repr,
)  # fmt: skip
def test_a_stream_keeps_its_number_of_sequences(layer: Module) -> None:
    with streaming():
        layer(np.ones((2, 1, 2), np.float32))
        with pytest.raises(LayerInputError, match=r"expected the 2 sequences that streaming\(\) has begun with, .* 3"):
            layer(np.ones((3, 1, 2), np.float32))


def test_pooling_over_all_steps_cannot_be_streamed() -> None:
    with streaming(), pytest.raises(LayerInputError, match="expected whole sequences"):
        GlobalAveragePool1D()(np.ones((1, 2, 1)))


def test_masks_inside_masks_leave_out_both_paddings() -> None:
    x = np.array([[1, 2, 0, 7]])
    embedding = Embedding(8, 2, rng=0, **DOUBLE)
    nested = Masked(embedding, Masked(MeanOfSteps(), padding=float(embedding.weight.data[7, 0])), padding=0)
    np.testing.assert_allclose(nested(x), embedding(x)[:, [0, 1, 3]].mean(axis=1))


def test_the_first_layers_of_a_masked_are_masked() -> None:
    model = padded_network()
    x = np.array([[1, 2, 0], [3, 0, 0]])
    assert isinstance(model[:7], Masked)
    np.testing.assert_allclose(model[7:](model[:7](x)), model(x))
    assert not isinstance(model[7:], Masked)


@pytest.mark.parametrize("shape", [(2, 0), (0, 3)])
def test_sequences_of_no_token_are_answered_by_one_error(shape: tuple[int, ...]) -> None:
    message = "expected at least one sequence of one step, received"
    with pytest.raises(LayerInputError, match=message):
        padded_network()(np.zeros(shape, int))


def test_a_stride_refuses_padding() -> None:
    model = Masked(Conv1D(1, 1, 2, 2, rng=0), padding=0)
    assert model(np.ones((1, 4, 1), np.float32)).shape == (1, 2, 1)
    with pytest.raises(LayerInputError, match=r"0 .*Conv1D.*as many steps|layer 0, Conv1D.*as many steps"):
        model(np.array([[[1.0], [1.0], [1.0], [0.0]]], np.float32))


def test_a_network_that_ends_in_softmax_inside_a_masked_is_trained_through_logits() -> None:
    x, y = np.array([[1, 2, 0], [3, 0, 0]]), np.array([0, 1])

    def network(*last: Module) -> Masked:
        return Masked(Embedding(4, 3, rng=0), LSTM(3, 2, return_sequence=False, rng=1), Dense(2, 2, rng=2), *last)

    ends_in_softmax = network(Softmax())
    with pytest.raises(ValueError, match="takes logits, but the model ends in Softmax"):
        Trainer(ends_in_softmax, SoftmaxCrossEntropy(), Adam(ends_in_softmax.parameters()))
    costs = []
    pairs = [(ends_in_softmax, SoftmaxCrossEntropy(from_logits=False)), (network(), SoftmaxCrossEntropy())]
    for model, loss in pairs:
        trainer = Trainer(model, loss, Adam(model.parameters()))
        costs.append(trainer.fit(x, y, epochs=3, print_every=None)["loss"])
    assert costs[0] == costs[1]


def test_summaries_of_padded_and_of_token_networks(capsys: pytest.CaptureFixture[str]) -> None:
    padded_network().summary((7,))
    assert "(batch, 7, 4)" in capsys.readouterr().out
    transformer(5, length=6, features=4, heads=1, blocks=1, rng=0).summary()
    assert "(batch, ...)" in capsys.readouterr().out
