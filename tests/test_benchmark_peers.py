"""All sides of the benchmarks do the same arithmetic: from the same weights, the loss and outputs of a plain loop."""

from __future__ import annotations

import importlib.util
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, sizes

from benchmarks.peers import Job, Minidl, Peer, peers_for, step_times, time_of_step
from minidl import mlp
from minidl._typing import Array

ALL: dict[str, type[Peer]] = {"minidl": Minidl, **peers_for(batch_size=1)}
# Where all extras are installed no test may be skipped: sides that are in no extra are tested where they are installed.
IN_EXTRAS = {"minidl", "PyTorch", "PyTorch, rows in order", "scikit-learn"}
SIDES = {
    name: kind
    for name, kind in ALL.items()
    if name in IN_EXTRAS or all(importlib.util.find_spec(m) for m in kind.requires)
}
DIMS, SAMPLES, BATCH, LEARNING_RATE = [6, 5, 4, 1], 37, 8, 0.5


class Plain:
    """The formulas of the network and of its gradients, in float64, a sample's loss at a time."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.weights = [(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in job.weights]

    def epoch(self, order: Array | None) -> float:
        n, losses = len(self.job.x), 0.0
        order, size = np.arange(n) if order is None else order, self.job.batch_size or n
        for start, stop in pairwise([*range(0, n, size), n]):
            x, y = (array[order[start:stop]].astype(np.float64) for array in (self.job.x, self.job.y))
            losses += self.step(x, y)
        return losses / n

    def step(self, x: Array, y: Array) -> float:
        inputs = [x]
        for weight, bias in self.weights[:-1]:
            inputs.append(np.maximum(inputs[-1] @ weight.T + bias, 0))
        weight, bias = self.weights[-1]
        p = 1 / (1 + np.exp(-(inputs[-1] @ weight.T + bias)))
        grad = (p - y) / len(x)
        for i in reversed(range(len(self.weights))):
            weight, bias = self.weights[i]
            changed = (
                weight - self.job.learning_rate * grad.T @ inputs[i],
                bias - self.job.learning_rate * grad.sum(axis=0),
            )
            grad = (grad @ weight) * (inputs[i] > 0)
            self.weights[i] = changed
        return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum())

    def predict(self, x: Array) -> Array:
        for weight, bias in self.weights[:-1]:
            x = np.maximum(x @ weight.T + bias, 0)
        weight, bias = self.weights[-1]
        return np.asarray(1 / (1 + np.exp(-(x @ weight.T + bias))))


def job_of(
    batch_size: int | None, dims: list[int] = DIMS, samples: int = SAMPLES, seed: int = 0, rate: float = LEARNING_RATE
) -> Job:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, dims[0]), dtype=np.float32)
    y = (rng.random((samples, 1)) < 0.5).astype(np.float32)
    y[:2] = [[0], [1]]  # scikit-learn asks for both classes
    model = mlp(dims, rng=seed)
    for parameter in model.parameters():  # biases of 0 would hide one that is left out
        parameter.data[...] += rng.uniform(-0.3, 0.3, parameter.data.shape)
    return Job(model, x, y, rate, batch_size)


def both(name: str, job: Job) -> tuple[Peer, Plain]:
    """Return a side and the plain one, with the same weights."""
    for module in SIDES[name].requires if name in IN_EXTRAS else ():
        pytest.importorskip(module)
    if not SIDES[name].is_installed():
        pytest.skip(f"{name} is installed, but does not run")
    plain = Plain(job)
    return SIDES[name](job), plain


def assert_same_outputs(side: Peer, plain: Plain) -> None:
    outputs = side.predict(side.job.x)
    assert outputs.shape == side.job.y.shape
    np.testing.assert_allclose(outputs, plain.predict(side.job.x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("name", SIDES)
def test_an_epoch_of_mini_batches(name: str, shuffled: bool) -> None:
    side, plain = both(name, job_of(BATCH))
    assert_same_outputs(side, plain)
    rng = np.random.default_rng(1)
    for _ in range(2):
        order = rng.permutation(SAMPLES) if shuffled else None
        assert side.epoch(order) == pytest.approx(plain.epoch(order), rel=1e-5)
        assert_same_outputs(side, plain)


@pytest.mark.parametrize("name", SIDES)
def test_training_on_the_full_batch(name: str) -> None:
    side, plain = both(name, job_of(None))
    for epochs in (3, 1):  # a second call goes on
        side.train(epochs)
        for _ in range(epochs):
            plain.epoch(None)
        assert_same_outputs(side, plain)


@pytest.mark.parametrize("name", SIDES)
def test_training_on_mini_batches(name: str) -> None:
    job = job_of(BATCH)
    side, plain = both(name, job)
    orders = [order for order in job.orders(2) if order is not None]
    assert len(orders) == 2
    assert all(sorted(order) == list(range(SAMPLES)) for order in orders)
    assert list(orders[0]) != list(orders[1])
    side.train(2)
    if name == "PyTorch, rows in order":
        orders = [np.arange(SAMPLES)] * 2
    for order in orders:
        first = plain.epoch(order)
    if name in ("Keras on JAX", "scikit-learn"):  # which shuffle themselves, in an order that they do not tell
        assert side.epoch(None) < first
        return
    assert_same_outputs(side, plain)


@given(seeds, st.lists(sizes, min_size=1, max_size=4), st.integers(2, 20), st.integers(1, 25), st.floats(0.01, 0.5))
def test_sides_that_do_not_compile_train_alike_at_any_size(
    seed: int, dims: list[int], samples: int, batch_size: int, rate: float
) -> None:
    order = np.random.default_rng(seed).permutation(samples)
    for name in ("minidl", "PyTorch", "scikit-learn"):
        if SIDES[name].is_installed():
            side, plain = both(name, job_of(batch_size, [*dims, 1], samples, seed, rate))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Got `batch_size` less than 1 or larger than sample size")
                loss = side.epoch(order)
            assert loss == pytest.approx(plain.epoch(order), rel=1e-4)
            assert_same_outputs(side, plain)


def test_scikit_learn_never_stops_early() -> None:
    side, _ = both("scikit-learn", job_of(BATCH, rate=1e-9))  # which makes no progress
    for _ in range(5):
        side.train(2)
        assert side.classifier.n_iter_ == 2  # type: ignore[attr-defined]


def test_a_peer_that_is_not_installed_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("peer", "keras"):
        monkeypatch.setattr(f"benchmarks.peers.{module}.peer", lambda name: None)
    monkeypatch.setattr("benchmarks.peers.tinygrad.Tinygrad.is_installed", lambda: False)
    assert step_times(job_of(BATCH), epochs=1) == dict.fromkeys(peers_for(BATCH))


def test_the_time_of_a_step_is_that_of_the_epochs_over_their_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 40.0])
    trained: list[int] = []
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    side = Minidl(job_of(BATCH))
    monkeypatch.setattr(side, "train", trained.append)
    assert time_of_step(side, epochs=3)() == 30.0 / (3 * 5)
    assert trained == [3]
