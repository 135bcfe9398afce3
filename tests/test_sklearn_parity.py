"""minidl's estimators against scikit-learn's: the same arguments give the same network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl.testing import check_loss

pytest.importorskip("sklearn", "1.7")  # whose own networks take weights of samples

import sklearn.neural_network as peers
from sklearn.utils import shuffle

import minidl.sklearn as own
from minidl.sklearn._losses import HalfSquaredError, SummedBinaryCrossEntropy
from minidl.sklearn._order import SampleOrder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
KINDS = ("binary", "classes", "multilabel", "number", "numbers")


def samples(kind: str, seed: int, count: int = 24) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    scores = x @ rng.normal(size=(3, 3)) + 0.1 * rng.normal(size=(count, 3))
    scores[:3] = 3 * np.eye(3)  # so that each class occurs
    targets = {
        "binary": np.where(scores[:, 0] > 0.5, "yes", "no"), "classes": scores.argmax(axis=1) * 2 - 1,
        "multilabel": (scores > 0).astype(int), "number": scores[:, 0], "numbers": scores[:, :2],
    }  # fmt: skip
    return x, targets[kind]


def both(kind: str, **arguments: Any) -> tuple[Any, Any]:
    """Return minidl's and scikit-learn's estimator of this kind."""
    name = "MLPRegressor" if kind.startswith("number") else "MLPClassifier"
    return getattr(own, name)(**arguments), getattr(peers, name)(**arguments)


def assert_same_network(estimator: Any, peer: Any, rtol: float = 1e-7) -> None:
    for received, expected in zip(estimator.coefs_, peer.coefs_, strict=True):
        np.testing.assert_allclose(received, expected, rtol=rtol, atol=rtol / 100)
    for received, expected in zip(estimator.intercepts_, peer.intercepts_, strict=True):
        np.testing.assert_allclose(received, expected, rtol=rtol, atol=rtol / 100)


@given(
    st.sampled_from(KINDS),
    st.integers(0, 2**31),
    st.fixed_dictionaries(
        {
            "hidden_layer_sizes": st.sampled_from([(), 4, (5,), (4, 3)]),
            "activation": st.sampled_from(["identity", "logistic", "tanh", "relu"]),
            "alpha": st.sampled_from([0.0, 1e-4, 1.0]),
            "batch_size": st.sampled_from(["auto", 8, 24]),
            "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive"]),
            "power_t": st.sampled_from([0.25, 0.5]),
            "momentum": st.sampled_from([0.0, 0.9]),
            "nesterovs_momentum": st.booleans(),
            "shuffle": st.booleans(),
            "random_state": st.integers(0, 2**31),
        }
    ),
)
@settings(max_examples=40, deadline=None)
def test_gradient_descent_gives_the_network_of_scikit_learn(kind: str, seed: int, arguments: dict[str, Any]) -> None:
    x, y = samples(kind, seed)
    # In mini-batches minidl adds the penalty at the beginning of the epoch, and scikit-learn that of each batch.
    has_same_losses = not arguments["alpha"] or arguments["batch_size"] != 8
    arguments |= {"solver": "sgd", "learning_rate_init": 0.01, "max_iter": 6, "tol": 0.01}
    arguments["n_iter_no_change"] = 1 if has_same_losses else 10
    estimator, peer = (model.fit(x, y) for model in both(kind, **arguments))
    assert_same_network(estimator, peer)
    assert estimator.n_iter_ == peer.n_iter_
    if has_same_losses:
        np.testing.assert_allclose(estimator.loss_curve_, peer.loss_curve_, rtol=1e-8)
    if kind.startswith("number"):
        np.testing.assert_allclose(estimator.predict(x), peer.predict(x), rtol=1e-6, atol=1e-8)
    else:
        np.testing.assert_allclose(estimator.predict_proba(x), peer.predict_proba(x), rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(estimator.classes_, peer.classes_)
        assert estimator.predict(x).dtype == peer.predict(x).dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_adam_gives_the_network_of_scikit_learn(kind: str, early_stopping: bool) -> None:
    x, y = samples(kind, 1, count=40)
    arguments: dict[str, Any] = {"activation": "tanh", "epsilon": 1e-100, "early_stopping": early_stopping}
    arguments |= {"validation_fraction": 0.25, "n_iter_no_change": 3, "batch_size": 10, "random_state": 3}
    estimator, peer = (model.fit(x, y) for model in both(kind, max_iter=20, learning_rate_init=0.01, **arguments))
    assert_same_network(estimator, peer, rtol=1e-5)
    assert estimator.n_iter_ == peer.n_iter_
    if early_stopping:
        np.testing.assert_allclose(estimator.validation_scores_, peer.validation_scores_, rtol=1e-6)
        assert estimator.best_validation_score_ == pytest.approx(peer.best_validation_score_)
        assert estimator.best_loss_ is None


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_on_as_in_scikit_learn(kind: str) -> None:
    x, y = samples(kind, 2)
    arguments: dict[str, Any] = {"activation": "tanh", "solver": "sgd", "batch_size": 8, "random_state": 5}
    pair = both(kind, max_iter=2, warm_start=True, learning_rate_init=0.01, **arguments)
    first = {} if kind.startswith("number") else {"classes": np.unique(y) if y.ndim == 1 else np.arange(3)}
    for model in pair:
        classes = first
        for rows in (slice(0, 16), slice(8, 24), slice(0, 8)):
            model.partial_fit(x[rows], y[rows], **classes)
            classes = {}
        model.fit(x, y)
        model.fit(x, y)
    assert_same_network(*pair)
    assert pair[0].t_ == pair[1].t_
    assert len(pair[0].loss_curve_) == len(pair[1].loss_curve_) == 3 + 2 + 2


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_samples_are_those_of_scikit_learn(kind: str) -> None:
    x, y = samples(kind, 3)
    weight = np.random.default_rng(0).integers(0, 4, len(x))
    for batch_size in (24, 8):
        arguments: dict[str, Any] = {"batch_size": batch_size, "shuffle": batch_size == 24}
        estimator, peer = both(kind, solver="sgd", max_iter=5, random_state=0, **arguments)
        if batch_size == 8:  # the same sum in each batch: one mean for all is then the mean of each
            weight = np.tile(weight[:8], 3)
        assert_same_network(estimator.fit(x, y, weight), peer.fit(x, y, weight))


@given(st.integers(1, 50), st.integers(0, 2**31), st.integers(1, 3))
def test_the_order_of_the_samples_is_that_of_scikit_learn(count: int, seed: int, epochs: int) -> None:
    own_state, random_state = np.random.RandomState(seed), np.random.RandomState(seed)
    order, expected = SampleOrder(own_state), np.arange(count)
    for _ in range(epochs):
        expected = shuffle(expected, random_state=random_state)
        np.testing.assert_array_equal(order.permutation(count), expected)
    assert own_state.randint(2**31) == random_state.randint(2**31)  # neither has drawn more


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_losses_are_sums_over_the_outputs(seed: int, count: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    p, t = rng.normal(size=(2, count, outputs))
    yes = (t > 0).astype(float)
    check_loss(HalfSquaredError(), p, t)
    check_loss(SummedBinaryCrossEntropy(), p, yes)
    assert HalfSquaredError()(p, t) == pytest.approx(((p - t) ** 2).sum() / (2 * count))
    expected = -(yes * np.log(1 / (1 + np.exp(-p))) + (1 - yes) * np.log(1 / (1 + np.exp(p)))).sum() / count
    assert SummedBinaryCrossEntropy()(p, yes) == pytest.approx(expected)
