"""Gradient accumulation: several batches of one update against one batch of their samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    LogSoftmax,
    Loss,
    NonFiniteError,
    Run,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    Trainer,
    mlp,
)
from minidl._typing import Array


def model_of(outputs: int = 1) -> Sequential:
    return Sequential(Dense(3, 4, rng=0, dtype="float64"), Tanh(), Dense(4, outputs, rng=1, dtype="float64"))


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 4), st.sampled_from([None, 0.1]), st.booleans(), seeds)
def test_as_one_batch_of_all_samples(
    n: int, size: int, every: int, clip: float | None, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)), rng.integers(2, size=(n, 1))
    weights = rng.uniform(0.1, 3, n) if weighted else None
    states = []
    both: list[dict[str, Any]] = [{"batch_size": size, "accumulate": every}, {"batch_size": size * every}]
    for options in both:
        model = model_of()
        optimizer = SGD(model.parameters(), 0.5, momentum=0.5, weight_decay=0.1, max_gradient_norm=clip)
        trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)
        trainer.fit(x, y, 3, rng=seed, sample_weight=weights, print_every=None, **options)
        states.append((model.state_dict(), optimizer.steps, [p.grad for p in model.parameters()]))
    (first, steps, gradients), (second, expected, right) = states
    assert steps == expected == 3 * -(-n // (size * every))
    for name, array in first.items():
        np.testing.assert_allclose(array, second[name], rtol=1e-9, atol=1e-11)
    for one, other in zip(gradients, right, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_targets_that_are_ignored_have_no_weight() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.integers(3, size=12)
    y[[1, 2, 5, 8, 9, 10]] = -1
    states = []
    both: list[dict[str, Any]] = [{"batch_size": 4, "accumulate": 3}, {"batch_size": 12}]
    for options in both:
        model = Sequential(*model_of(3), LogSoftmax())
        loss = SoftmaxCrossEntropy(ignore_index=-1)
        Trainer(model, loss, SGD(model.parameters(), 0.5)).fit(x, y, 5, rng=0, print_every=None, **options)
        states.append(model.state_dict())
    for name, array in states[0].items():
        np.testing.assert_allclose(array, states[1][name], rtol=1e-9)


class OwnStep(Trainer):
    def train_step(self, problem: Any, x: Array, y: Array) -> dict[str, Any]:
        output = problem.model(x)
        problem.model.backward(problem.loss.gradient(output, y))
        problem.optimizer.step()
        return {"loss": problem.cost(output, y)}


X = np.random.default_rng(0).normal(size=(14, 3))
Y = (X[:, :1] > 0).astype(float)
LOSS: Loss = BinaryCrossEntropy(from_logits=True)


def test_a_step_of_ones_own_accumulates_too() -> None:
    states = []
    for kind in (Trainer, OwnStep):
        model = model_of()
        kind(model, LOSS, Adam(model.parameters())).fit(X, Y, 4, 3, rng=1, accumulate=2, print_every=None)
        states.append(model.state_dict())
    for name, array in states[0].items():
        np.testing.assert_allclose(array, states[1][name], rtol=1e-12)


class BreakOff(Callback):
    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        if (run.epoch, batch) == (5, 2):
            raise RuntimeError("broken off")


def test_a_run_is_resumed_in_the_same_bits_and_with_the_same_groups_alone(tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 3, "rng": 1, "accumulate": 2, "print_every": None}

    def make() -> Trainer:
        model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Tanh(), Dense(4, 1, rng=0))
        return Trainer(model, LOSS, SGD(model.parameters(), 0.5, momentum=0.9))

    part, resumed, other = make(), make(), make()
    with pytest.raises(RuntimeError, match="broken off"):
        part.fit(X, Y, 9, callbacks=[BreakOff(), Checkpoint(tmp_path / "p", 2)], **options)
    assert part.epoch == 5
    part.fit(X, Y, 1, **options)  # nothing is left over of the epoch that broke off
    for trainer in (resumed, other):
        trainer.resume(tmp_path / "p")
    with pytest.raises(ValueError, match="fit after resume, accumulate: expected 2, as in the checkpoint, received 1"):
        other.fit(X, Y, 9, callbacks=[BreakOff(), Checkpoint(tmp_path / "o")], **{**options, "accumulate": 1})
    state = resumed.optimizer.state_dict()
    assert state["steps"] == 4 * 3
    resumed.fit(X, Y, 5, callbacks=[BreakOff(), Checkpoint(tmp_path / "p", 2)], **options)
    again = make()
    again.fit(X, Y, 5, **options)
    for name, array in again.model.state_dict().items():
        np.testing.assert_array_equal(array, resumed.model.state_dict()[name])


def test_gradients_near_the_largest_numbers() -> None:
    class Steep(Loss):
        def value(self, prediction: Array, target: Array) -> float:
            return 1.0

        def gradient(self, prediction: Array, target: Array) -> Array:
            return np.full_like(prediction, 2e38 / len(prediction))

    model = Sequential(Dense(1, 1, rng=0))
    trainer = Trainer(model, Steep(), SGD(model.parameters(), 1e-38))
    before = model[0].weight.data.copy()
    x, y = np.ones((4, 1), np.float32), np.ones((4, 1))
    trainer.fit(x, y, 1, 1, rng=0, accumulate=4, print_every=None)
    np.testing.assert_allclose(before - model[0].weight.data, 2, rtol=1e-5)
    with pytest.raises(NonFiniteError):
        Trainer(model, Steep(), SGD(model.parameters(), 10.0)).fit(x, y, 1, 1, accumulate=4, print_every=None)


def test_bad_arguments() -> None:
    model = mlp([3, 1])
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()))
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(ValueError, match="accumulate: expected a whole number of at least 1, received"):
            trainer.fit(X, Y, 1, 2, accumulate=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="accumulate: expected a batch_size with it, received accumulate=2"):
        trainer.fit(X, Y, 1, accumulate=2)
