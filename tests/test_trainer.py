"""Trainer: the loop against a plain one, training through logits, checks, and the history."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import networks, seeds

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Dense,
    Flatten,
    LogSoftmax,
    Loss,
    MeanSquaredError,
    Parameter,
    Rescale,
    Sequential,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Trainer,
    accuracy,
    mlp,
)
from minidl._typing import Array
from minidl.data.batches import Batches
from minidl.training import Problem
from minidl.training.rewrites import activation_before, through_logits


def trainer_for(model: Sequential, learning_rate: float = 0.1) -> Trainer:
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate))


def two_moons(n: int = 60) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, math.pi, n)
    y = np.arange(n) % 2
    x = np.stack([np.cos(angle) * (1 - 2 * y) + y, np.sin(angle) * (1 - 2 * y) + 0.5 * y], axis=1)
    return x + rng.normal(0, 0.05, x.shape), y


def a_network() -> tuple[Sequential, Array, Array]:
    """One with more samples than a batch, no two of them alike."""
    x = np.random.default_rng(1).normal(size=(7, 2))
    return mlp([2, 3, 1], rng=0, dtype=np.float64), x, np.arange(7.0)[:, None] / 7


@example(network=a_network(), epochs=3, batch_size=3, seed=0)
@given(network=networks(), epochs=st.integers(1, 4), batch_size=st.one_of(st.none(), st.integers(1, 5)), seed=seeds)
def test_fit_against_the_plain_loop(
    network: tuple[Sequential, Array, Array], epochs: int, batch_size: int | None, seed: int
) -> None:
    model, x, y = network
    twin = mlp([x.shape[1], *[p.shape[0] for n, p in model.named_parameters() if "weight" in n]], dtype=np.float64)
    twin.load_state_dict(model.state_dict())
    history = trainer_for(model).fit(x, y, epochs, batch_size, print_every=None, rng=seed)

    loss, optimizer, rng = BinaryCrossEntropy(), SGD(twin.parameters(), 0.1), np.random.default_rng(seed)
    costs = []
    for _ in range(epochs):
        order = np.arange(len(x)) if batch_size is None else rng.permutation(len(x))
        size, total = batch_size or len(x), 0.0
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            output = twin(x[rows])
            total += loss(output, y[rows]) * len(rows)
            twin.backward(loss.gradient(output, y[rows]))
            optimizer.step()
        costs.append(total / len(x))
    np.testing.assert_allclose(history["loss"], costs, rtol=1e-8)
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value, rtol=1e-8, atol=1e-10)


def test_it_learns_what_no_straight_line_separates() -> None:
    x, y = two_moons()
    model = mlp([2, 16, 1], rng=0)
    trainer = trainer_for(model, 1.0)
    history = trainer.fit(x, y, epochs=800, print_every=None)
    assert history["loss"][0] > 0.5
    assert trainer.evaluate(x, y)["accuracy"] == 1.0
    assert trainer.evaluate(x, y)["loss"] < history["loss"][-1] < 0.05


def test_a_saturated_network_still_learns() -> None:
    model = Sequential(Dense(1, 1, weight_init="zeros"), Sigmoid())
    model.load_state_dict({"0.weight": [[-100.0]], "0.bias": [0.0]})
    x, y = np.array([[1.0]], np.float32), np.array([1])
    trainer = trainer_for(model, 10.0)
    assert trainer.evaluate(x, y)["loss"] == 100.0
    history = trainer.fit(x, y, epochs=30, print_every=None)
    assert history["loss"][0] == 100.0
    assert history["loss"][-1] < 0.1


def test_same_seed_same_bits() -> None:
    x, y = two_moons()
    states = []
    for seed in (4, 4, 5):
        model = mlp([2, 4, 1], rng=0)
        trainer_for(model).fit(x, y, 3, batch_size=8, print_every=None, rng=seed)
        states.append(model.state_dict()["0.weight"])
    np.testing.assert_array_equal(states[0], states[1])
    assert (states[0] != states[2]).any()


def test_the_printed_lines(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = two_moons()
    model = mlp([2, 1], rng=0)
    history = trainer_for(model).fit(x, y, epochs=102, print_every=50)
    costs = history["loss"]
    expected = [f"Cost after iteration {i}: {costs[i]:.6f}" for i in (0, 50, 100, 101)]
    assert capsys.readouterr().out.splitlines() == expected
    trainer_for(model).fit(x, y, 3, batch_size=10, validation_data=(x, y), print_every=2, rng=0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Cost after epoch 0", "Cost after epoch 2"]
    assert "val_loss" in lines[0]
    assert "val_accuracy" in lines[0]
    trainer_for(model).fit(x, y, 3, print_every=None)
    assert capsys.readouterr().out == ""


def test_validation_is_measured_after_the_update() -> None:
    x, y = two_moons()
    model = mlp([2, 4, 1], rng=0)
    trainer = trainer_for(model)
    history = trainer.fit(x, y, 4, validation_data=(x, y), print_every=None)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert history["val_loss"][:-1] == pytest.approx(history["loss"][1:], rel=1e-6)
    assert history["val_accuracy"][-1] == trainer.evaluate(x, y)["accuracy"]


@given(networks(), st.integers(1, 7))
def test_evaluate(network: tuple[Sequential, Array, Array], batch_size: int) -> None:
    model, x, y = network
    trainer = trainer_for(model)
    whole = trainer.evaluate(x, y)
    p = model.predict(x)
    assert whole["loss"] == pytest.approx(BinaryCrossEntropy()(p, y), rel=1e-9, abs=1e-12)
    assert whole["accuracy"] == accuracy(model[:-1].predict(x), y, threshold=0)
    pieces = trainer.evaluate(x, y[:, 0], batch_size=batch_size)
    assert pieces == pytest.approx(whole, rel=1e-12)
    assert model.training


def test_the_mode_is_restored_and_the_data_untouched() -> None:
    x, y = two_moons()
    x_before, y_before = x.copy(), y.copy()
    model = mlp([2, 2, 1], rng=0).eval()
    trainer_for(model).fit(x, y, 2, batch_size=7, print_every=None)
    assert not model.training
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


def test_pixels_go_straight_in() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    model = Sequential(Rescale(), Flatten(), *mlp([48, 3, 1], rng=0))
    flat = mlp([48, 3, 1], rng=0)
    history = trainer_for(model).fit(x, [0, 1] * 4, 3, print_every=None)
    same = trainer_for(flat).fit(x.reshape(8, -1) / 255, [0, 1] * 4, 3, print_every=None)
    assert history["loss"] == pytest.approx(same["loss"], rel=1e-5)


X, Y = np.zeros((4, 2)), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((0, 2)), "y": []}, "at least one sample and one target for each, received shapes"),
        ({"y": [0, 1]}, r"received shapes \(4, 2\) and \(2,\)"),
        ({"x": np.full((4, 2), np.nan)}, "x: expected finite numbers, received NaN or infinity, first in row 0"),
        ({"y": [0, 1, np.inf, 0]}, "y: expected finite numbers, received NaN or infinity, first in row 2"),
        ({"y": [0, 1, 2, 1]}, r"targets in \[0, 1\], received values from 0 to 2"),
        ({"y": [-1, 1, 1, 1]}, r"targets in \[0, 1\], received values from -1 to 1"),
        ({"y": ["cat"] * 4}, "expected numbers, received dtype <U3"),
        ({"y": np.zeros((4, 2))}, r"target of the prediction's shape \(4, 1\), received \(4, 2\)"),
        ({"x": np.zeros((4, 3))}, r"layer 0, Dense\(2 -> 1\): expected \(batch, 2\), received \(4, 3\)"),
        ({"x": np.zeros((4, 2), np.uint8)}, "layer 0.*received dtype uint8; put Rescale"),
        ({"x": np.array([["a", "b"]] * 4)}, "layer 0.*received dtype <U1"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, received 0"),
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1"),
        ({"print_every": 0}, "print_every: expected a whole number of at least 1"),
        ({"rng": "seed"}, "rng: expected a seed"),
        ({"validation_data": (X, np.array([0, 1, 5, 0]))}, r"targets in \[0, 1\], received values from 0 to 5"),
        ({"validation_data": (X[:0], Y[:0])}, "validation x and validation y: expected at least one sample"),
    ],
)
def test_bad_input_changes_nothing(arguments: dict[str, Any], message: str) -> None:
    model = mlp([2, 1], rng=0).eval()
    before = model.state_dict()
    complete: dict[str, Any] = {"x": X, "y": Y, "epochs": 1, "print_every": None} | arguments
    with pytest.raises(ValueError, match=message):
        trainer_for(model).fit(**complete)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert not model.training


def test_bad_parts() -> None:
    model = mlp([2, 1])
    optimizer = SGD(model.parameters())
    with pytest.raises(TypeError, match="Trainer loss: expected a Loss, received 'bce'"):
        Trainer(model, "bce", optimizer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"parameter 0, .* is not the model's; make the optimizer with"):
        Trainer(mlp([2, 1]), BinaryCrossEntropy(), optimizer)


class OddSigmoid(Sigmoid):
    def forward(self, x: Array) -> Array:
        return super().forward(x) * 0.5


class OddBackward(Sigmoid):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * 0.5


class NamedSigmoid(Sigmoid):
    """A subclass that computes the same."""


class OddNetwork(Sequential):
    def forward(self, x: Array) -> Array:
        return super().forward(x) * 0.5


class OddLoss(BinaryCrossEntropy):
    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(prediction, target) * 0.5


def problem_of(model: Sequential, loss: Loss) -> Problem:
    optimizer = SGD(model.parameters() or [Parameter(np.zeros(1))])
    return Problem(model, loss, optimizer, Batches(np.zeros((1, 2)), np.zeros((1, 1))))


@pytest.mark.parametrize("from_logits", [False, True])
def test_sigmoid_before_softmax_cross_entropy_is_refused(from_logits: bool) -> None:
    model = Sequential(Dense(2, 3), Sigmoid())
    with pytest.raises(ValueError, match=r"SoftmaxCrossEntropy.* the model ends in Sigmoid: leave it out"):
        Trainer(model, SoftmaxCrossEntropy(from_logits=from_logits), SGD(model.parameters()))


@pytest.mark.parametrize(
    ("model", "loss", "applies"),
    [
        (mlp([2, 1]), BinaryCrossEntropy(), True),
        (mlp([2, 1])[:-1], BinaryCrossEntropy(from_logits=True), False),
        (Sequential(mlp([2, 3]), Sequential(Dense(3, 1), Sigmoid())), BinaryCrossEntropy(), True),
        (Sequential(Dense(2, 1), NamedSigmoid()), BinaryCrossEntropy(), True),
        (Sequential(Dense(2, 3), Softmax()), SoftmaxCrossEntropy(from_logits=False), True),
        (Sequential(Dense(2, 3), LogSoftmax()), SoftmaxCrossEntropy(0.1), True),
        (Sequential(Dense(2, 3), LogSoftmax()), MeanSquaredError(), False),
        (Sequential(Dense(2, 3), Softplus()), SoftmaxCrossEntropy(), False),
        (Sequential(Dense(2, 1), OddSigmoid()), BinaryCrossEntropy(), False),
        (Sequential(Dense(2, 1), OddBackward()), BinaryCrossEntropy(), False),
        (OddNetwork(Dense(2, 1), Sigmoid()), BinaryCrossEntropy(), False),
        (mlp([2, 1]), OddLoss(), False),
        (mlp([2, 1]), MeanSquaredError(), False),
        (Sequential(), BinaryCrossEntropy(), False),
    ],
)
def test_through_logits_only_where_it_is_the_same_thing(model: Sequential, loss: Loss, applies: bool) -> None:
    problem = problem_of(model, loss)
    result = through_logits(problem)
    if not applies:
        assert result is problem
        assert activation_before(model, loss) is None
        return
    assert type(result.loss) is type(loss)
    assert isinstance(result.loss, (BinaryCrossEntropy, SoftmaxCrossEntropy))
    assert result.loss.from_logits
    assert result.model is not model
    assert result.activation is not None
    assert result.activation is activation_before(model, loss)
    assert (result.optimizer, result.batches) == (problem.optimizer, problem.batches)
    x = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(result.activation(result.model(x)), model(x))


@pytest.mark.parametrize(
    ("model", "loss", "last"),
    [
        (mlp([2, 1]), BinaryCrossEntropy(from_logits=True), "Sigmoid"),
        (Sequential(Dense(2, 3), Softmax()), SoftmaxCrossEntropy(), "Softmax"),
    ],
)
def test_a_model_that_ends_in_an_activation_and_a_loss_of_logits(model: Sequential, loss: Loss, last: str) -> None:
    message = rf"takes logits, but the model ends in {last}\(\): leave one of the two out"
    with pytest.raises(ValueError, match=message):
        Trainer(model, loss, SGD(model.parameters()))


def test_a_model_that_ends_in_log_softmax_and_a_loss_of_probabilities() -> None:
    model = Sequential(Dense(2, 3), LogSoftmax())
    with pytest.raises(ValueError, match=r"takes probabilities, but the model ends in LogSoftmax\(\): use from_logits"):
        Trainer(model, SoftmaxCrossEntropy(from_logits=False), SGD(model.parameters()))


def test_log_softmax_and_logits_are_trained_alike() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.integers(3, size=30)
    dense = [Dense(4, 3, rng=1, dtype=np.float64) for _ in range(2)]
    histories = []
    for model in (Sequential(dense[0], LogSoftmax()), Sequential(dense[1])):
        metrics = {"mean": lambda p, t: float(np.exp(p).sum(axis=1).mean())}
        trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 0.5), metrics)
        histories.append(trainer.fit(x, y, 5, print_every=None))
        assert trainer.evaluate(x, y)["loss"] == pytest.approx(SoftmaxCrossEntropy()(model.predict(x), y), rel=1e-12)
    assert histories[0]["loss"] == histories[1]["loss"]
    assert histories[0]["accuracy"] == histories[1]["accuracy"]
    np.testing.assert_array_equal(dense[0].weight.data, dense[1].weight.data)
    np.testing.assert_allclose(histories[0]["mean"], 1)  # metrics are given the model's outputs, log-probabilities


def test_the_present_or_last_run_is_the_trainers() -> None:
    x, y = two_moons()
    trainer = trainer_for(mlp([2, 1]))
    assert (trainer.run, trainer.epoch, trainer.history.epochs) == (None, 0, 0)
    history = trainer.fit(x, y, 2, print_every=None)
    assert trainer.run is not None
    assert trainer.run.history is trainer.history is history
    assert (trainer.epoch, trainer.run.epochs) == (2, 2)
    assert trainer.run.metrics == {name: values[-1] for name, values in history.items()}
    assert (trainer.run.model, trainer.run.optimizer) == (trainer.model, trainer.optimizer)


def test_logits_are_judged_at_zero() -> None:
    model = Sequential(Dense(1, 1, weight_init="zeros"))
    model.load_state_dict({"0.weight": [[0.0]], "0.bias": [0.3]})
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()))
    assert trainer.evaluate([[1.0]], [1])["accuracy"] == 1.0


def test_history_is_read_only() -> None:
    x, y = two_moons()
    history = trainer_for(mlp([2, 1])).fit(x, y, 2, print_every=None)
    history["loss"].append(0.0)
    assert len(history["loss"]) == 2
    assert not hasattr(history, "__setitem__")
    assert list(dict(history)) == ["loss", "accuracy", "seconds"]
    assert repr(history) == "History(loss, accuracy, seconds; 2 epochs)"
