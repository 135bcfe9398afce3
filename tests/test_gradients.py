"""Property tests: every analytic gradient against central differences, over random shapes, depths and values."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, batches, networks, seeds, sizes

from minidl import (
    BinaryCrossEntropy,
    Dense,
    Flatten,
    Hinge,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    ReLU,
    Rescale,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
)
from minidl._typing import Array
from minidl.testing import gradcheck


@given(batches(), sizes, st.booleans(), seeds)
def test_dense(x: Array, units: int, bias: bool, seed: int) -> None:
    assert gradcheck(Dense(x.shape[1], units, bias=bias, rng=seed), x, rng=seed) < 1e-5


@given(batches(), seeds)
def test_relu(x: Array, seed: int) -> None:
    assert gradcheck(ReLU(), x, rng=seed) < 1e-5


@given(batches(), seeds)
def test_sigmoid(x: Array, seed: int) -> None:
    assert gradcheck(Sigmoid(), x, rng=seed) < 1e-5


@given(sizes.flatmap(lambda n: arrays((n, 2, 3, 2))), st.floats(0.01, 3), st.floats(-1, 1), seeds)
def test_input_layers(x: Array, scale: float, offset: float, seed: int) -> None:
    assert gradcheck(Sequential(Rescale(scale, offset), Flatten(), Dense(12, 2, rng=seed)), x, rng=seed) < 1e-5


@given(batches(features=1, low=-40, high=40), seeds, st.data())
def test_cross_entropy_of_logits(z: Array, seed: int, data: st.DataObject) -> None:
    target = data.draw(arrays(z.shape, 0, 1))
    assert gradcheck(BinaryCrossEntropy(from_logits=True), z, target, rng=seed) < 1e-5


@given(batches(features=2, low=0.02, high=0.98), seeds, st.data())
def test_cross_entropy_of_probabilities(p: Array, seed: int, data: st.DataObject) -> None:
    target = data.draw(arrays(p.shape, 0, 1))
    assert gradcheck(BinaryCrossEntropy(), p, target, rng=seed) < 1e-5


@given(batches(features=2, low=0.02, high=0.98), st.floats(0.1, 10), seeds, st.data())
def test_weighted_cross_entropy(p: Array, weight: float, seed: int, data: st.DataObject) -> None:
    target = data.draw(arrays(p.shape, 0, 1))
    assert gradcheck(BinaryCrossEntropy(pos_weight=weight), p, target, rng=seed) < 1e-5
    z = 20 * p - 10
    assert gradcheck(BinaryCrossEntropy(from_logits=True, pos_weight=weight), z, target, rng=seed) < 1e-5


@given(batches(), seeds)
def test_mean_squared_error(p: Array, seed: int) -> None:
    assert gradcheck(MeanSquaredError(), p, p[::-1] + 1, rng=seed) < 1e-5


@given(batches(), st.sampled_from([0.1, 1.0, 30.0]), seeds)
def test_robust_losses(p: Array, delta: float, seed: int) -> None:
    # `gradcheck` moves away from kinks by up to a thousandth.
    for loss in (MeanAbsoluteError(), Huber(delta)):
        assert gradcheck(loss, p, p[::-1] + 1.3, rng=seed) < 1e-5


@given(batches(), st.booleans(), st.booleans(), seeds)
def test_hinge(p: Array, squared: bool, with_signs: bool, seed: int) -> None:
    target = np.random.default_rng(seed).integers(2, size=p.shape)
    assert gradcheck(Hinge(squared), p, 2 * target - 1 if with_signs else target, rng=seed) < 1e-5


@given(sizes, st.integers(2, 6), st.sampled_from([0.0, 0.1, 0.9]), st.booleans(), st.booleans(), seeds)
def test_softmax_cross_entropy(n: int, k: int, smoothing: float, from_logits: bool, hard: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(k, size=n) if hard else rng.dirichlet(np.ones(k), size=n)
    prediction = rng.normal(scale=5, size=(n, k)) if from_logits else rng.dirichlet(np.full(k, 20), size=n)
    assert gradcheck(SoftmaxCrossEntropy(smoothing, from_logits), prediction, target, rng=seed) < 1e-5


@given(networks(), seeds)
def test_network(network: tuple[Sequential, Array, Array], seed: int) -> None:
    model, x, _ = network
    assert gradcheck(model, x, rng=seed) < 1e-5


@given(networks(), seeds)
def test_network_with_its_loss(network: tuple[Sequential, Array, Array], seed: int) -> None:
    model, x, y = network
    assert gradcheck((model, BinaryCrossEntropy()), x, y, rng=seed) < 1e-5
    assert gradcheck((model[:-1], BinaryCrossEntropy(from_logits=True)), x, y, rng=seed) < 1e-5


@given(seeds)
def test_a_tensor_too_large_to_check_whole(seed: int) -> None:
    model: Module = Sequential(Dense(300, 20, rng=seed), ReLU(), Dense(20, 1, rng=seed + 1))
    x = np.random.default_rng(seed).normal(size=(4, 300))
    assert gradcheck(model, x, rng=seed) < 1e-5
