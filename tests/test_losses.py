"""Losses: their values, exactness at saturation, and strictness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, batches, dtypes, seeds

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Hinge,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.data.batches import Batches
from minidl.functional import sigmoid, softplus
from minidl.training import Problem
from minidl.training.rewrites import through_logits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("z", "target", "loss", "gradient"),
    [
        (1e4, 1.0, 0.0, 0.0),
        (1e4, 0.0, 1e4, 1.0),
        (-1e4, 0.0, 0.0, 0.0),
        (-1e4, 1.0, 1e4, -1.0),
        (-1e4, 0.25, 2500.0, -0.25),
        (-100.0, 1.0, 100.0, -1.0),
        (0.0, 1.0, math.log(2), -0.5),
        (-0.0, 1.0, math.log(2), -0.5),
        (-0.0, 0.0, math.log(2), 0.5),
    ],
)
def test_logits_at_saturation(dtype: Any, z: float, target: float, loss: float, gradient: float) -> None:
    cross_entropy = BinaryCrossEntropy(from_logits=True)
    logits, targets = np.array([[z]], dtype), np.array([[target]], dtype)
    assert cross_entropy(logits, targets) == pytest.approx(loss, rel=2 * float(np.finfo(dtype).eps), abs=0)
    result = cross_entropy.gradient(logits, targets)
    assert result.dtype == dtype
    assert result[0, 0] == gradient


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int64])
@pytest.mark.parametrize("from_logits", [True, False])
def test_targets_of_whole_numbers_give_the_gradient_of_floating_ones(from_logits: bool, dtype: Any) -> None:
    loss = BinaryCrossEntropy(from_logits)
    prediction, target = np.array([[0.25], [0.75], [0.5]]), np.array([[1], [0], [1]])
    expected = loss.gradient(prediction, target.astype(np.float64))
    result = loss.gradient(prediction, target.astype(dtype))
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, expected)


def test_logits_keep_the_last_digits_of_small_losses() -> None:
    # At z = 50 with target 1 the loss is log(1 + e^-50) and its gradient -e^-50 / (1 + e^-50), both about 2e-22:
    # softplus(z) - z, computed in two steps, would give exactly 0 for both.
    loss, z, target = BinaryCrossEntropy(from_logits=True), np.array([[50.0]]), np.array([[1.0]])
    assert loss(z, target) == pytest.approx(math.exp(-50), rel=1e-12, abs=0)
    assert loss.gradient(z, target)[0, 0] == pytest.approx(-math.exp(-50), rel=1e-12, abs=0)


@given(batches(features=1, low=-12, high=12), st.data())
def test_the_two_forms_agree(z: Array, data: st.DataObject) -> None:
    # Further out 1 - p loses its digits, which is what the form from logits is for.
    target = data.draw(arrays(z.shape, 0, 1))
    from_logits, from_probabilities = BinaryCrossEntropy(from_logits=True), BinaryCrossEntropy()
    p = sigmoid(z)
    assert from_logits(z, target) == pytest.approx(from_probabilities(p, target), rel=1e-9, abs=1e-10)
    chained = from_probabilities.gradient(p, target) * p * (1 - p)
    np.testing.assert_allclose(from_logits.gradient(z, target), chained, rtol=1e-6, atol=1e-12)


@given(batches(features=2, low=-30, high=30), st.floats(0.01, 100), st.data())
def test_pos_weight_makes_positives_count_more(z: Array, weight: float, data: st.DataObject) -> None:
    target = data.draw(arrays(z.shape, 0, 1))
    loss = BinaryCrossEntropy(from_logits=True, pos_weight=weight)
    plain = weight * target * softplus(-z) + (1 - target) * softplus(z)
    assert loss(z, target) == pytest.approx(float(plain.mean()), rel=1e-12)
    gradient = (1 - target) * sigmoid(z) - weight * target * sigmoid(-z)
    np.testing.assert_allclose(loss.gradient(z, target), gradient / z.size, rtol=1e-9, atol=1e-12 * (1 + weight))
    p = np.clip(sigmoid(z), 1e-6, 1 - 1e-6)
    plain = -(weight * target * np.log(p) + (1 - target) * np.log(1 - p))
    assert BinaryCrossEntropy(pos_weight=weight)(p, target) == pytest.approx(float(plain.mean()), rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pos_weight_at_saturation(dtype: Any) -> None:
    z, target = np.array([[-1e4], [1e4], [1e4], [-0.0]], dtype), np.array([[1.0], [1.0], [0.0], [1.0]], dtype)
    loss = BinaryCrossEntropy(from_logits=True, pos_weight=3)
    assert loss(z, target) == pytest.approx((3e4 + 0 + 1e4 + 3 * math.log(2)) / 4, rel=1e-6)
    assert loss.gradient(z, target).tolist() == [[-0.75], [0.0], [0.25], [-0.375]]
    loss = BinaryCrossEntropy(pos_weight=1000)
    p = np.array([[0.0], [1.0]], dtype)
    assert math.isfinite(loss(p, 1 - p))
    assert np.isfinite(loss.gradient(p, 1 - p)).all()


@given(batches(features=2, low=0.01, high=0.99), st.data())
def test_probabilities_against_the_plain_formula(p: Array, data: st.DataObject) -> None:
    target = data.draw(arrays(p.shape, 0, 1))
    plain = -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))
    assert BinaryCrossEntropy()(p, target) == pytest.approx(float(plain), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_probabilities_stay_finite(dtype: Any) -> None:
    loss = BinaryCrossEntropy()
    p = np.array([[0.0], [1.0]], dtype)
    assert loss(p, p) == 0.0
    wrong = loss(p, 1 - p)
    assert wrong == pytest.approx(-math.log(float(np.finfo(dtype).tiny)), rel=1e-6)
    assert np.isfinite(loss.gradient(p, 1 - p)).all()


@given(batches(low=-1e4, high=1e4))
def test_sigmoid_and_softplus(z: Array) -> None:
    p = sigmoid(z)
    np.testing.assert_allclose(p + sigmoid(-z), 1, rtol=1e-15)
    np.testing.assert_allclose(softplus(z) - softplus(-z), z, rtol=1e-12, atol=1e-12)
    near = np.abs(z) < 30
    np.testing.assert_allclose(p[near], 1 / (1 + np.exp(-z[near])), rtol=1e-14)
    np.testing.assert_allclose(softplus(z)[near], np.log(1 + np.exp(z[near])), rtol=1e-12, atol=1e-13)


def test_training_through_logits_keeps_the_weight() -> None:
    model = mlp([1, 1])
    batches = Batches(np.zeros((1, 1)), np.zeros((1, 1)))
    problem = Problem(model, BinaryCrossEntropy(pos_weight=3), SGD(model.parameters()), batches)
    assert repr(through_logits(problem).loss) == "BinaryCrossEntropy(from_logits=True, pos_weight=3)"


def test_the_callers_arrays_stay_unchanged() -> None:
    p, t = np.array([[0.25], [0.5]]), np.array([[1.0], [0.0]])
    loss = BinaryCrossEntropy()
    loss(p, t)
    loss.gradient(p, t)
    assert p.tolist() == [[0.25], [0.5]]
    assert t.tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (np.zeros((3, 1)), np.zeros(3), r"shape \(3, 1\), received \(3,\); reshape it with target\[:, None\]"),
        (np.zeros((3, 1)), np.zeros((2, 1)), r"\(3, 1\), received \(2, 1\)"),
        (np.zeros((0, 1)), np.zeros((0, 1)), "empty batch"),
        (np.array([[1.5]]), np.array([[1.0]]), r"probabilities in \[0, 1\], received values from 1.5 to 1.5; pass log"),
        (np.array([[math.nan]]), np.array([[1.0]]), "prediction: expected finite numbers, received NaN or inf.* row 0"),
        (np.array([[0.5]]), np.array([[-1.0]]), r"targets in \[0, 1\], received values from -1.0"),
        (np.array([[0.5]]), np.array([[math.nan]]), r"targets in \[0, 1\]"),
        (np.array([[0.5]]), np.array([["cat"]]), "expected numbers, received dtype <U3"),
        (np.array([[1]]), np.array([[1]]), "floating prediction, received dtype int64"),
    ],
)
def test_bad_input(prediction: Array, target: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BinaryCrossEntropy()(prediction, target)


@pytest.mark.parametrize("weight", [0, -1.0, math.nan, math.inf, "1"])
def test_bad_pos_weight(weight: Any) -> None:
    with pytest.raises(ValueError, match="BinaryCrossEntropy pos_weight: expected a finite number above 0, received"):
        BinaryCrossEntropy(pos_weight=weight)


def test_logits_must_be_finite() -> None:
    with pytest.raises(
        ValueError, match="prediction: expected finite numbers, received NaN or infinity, first in row 1"
    ):
        BinaryCrossEntropy(from_logits=True)(np.array([[0.0], [math.inf]]), np.zeros((2, 1)))


@given(batches(), dtypes, st.data())
def test_mean_squared_error_against_the_plain_loop(p: Array, dtype: Any, data: st.DataObject) -> None:
    p, t = p.astype(dtype), data.draw(arrays(p.shape)).astype(dtype)
    loss = MeanSquaredError()
    plain = sum((float(a) - float(b)) ** 2 for a, b in zip(p.flat, t.flat, strict=True)) / p.size
    assert loss(p, t) == pytest.approx(plain, rel=1e-5, abs=1e-12)
    gradient = loss.gradient(p, t)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, 2 * (p - t) / p.size, rtol=1e-6)


@given(batches(), dtypes, st.data())
def test_mean_absolute_error_against_the_plain_loop(p: Array, dtype: Any, data: st.DataObject) -> None:
    p, t = p.astype(dtype), data.draw(arrays(p.shape)).astype(dtype)
    loss = MeanAbsoluteError()
    plain = sum(abs(float(a) - float(b)) for a, b in zip(p.flat, t.flat, strict=True)) / p.size
    assert loss(p, t) == pytest.approx(plain, rel=1e-5, abs=1e-12)
    gradient = loss.gradient(p, t)
    assert gradient.dtype == dtype
    right = [((a > b) * 1.0 - (a < b)) / p.size for a, b in zip(p.flat, t.flat, strict=True)]
    np.testing.assert_allclose(gradient.ravel(), right, rtol=1e-6)


@given(batches(), dtypes, st.sampled_from([0.25, 1.0, 20.0]), st.data())
def test_huber_against_the_plain_loop(p: Array, dtype: Any, delta: float, data: st.DataObject) -> None:
    p, t = p.astype(dtype), data.draw(arrays(p.shape)).astype(dtype)
    loss, value, right = Huber(delta), 0.0, []
    for a, b in zip(p.flat, t.flat, strict=True):
        d = float(a) - float(b)
        value += d**2 / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2)
        right.append(d if abs(d) <= delta else math.copysign(delta, d))
    assert loss(p, t) == pytest.approx(value / p.size, rel=1e-5, abs=1e-12)
    gradient = loss.gradient(p, t)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient.ravel(), np.array(right) / p.size, rtol=1e-5, atol=1e-6)


@given(batches(), dtypes, st.booleans(), seeds)
def test_hinge_against_the_plain_loop(s: Array, dtype: Any, squared: bool, seed: int) -> None:
    s, t = s.astype(dtype), np.random.default_rng(seed).integers(2, size=s.shape)
    loss, value, right = Hinge(squared), 0.0, []
    for score, one in zip(s.flat, t.flat, strict=True):
        y = 1 if one else -1
        lack = max(0.0, 1 - y * float(score))
        value += lack**2 if squared else lack
        right.append(-2 * y * lack if squared else -y * (lack > 0))
    assert loss(s, t) == pytest.approx(value / s.size, rel=1e-5, abs=1e-12)
    for target in (t, 2 * t - 1, t.astype(dtype)):
        assert loss(s, target) == loss(s, t)
        gradient = loss.gradient(s, loss.cast_target(target, s.dtype))
        assert gradient.dtype == dtype
        np.testing.assert_allclose(gradient.ravel(), np.array(right) / s.size, rtol=1e-5, atol=1e-6)
        assert loss.accuracy(s, target) == np.mean((s > 0) == (t == 1))


def test_hinge_takes_two_kinds_of_targets_but_no_mixture() -> None:
    with pytest.raises(ValueError, match="Hinge target: expected 0 and 1, or -1 and 1, received -1 among others"):
        Hinge()([[1.0], [1.0], [1.0]], [[0], [-1], [1]])
    with pytest.raises(ValueError, match=r"Hinge target: expected 0 and 1, or -1 and 1, received 0\.5 among others"):
        Hinge()([[1.0]], [[0.5]])
    model = mlp([2, 1])
    with pytest.raises(ValueError, match=r"Hinge\(\) takes scores of either sign, but the model ends in Sigmoid"):
        Trainer(model, Hinge(), SGD(model.parameters()))


@given(arrays((5, 2)), seeds)
def test_the_best_single_answers(target: Array, seed: int) -> None:
    """No other answer that is the same for every sample costs less, and one costs as much."""
    labels = (target > 0).astype(int)
    cases: list[tuple[Loss, Array, Array]] = [
        (MeanAbsoluteError(), target, np.median(target, axis=0)),
        (Hinge(), labels, np.sign(labels.mean(axis=0) - 0.5)),
        (Hinge(squared=True), labels, 2 * labels.mean(axis=0) - 1),
    ]
    for loss, t, answer in cases:
        baseline = loss.baseline_loss(t) or 0.0
        assert loss(np.tile(answer, (5, 1)), t) == pytest.approx(baseline, rel=1e-12, abs=1e-12)
        for other in np.random.default_rng(seed).normal(scale=2, size=(20, 2)):
            assert loss(np.tile(other, (5, 1)), t) >= baseline * (1 - 1e-12)
    assert MeanAbsoluteError().baseline_loss(np.ones((3, 1))) is None
    assert Hinge().baseline_loss(np.ones((3, 1))) is None


def test_mean_squared_error_is_strict() -> None:
    with pytest.raises(ValueError, match=r"MeanSquaredError: .* received \(3,\); reshape it with target\[:, None\]"):
        MeanSquaredError()(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="MeanSquaredError target: expected finite numbers"):
        MeanSquaredError()([[1.0]], [[math.nan]])
    with pytest.raises(ValueError, match="MeanSquaredError target: expected numbers, received dtype <U3"):
        MeanSquaredError()([[1.0]], [["cat"]])


@pytest.mark.parametrize("p", [1.5, -0.1, math.nan, math.inf])
def test_value_alone_refuses_what_is_no_probability(p: float) -> None:
    # Training calls `value` for arrays whose shapes it knows: a loss with a narrow domain checks it there.
    with pytest.raises(ValueError, match=rf"probabilities in \[0, 1\], received values from {p} to {p}; pass logits"):
        BinaryCrossEntropy().value(np.array([[p]]), np.array([[1.0]]))


@pytest.mark.parametrize(
    "loss",
    [
        BinaryCrossEntropy(),
        BinaryCrossEntropy(True, 3),
        MeanSquaredError(),
        SoftmaxCrossEntropy(0.1, False),
        MeanAbsoluteError(),
        Huber(0.1),
    ],
    ids=repr,
)
def test_losses_keep_no_state(loss: Loss) -> None:
    first, second = np.array([[0.25, 0.75]]), np.array([[0.5, 0.5], [0.125, 0.875]])
    attributes = dict(vars(loss))
    gradient = loss.gradient(first, first[:, ::-1])  # without a value before it
    value = loss.value(first, first[:, ::-1])
    loss(second, second)
    loss.gradient(second, second)
    np.testing.assert_array_equal(loss.gradient(first, first[:, ::-1]), gradient)
    assert loss(first, first[:, ::-1]) == value
    assert vars(loss) == attributes


def test_a_loss_without_its_two_methods_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match=r"Loss does not define value\(prediction, target\)"):
        Loss()([[1.0]], [[1.0]])
    with pytest.raises(NotImplementedError, match=r"Loss does not define gradient\(prediction, target\)"):
        Loss().gradient(np.ones((1, 1)), np.ones((1, 1)))
