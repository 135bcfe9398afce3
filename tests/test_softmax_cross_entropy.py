"""SoftmaxCrossEntropy: its value and gradient against plain loops, exactness at saturation, and strictness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, dtypes, seeds, sizes

from minidl import SGD, Dense, Embedding, Sequential, SoftmaxCrossEntropy, Trainer
from minidl._typing import Array

smoothings = st.sampled_from([0.0, 0.1, 0.5])


def plain_softmax(row: Array) -> list[float]:
    exponentials = [math.exp(float(z) - float(max(row))) for z in row]
    return [e / sum(exponentials) for e in exponentials]


def plain_loss(probabilities: list[list[float]], targets: list[list[float]]) -> float:
    losses = [
        -sum(t * math.log(p) for p, t in zip(row, target, strict=True))
        for row, target in zip(probabilities, targets, strict=True)
    ]
    return sum(losses) / len(losses)


@given(st.data(), sizes, st.integers(2, 6), smoothings, dtypes, seeds)
def test_against_the_plain_loop(data: st.DataObject, n: int, k: int, smoothing: float, dtype: Any, seed: int) -> None:
    z = data.draw(arrays((n, k), low=-20, high=20)).astype(dtype)
    rng = np.random.default_rng(seed)
    labels, soft = rng.integers(k, size=n), rng.dirichlet(np.ones(k), size=n)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    p = [plain_softmax(row) for row in z]
    for target, rows in ((labels, np.eye(k)[labels]), (np.eye(k)[labels], np.eye(k)[labels]), (soft, soft)):
        smoothed = [[(1 - smoothing) * float(t) + smoothing / k for t in row] for row in rows]
        loss = SoftmaxCrossEntropy(smoothing)
        assert loss(z, target) == pytest.approx(plain_loss(p, smoothed), rel=tolerance, abs=tolerance)
        gradient = loss.gradient(z, loss.cast_target(np.asarray(target), z.dtype))
        assert gradient.dtype == dtype
        np.testing.assert_allclose(gradient, (np.array(p) - smoothed) / n, atol=tolerance)
        from_p = SoftmaxCrossEntropy(smoothing, from_logits=False)
        rounded = np.array(p, dtype)
        assert from_p(rounded, target) == pytest.approx(plain_loss(p, smoothed), rel=1e-4, abs=1e-6)
        gradient = from_p.gradient(rounded, from_p.cast_target(np.asarray(target), rounded.dtype))
        np.testing.assert_allclose(gradient, -np.array(smoothed) / p / n, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("z", "label", "loss", "gradient"),
    [
        ([1e4, 0.0, -1e4], 0, 0.0, [0.0, 0.0, 0.0]),
        ([1e4, 0.0, -1e4], 1, 1e4, [1.0, -1.0, 0.0]),
        ([1e4, 0.0, -1e4], 2, 2e4, [1.0, 0.0, -1.0]),
        ([1e4, 1e4, -1e4], 0, math.log(2), [-0.5, 0.5, 0.0]),
        ([-1e4, -1e4, -1e4], 2, math.log(3), [1 / 3, 1 / 3, -2 / 3]),
    ],
)
def test_saturation(dtype: Any, z: list[float], label: int, loss: float, gradient: list[float]) -> None:
    cross_entropy = SoftmaxCrossEntropy()
    eps, logits, labels = float(np.finfo(dtype).eps), np.array([z], dtype), np.array([label])
    assert cross_entropy(logits, labels) == pytest.approx(loss, rel=2 * eps, abs=0)
    np.testing.assert_allclose(cross_entropy.gradient(logits, labels), [gradient], rtol=2 * eps, atol=0)


def test_the_last_digits_of_small_losses() -> None:
    # At z = (50, 0, 0) with the first class right the loss is log(1 + 2 e^-50) and the gradient -2 e^-50, e^-50, e^-50:
    # p - 1, computed from a rounded p, would give exactly 0.
    loss, z, labels = SoftmaxCrossEntropy(), np.array([[50.0, 0.0, 0.0]]), np.array([0])
    assert loss(z, labels) == pytest.approx(2 * math.exp(-50), rel=1e-12, abs=0)
    e = math.exp(-50)
    np.testing.assert_allclose(loss.gradient(z, labels), [[-2 * e, e, e]], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_probabilities_stay_finite(dtype: Any) -> None:
    loss = SoftmaxCrossEntropy(from_logits=False)
    p = np.array([[0.0, 1.0], [1.0, 0.0]], dtype)
    assert loss(p, [1, 0]) == 0.0
    assert loss(p, [0, 1]) == pytest.approx(-math.log(float(np.finfo(dtype).tiny)), rel=1e-6)
    assert np.isfinite(loss.gradient(p, np.array([0, 1]))).all()


def test_the_callers_arrays_stay_unchanged() -> None:
    z, t, labels = np.array([[0.5, 1.0]]), np.array([[0.25, 0.75]]), np.array([1])
    for from_logits in (True, False):
        loss = SoftmaxCrossEntropy(0.1, from_logits)
        for target in (t, labels):
            prediction = z if from_logits else t
            loss(prediction, target)
            loss.gradient(prediction, target)
    assert z.tolist() == [[0.5, 1.0]]
    assert t.tolist() == [[0.25, 0.75]]
    assert labels.tolist() == [1]


Z = np.zeros((3, 4))


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (Z, [0, 4, 1], "target: expected class indices below 4, the number of classes, received 4"),
        (Z, [0, -1, 1], "target: expected class indices of at least 0, received -1"),
        (Z, [0.0, 1.0, 2.0], "target: expected class indices of an integer dtype, received dtype float64"),
        (Z, ["a", "b", "c"], "target: expected numbers, received dtype <U1"),
        (Z, [[0], [1], [2]], r"\(3,\) with class indices or \(3, 4\) with .* received \(3, 1\); reshape it with targ"),
        (Z, [0, 1], r"shape \(3,\) with class indices or \(3, 4\) with probabilities, received \(2,\)$"),
        (Z, Z, "target: expected rows that sum to 1, received a sum of 0 in row 0"),
        (Z, Z - 1, r"target: expected probabilities in \[0, 1\], received values from -1.0 to -1.0"),
        (
            Z[:, :1],
            [0, 0, 0],
            r"expected a prediction \(batch, ..., classes\) of at least 2 classes, received \(3, 1\)",
        ),
        (Z[0], [0, 0, 0], r"prediction \(batch, ..., classes\) of at least 2 classes, received \(4,\)"),
        (Z[:0], [], r"expected at least one sample, received an empty batch \(0, 4\)"),
        (Z.astype(int), [0, 1, 2], "expected a floating prediction, received dtype int64"),
        (
            Z + math.inf,
            [0, 1, 2],
            "prediction: expected finite logits, or -inf for some of the classes, received inf as the largest in row 0",
        ),
    ],
)
def test_bad_input(prediction: Array, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"SoftmaxCrossEntropy.*{message}"):
        SoftmaxCrossEntropy()(prediction, target)


def test_bad_probabilities() -> None:
    loss = SoftmaxCrossEntropy(from_logits=False)
    with pytest.raises(ValueError, match=r"in \[0, 1\], .*; pass logits to SoftmaxCrossEntropy\(from_logits=True\)"):
        loss([[-1.0, 2.0]], [0])
    with pytest.raises(ValueError, match=r"prediction: expected rows that sum to 1, received a sum of 0.5 in row 1"):
        loss([[0.5, 0.5], [0.25, 0.25]], [0, 0])
    with pytest.raises(ValueError, match=r"in \[0, 1\], received values from nan to nan; pass logits"):
        loss.value(np.array([[math.nan, 0.5]]), np.array([0]))  # as training calls it
    with pytest.raises(ValueError, match=r"label_smoothing: expected a number in \[0, 1\), received 1"):
        SoftmaxCrossEntropy(label_smoothing=1)


def test_the_form_from_logits_keeps_the_smoothing() -> None:
    loss = SoftmaxCrossEntropy(0.1, from_logits=False)
    assert repr(loss) == "SoftmaxCrossEntropy(label_smoothing=0.1, from_logits=False)"
    assert repr(loss.of_logits()) == "SoftmaxCrossEntropy(label_smoothing=0.1, from_logits=True)"


@given(st.data(), sizes, sizes, st.integers(2, 5), smoothings, st.booleans(), seeds)
def test_targets_of_every_step_count_but_the_ignored(
    data: st.DataObject, n: int, steps: int, k: int, smoothing: float, from_logits: bool, seed: int
) -> None:
    z = data.draw(arrays((n, steps, k), low=-9, high=9))
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=(n, steps))
    prediction = z if from_logits else np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    plain = SoftmaxCrossEntropy(smoothing, from_logits)
    flat = prediction.reshape(-1, k), labels.reshape(-1)
    assert plain(prediction, labels) == pytest.approx(plain(*flat), rel=1e-12)
    assert plain(prediction, np.eye(k)[labels]) == pytest.approx(plain(*flat), rel=1e-12)
    np.testing.assert_allclose(plain.gradient(prediction, labels).reshape(-1, k), plain.gradient(*flat))
    assert plain.accuracy(prediction, labels) == plain.accuracy(*flat)
    ignored = data.draw(st.sampled_from([-100, -1, 0, k - 1, k + 3]))
    counts = rng.random(labels.shape) < 0.5
    counts[0, 0] = True
    labels[counts & (labels == ignored)] = (ignored + 1) % k
    labels[~counts] = ignored
    loss = SoftmaxCrossEntropy(smoothing, from_logits, ignore_index=ignored)
    some = prediction[counts], labels[counts]
    assert loss.count(labels) == counts.sum()
    assert loss(prediction, labels) == pytest.approx(plain(*some), rel=1e-12)
    assert loss.accuracy(prediction, labels) == plain.accuracy(*some)
    gradient = loss.gradient(prediction, labels)
    np.testing.assert_allclose(gradient[counts], plain.gradient(*some), rtol=1e-12)
    assert not gradient[~counts].any()
    baseline = plain.baseline_loss(labels[counts])
    assert loss.baseline_loss(labels) in (baseline, None)
    if (labels.sum(axis=-1) != 1).any() and not smoothing:
        assert loss.baseline_loss(labels) == baseline


def test_whole_numbers_that_may_be_one_hot_rows_or_indices_have_no_baseline() -> None:
    assert SoftmaxCrossEntropy().baseline_loss(np.eye(4, dtype=int)) is None
    assert SoftmaxCrossEntropy().baseline_loss(np.eye(4)) == pytest.approx(math.log(4))


def test_a_batch_of_which_nothing_counts_is_0_and_such_a_set_is_refused() -> None:
    loss = SoftmaxCrossEntropy(ignore_index=2)
    z, none = np.ones((2, 2, 3)), np.full((2, 2), 2)
    assert loss(z, none) == loss.accuracy(z, none) == 0
    assert not loss.gradient(z, none).any()
    model = Sequential(Embedding(5, 4, rng=0), Dense(4, 3, rng=1))
    trainer = Trainer(model, loss, SGD(model.parameters(), learning_rate=0.1))
    x, some = np.zeros((2, 2), int), np.array([[2, 2], [1, 2]])
    assert trainer.evaluate(x, some, batch_size=1) == pytest.approx(trainer.evaluate(x, some))
    with pytest.raises(ValueError, match=r"^y: expected at least one target that counts"):
        trainer.fit(x, none, epochs=1)


def test_probabilities_beside_an_ignore_index_are_refused() -> None:
    with pytest.raises(ValueError, match="expected class indices beside an ignore_index"):
        SoftmaxCrossEntropy(ignore_index=0)(np.zeros((1, 2)), np.array([[0.5, 0.5]]))


def test_whole_numbers_like_the_predictions_are_distributions() -> None:
    with pytest.raises(ValueError, match="target: expected rows that sum to 1, received a sum of 2 in row 1"):
        SoftmaxCrossEntropy()(np.zeros((2, 2)), np.array([[0, 1], [1, 1]]))


def test_the_loss_of_an_epoch_is_the_mean_over_all_targets_that_count() -> None:
    model = Sequential(Embedding(5, 4, rng=0), Dense(4, 3, rng=1))
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=(7, 6)), rng.integers(3, size=(7, 6))
    y[rng.random(y.shape) < 0.6] = -1
    y[:, 0] = 1
    loss = SoftmaxCrossEntropy(ignore_index=-1)
    trainer = Trainer(model, loss, SGD(model.parameters(), learning_rate=0.0))
    whole = loss(model(x), y)
    assert trainer.evaluate(x, y, batch_size=2)["loss"] == pytest.approx(whole, rel=1e-6)
    history = trainer.fit(x, y, epochs=1, batch_size=3, validation_data=(x, y), print_every=None)
    assert history["loss"] == pytest.approx([whole], rel=1e-6)
    assert history["val_loss"] == pytest.approx([whole], rel=1e-6)
    assert history["val_accuracy"] == pytest.approx([loss.accuracy(model(x), y)])


def test_floating_class_indices_of_steps_are_told_apart_from_probabilities() -> None:
    z, floating = np.zeros((2, 3, 4)), np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match="class indices have an integer dtype"):
        SoftmaxCrossEntropy()(z, floating)
    model = Sequential(Embedding(5, 4, rng=0))
    with pytest.raises(ValueError, match="class indices have an integer dtype"):
        Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters())).fit(np.zeros((2, 3)), floating, epochs=1)
