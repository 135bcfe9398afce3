"""minidl computes what the article computes: against its own equations, and against a step worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import SGD, BinaryCrossEntropy, Dense, ReLU, Sequential, Sigmoid, Trainer, mlp


def as_columns(model: Sequential) -> reference.Parameters:
    """Copy the parameters of `mlp` into the article's names and shapes."""
    dense = [layer for layer in model if isinstance(layer, Dense)]
    parameters = {}
    for number, layer in enumerate(dense, 1):
        assert layer.bias is not None
        parameters[f"W{number}"] = layer.weight.data.copy()
        parameters[f"b{number}"] = layer.bias.data[:, None].copy()
    return parameters


@pytest.mark.parametrize("samples", [1, 13, 60])
def test_two_hundred_iterations_equal_the_articles(samples: int) -> None:
    rng = np.random.default_rng(samples)
    x = rng.random((samples, 300))
    y = rng.integers(0, 2, samples)
    model = mlp([300, 20, 7, 5, 1], rng=5, dtype=np.float64)
    parameters = as_columns(model)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=0.0075))

    history = trainer.fit(x, y, epochs=200, print_every=None)
    costs = reference.train(x.T, y[None, :].astype(float), parameters, 0.0075, 200)

    np.testing.assert_allclose(history["loss"], costs, rtol=1e-10)
    for name, value in as_columns(model).items():
        np.testing.assert_allclose(value, parameters[name], rtol=1e-10, atol=1e-14)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 10), seeds)
def test_any_depth_and_width_equals_the_articles(dims: list[int], samples: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, dims[0]))
    y = rng.integers(0, 2, (samples, 1))
    model = mlp([*dims, 1], rng=seed, dtype=np.float64)
    parameters = as_columns(model)
    costs = reference.train(x.T, y.T.astype(float), parameters, 0.05, 10)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=0.05))
    np.testing.assert_allclose(trainer.fit(x, y, epochs=10, print_every=None)["loss"], costs, rtol=1e-10)
    for name, value in as_columns(model).items():
        np.testing.assert_allclose(value, parameters[name], rtol=1e-9, atol=1e-12)


def test_a_step_worked_by_hand() -> None:
    # Two samples of two numbers, one hidden unit, one output:
    #   x = [[1, 2], [3, -1]]   t = [1, 0]   W0 = [[0.5, -0.25]]  b0 = [0.5]   W2 = [[2]]  b2 = [-1]
    # forward   z0 = [0.5 - 0.5 + 0.5, 1.5 + 0.25 + 0.5] = [0.5, 2.25]    a0 = ReLU(z0) = z0
    #           z2 = [2*0.5 - 1, 2*2.25 - 1] = [0, 3.5]
    #           p  = [0.5, 1 / (1 + e^-3.5)] = [0.5, 0.97068777]
    # cost      -(log 0.5 + log(1 - 0.97068777)) / 2 = (0.69314718 + 3.52975042) / 2 = 2.11144880
    # backward  dz2 = (p - t) / 2 = [-0.25, 0.48534388]
    #           dW2 = -0.25*0.5 + 0.48534388*2.25 = 0.96702374            db2 = 0.23534388
    #           dz0 = dz2 * 2, both units being open = [-0.5, 0.97068777]
    #           dW0 = [-0.5*1 + 0.97068777*3, -0.5*2 - 0.97068777] = [2.41206331, -1.97068777]
    #           db0 = 0.47068777
    # update    w - 0.1 * dw
    hidden, output = Dense(2, 1, dtype=np.float64), Dense(1, 1, dtype=np.float64)
    model = Sequential(hidden, ReLU(), output, Sigmoid())
    model.load_state_dict({"0.weight": [[0.5, -0.25]], "0.bias": [0.5], "2.weight": [[2.0]], "2.bias": [-1.0]})
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=0.1))
    history = trainer.fit([[1.0, 2.0], [3.0, -1.0]], [1, 0], epochs=1, print_every=None)

    assert history["loss"][0] == pytest.approx((math.log(2) + math.log1p(math.exp(3.5))) / 2, rel=1e-15)
    assert history["loss"][0] == pytest.approx(2.11144880, abs=1e-8)
    state = model.state_dict()
    np.testing.assert_allclose(state["0.weight"], [[0.5 - 0.241206331, -0.25 + 0.197068777]], atol=1e-8)
    np.testing.assert_allclose(state["0.bias"], [0.5 - 0.047068777], atol=1e-8)
    np.testing.assert_allclose(state["2.weight"], [[2 - 0.096702374]], atol=1e-8)
    np.testing.assert_allclose(state["2.bias"], [-1 - 0.023534388], atol=1e-8)


def test_the_first_weights_are_the_articles_draws() -> None:
    model = mlp([50, 4, 1], rng=3)
    rng = np.random.default_rng(3)
    expected = (rng.standard_normal((4, 50)) / np.sqrt(50)).astype(np.float32)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], expected)
    np.testing.assert_array_equal(model.state_dict()["0.bias"], np.zeros(4, np.float32))
