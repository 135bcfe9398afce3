"""Saliency: the gradient of a logit with respect to the input, held to numerical differences and to PyTorch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks

from minidl import (
    GRU,
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool2D,
    LogSoftmax,
    MaxPool2D,
    Module,
    Normalize,
    Parallel,
    ReLU,
    Rescale,
    Residual,
    Run,
    SelfAttention,
    Sequential,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.inspect import saliency

F64: Any = np.float64


def numerical(function: Any, x: Array, step: float = 1e-6) -> Array:
    """Return central differences of `function(x)`, a number for each sample, sample by sample."""
    gradient = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up)[place[0]] - function(down)[place[0]]) / (2 * step)
    return gradient


def kinds() -> dict[str, tuple[Module, Module, tuple[int, ...]]]:
    """Return networks in float64, each with the part that gives its logits, and the shape of a sample."""
    conv = Sequential(Conv2D(2, 3, 2, rng=0, dtype=F64), BatchNorm(3, dtype=F64), Tanh(), MaxPool2D(2),
                      Dropout(0.5, rng=1), GlobalAveragePool2D(), Dense(3, 4, rng=2, dtype=F64))  # fmt: skip
    norm: Any = conv[1]
    rng = np.random.default_rng(0)
    norm.running_mean.data, norm.running_variance.data = rng.normal(size=3), rng.uniform(0.5, 2, 3)
    norm.weight.data, norm.bias.data = rng.normal(size=3), rng.normal(size=3)
    merged = Parallel(Dense(3, 2, rng=1, dtype=F64), Dense(3, 2, rng=3, dtype=F64), merge="multiply")
    residual = Sequential(Residual(Dense(3, 3, rng=0, dtype=F64), Tanh()), merged)
    sequence = Sequential(SelfAttention(2, 1, rng=0, dtype=F64), GRU(2, 3, return_sequence=False, rng=1, dtype=F64))
    normalized = Sequential(Normalize(3, dtype=F64).adapt(rng.normal(size=(9, 3)) * 5), Dense(3, 1, rng=0, dtype=F64))
    return {
        "a convolutional network": (Sequential(*conv, Softmax()), conv, (5, 5, 2)),
        "containers": (Sequential(residual, LogSoftmax()), residual, (3,)),
        "a sequence": (sequence, sequence, (4, 2)),
        "one output": (Sequential(*normalized, Sigmoid()), normalized, (3,)),
        "without parameters": (Sequential(Tanh(), Softmax()), Tanh(), (3,)),
    }


@pytest.mark.parametrize("name", kinds())
def test_is_the_gradient_of_the_logit(name: str) -> None:
    model, to_logits, shape = kinds()[name]
    x = np.random.default_rng(3).normal(size=(3, *shape))
    logits = to_logits.predict(x)
    found = saliency(model, x)
    top = logits.argmax(axis=1)
    np.testing.assert_allclose(found, numerical(lambda x: to_logits.predict(x)[np.arange(3), top], x), atol=1e-7)
    last = logits.shape[1] - 1
    expected = numerical(lambda x: to_logits.predict(x)[:, last], x)
    np.testing.assert_allclose(saliency(model, x, of=last or 1), expected, atol=1e-7)
    np.testing.assert_array_equal(saliency(model, x[0], of=last or 1), saliency(model, x[:1], of=last or 1)[0])


@given(drawn=networks())
def test_networks_of_any_depth(drawn: tuple[Sequential, Array, Array]) -> None:
    model, x, _ = drawn
    gradient, weights = np.ones((len(x), 1)), [p.data for p in model.parameters() if p.data.ndim == 2]
    a, slopes = x, list[Any]()
    for i, layer in enumerate(model[:-1]):
        a = layer.predict(a)
        if isinstance(layer, ReLU):
            slopes.append((i, a > 0))
    for weight, slope in zip(reversed(weights), [*(s for _, s in reversed(slopes)), 1.0], strict=True):
        gradient = gradient @ weight * slope
    np.testing.assert_allclose(saliency(model, x), gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(saliency(model, x, of=0), -saliency(model, x, of=1))


def test_a_sure_network_still_has_a_gradient() -> None:
    model = mlp([2, 1], rng=0)
    model[0].weight.data[...] = 1000.0
    np.testing.assert_array_equal(saliency(model, [1.0, 1.0]), [1000.0, 1000.0])


def test_pixels_and_one_picture() -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([4 * 4 * 3, 5, 1], rng=0))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    found = saliency(model, pixels)
    assert found.dtype == np.float32
    assert found.shape == pixels.shape
    np.testing.assert_array_equal(found, saliency(model, pixels.astype(np.float32)))
    np.testing.assert_array_equal(found[1], saliency(model, pixels[1]))


def test_the_mean_over_noisy_copies() -> None:
    model, rng = Sequential(Dense(3, 5, rng=0, dtype=F64), Tanh(), Dense(5, 2, rng=1, dtype=F64)), np.random.default_rng
    x = rng(0).normal(size=(4, 3))
    noisy, expected = rng(7), np.zeros(x.shape)
    spread = x.max(axis=1, keepdims=True) - x.min(axis=1, keepdims=True)
    chosen = model.predict(x).argmax(axis=1)
    for _ in range(5):
        copies = x + 0.2 * spread * noisy.standard_normal(x.shape)
        for i in range(4):
            expected[i] += saliency(model, copies[i], of=int(chosen[i])) / 5
    np.testing.assert_allclose(saliency(model, x, smooth=5, noise=0.2, rng=7), expected, rtol=1e-12)
    np.testing.assert_allclose(saliency(model, x, smooth=3, noise=0.0), saliency(model, x), rtol=1e-15)


def test_a_place_in_a_map() -> None:
    model = Sequential(Conv2D(1, 2, 3, padding="same", rng=0), Sigmoid())
    found = saliency(model, np.zeros((1, 5, 5, 1), np.float32), of=(2, 3, 1))
    expected = np.zeros((5, 5))
    expected[1:4, 2:5] = model[0].weight.data[1, :, :, 0]
    np.testing.assert_array_equal(found[0, :, :, 0], expected)


def test_several_inputs_have_a_gradient_each() -> None:
    model = Sequential(Parallel(Dense(2, 3, rng=0), Dense(4, 3, rng=1)), Dense(3, 2, rng=2))
    first, second = saliency(model, (np.ones((5, 2)), np.ones((5, 4))), of=0)
    expected = model[1].weight.data[0] @ model[0].branches[1].weight.data
    assert first.shape == (5, 2)
    np.testing.assert_allclose(second, np.tile(expected, (5, 1)), rtol=1e-5)


def test_the_model_stays_as_it_was() -> None:
    model = kinds()["a convolutional network"][0]
    x, y = np.random.default_rng(3).normal(size=(6, 5, 5, 2)), np.eye(4)[[0, 1, 2, 3, 0, 1]]
    optimizer = SGD(model.parameters(), 0.1)
    Trainer(model, SoftmaxCrossEntropy(from_logits=False), optimizer).fit(x, y, 2, print_every=None)
    output = model.train()(x)
    twin = deepcopy(model)
    saved = [module._saved for _, module in model.named_modules()]
    gradients = [parameter.grad for parameter in model.parameters()]
    saliency(model, x, smooth=2, rng=0)
    assert [module._saved for _, module in model.named_modules()] == saved
    for (_, one), (_, other) in zip(model.named_state(), twin.named_state(), strict=True):
        np.testing.assert_array_equal(one.data, other.data)
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    np.testing.assert_array_equal(model(x), twin(x))  # the same units are dropped
    assert model.training
    assert output.shape == (6, 4)


def test_inside_a_dual_run() -> None:
    model = mlp([30, 4, 1], rng=0)
    x = np.random.default_rng(0).normal(size=(6, 30)).astype(np.float32)
    seen: list[tuple[Array, Array]] = []

    class Look(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Any) -> None:
            seen.append((saliency(run.model, x), saliency(deepcopy(run.model), x)))

    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    trainer.fit(x, [0, 1, 0, 1, 1, 0], 2, dual=True, print_every=None, callbacks=[Look()])
    np.testing.assert_array_equal(*seen[0])
    np.testing.assert_array_equal(seen[1][0], saliency(model, x))


class OtherInTraining(Module):
    def forward(self, x: Array) -> Array:
        return 2 * x if self.training else x

    def backward(self, grad_output: Array) -> Array:
        return 2 * grad_output


def test_mistakes() -> None:
    model, x = mlp([2, 3, 2], rng=0), np.ones((1, 2))
    with pytest.raises(ValueError, match=r"saliency of: expected a place in a sample's output \(2,\), received 2"):
        saliency(model, x, of=2)
    with pytest.raises(ValueError, match="saliency of: expected 0, 1 or None, received 2"):
        saliency(mlp([2, 1], rng=0), x, of=2)
    with pytest.raises(ValueError, match=r"of: expected a place in a sample's output \(3, 2\), received None"):
        saliency(Dense(2, 2), np.ones((1, 3, 2)))
    with pytest.raises(ValueError, match="received tokens for Embedding"):
        saliency(Sequential(Embedding(3, 2), Dense(2, 2)), np.array([[1, 2]]), of=(0, 0))
    with pytest.raises(ValueError, match="saliency smooth: expected a whole number of at least 0, received -1"):
        saliency(model, x, smooth=-1)
    with pytest.raises(ValueError, match="saliency noise"):
        saliency(model, x, noise=-1.0)
    with pytest.raises(ValueError, match="x: expected finite numbers"):
        saliency(model, [[1.0, np.nan]])
    with pytest.raises(TypeError, match="model: expected a Module, received 3"):
        saliency(3, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected"):
        saliency(model, np.ones((1, 5)))
    with pytest.raises(ValueError, match="compute the same in training and evaluation mode"):
        saliency(Sequential(OtherInTraining(), Dense(2, 2)), x)


@given(seed=st.integers(0, 99))
def test_equals_pytorch(seed: int) -> None:
    torch = pytest.importorskip("torch")
    model, rng = mlp([4, 5, 3], rng=seed, dtype=F64), np.random.default_rng(seed)
    x = rng.normal(size=(3, 4))
    inputs = torch.tensor(x, requires_grad=True)
    a = inputs
    for i, layer in enumerate(model[:-1]):
        if isinstance(layer, Dense):
            assert layer.bias is not None
            a = a @ torch.tensor(layer.weight.data).T + torch.tensor(layer.bias.data)
        elif i < len(model) - 1:
            a = torch.relu(a)
    a.max(dim=1).values.sum().backward()
    np.testing.assert_allclose(saliency(model, x), inputs.grad.numpy(), rtol=1e-9, atol=1e-12)
