"""Trace: what a network computes and keeps on the way, and the gradients that come back, for every kind of network."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import networks

from benchmarks.attacks.pickled_things import layers as every_layer
from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    MeanSquaredError,
    Module,
    Parallel,
    Parameter,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Trainer,
    WeightedLoss,
    mlp,
)
from minidl._samples import leaves
from minidl._typing import Array
from minidl.inspect import Trace, trace

F64: Any = np.float64


def state(model: Module) -> list[Any]:
    """Return all that a pass might change: saved arrays, weights and buffers, gradients, generators."""
    found: list[Any] = []
    for _, module in model.named_modules():
        found.append(module._saved)
        found += [buffer.data.copy() for _, buffer in module.named_state()]
        found += [parameter.grad for parameter in module.parameters()]
        found.append(str(module.rng.bit_generator.state) if isinstance(module, Dropout) else None)
    return found


def assert_same_state(before: list[Any], after: list[Any]) -> None:
    for one, other in zip(before, after, strict=True):
        if isinstance(one, tuple) or one is None:
            assert one is other
        else:
            np.testing.assert_array_equal(one, other)


@given(drawn=networks())
def test_the_articles_network_by_its_formulas(drawn: tuple[Sequential, Array, Array]) -> None:
    model, x, y = drawn
    found: Any = trace(model, x, y, BinaryCrossEntropy())
    inputs, outputs, a = [], [], x
    for layer in model:
        inputs.append(a)
        if isinstance(layer, Dense):
            assert layer.bias is not None
            a = a @ layer.weight.data.T + layer.bias.data
        else:
            a = np.maximum(a, 0) if isinstance(layer, ReLU) else 1 / (1 + np.exp(-a))
        outputs.append(a)
    z = inputs[-1]
    cost = np.mean(np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z))))
    np.testing.assert_allclose(found.cost, cost, rtol=1e-9, atol=1e-12)
    g = (outputs[-1] - y) / len(x)  # of the logits
    for i in reversed(range(len(model) - 1)):
        at = found[str(i)]
        for mine, expected in ((at.input, inputs[i]), (at.output, outputs[i]), (at.grad_output, g)):
            np.testing.assert_allclose(mine, expected, rtol=1e-7, atol=1e-11)
        if isinstance(model[i], Dense):
            np.testing.assert_allclose(at.gradients["weight"], g.T @ inputs[i], rtol=1e-7, atol=1e-10)
            np.testing.assert_allclose(at.gradients["bias"], g.sum(axis=0), rtol=1e-7, atol=1e-10)
            np.testing.assert_array_equal(at.parameters["weight"], model[i].weight.data)
            assert list(at.kept) == ["x"]
            g = g @ model[i].weight.data
        else:
            g = g * (inputs[i] > 0)
        np.testing.assert_allclose(at.grad_input, g, rtol=1e-7, atol=1e-11)


SHARED = every_layer()


@pytest.mark.parametrize("name", [name for name in SHARED if name not in ("Dropout", "BatchNorm", "Sequential")])
def test_every_layer_alone_and_in_a_row(name: str) -> None:
    layer, use = deepcopy(SHARED[name][0]), SHARED[name][1]
    x = use.keywords["x"]  # type: ignore[attr-defined]
    for model, path in ((layer, ""), (Sequential(layer), "0")):
        model.forget()
        output = model.predict(x)
        y = np.zeros_like(output)
        before = state(model)
        found: Any = trace(model, x, y, MeanSquaredError())
        assert_same_state(before, state(model))
        twin = deepcopy(model).train()
        np.testing.assert_array_equal(twin(x), found.output)
        grad_x = twin.backward(MeanSquaredError().gradient(found.output, y))
        np.testing.assert_array_equal(found.output, output)
        for mine, expected in zip(leaves(found[path].grad_input), leaves(grad_x), strict=True):
            np.testing.assert_array_equal(mine, expected)
        gradients = {
            f"{at.path}.{name}" if at.path else name: gradient
            for at in found
            for name, gradient in at.gradients.items()
        }
        expected_gradients = {name: p.grad for name, p in twin.named_parameters() if p.grad is not None}
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(gradient, expected_gradients[name])
        assert found[path].formula or type(layer).__doc__ is None
        assert str(found).count("\n") >= len(found)


def nested() -> Sequential:
    """Return a network of containers, with statistics that training has moved."""
    rng = np.random.default_rng(0)
    block = Residual(Conv2D(2, 2, 3, padding=1, rng=0, dtype=F64), BatchNorm(2, dtype=F64), ReLU(), Dropout(0.5, rng=1))
    branches = Parallel(block, Sequential(Conv2D(2, 2, 1, rng=2, dtype=F64)), merge="concatenate")
    norm: Any = block[1]
    norm.running_mean.data, norm.running_variance.data = rng.normal(size=2), rng.uniform(0.5, 2, 2)
    norm.weight.data, norm.bias.data = rng.normal(size=2), rng.normal(size=2)
    return Sequential(branches, GlobalAveragePool2D(), Dense(4, 3, rng=3, dtype=F64), Softmax())


def test_containers_in_evaluation_have_numerical_gradients() -> None:
    model, x, y = nested(), np.random.default_rng(1).normal(size=(4, 3, 3, 2)), np.array([0, 2, 1, 1])
    loss = SoftmaxCrossEntropy(from_logits=False)
    found: Any = trace(model, x, y, loss)
    assert [layer.path for layer in found] == [
        "", "0", "0.0", "0.0.0", "0.0.1", "0.0.2", "0.0.3", "0.1", "0.1.0", "1", "2", "3",
    ]  # fmt: skip
    assert found["0"].name == "Parallel"
    assert found["0.0.3"].name == "Dropout(0.5)"
    np.testing.assert_array_equal(found["0.0.3"].output, found["0.0.3"].input)
    np.testing.assert_allclose(found.cost, loss(model.predict(x), y), rtol=1e-12)
    h = (found["0.0.1"].input - model[0].branches[0][1].running_mean.data) / np.sqrt(
        model[0].branches[0][1].running_variance.data + 1e-5
    )
    norm = model[0].branches[0][1]
    np.testing.assert_allclose(found["0.0.1"].output, h * norm.weight.data + norm.bias.data, rtol=1e-12)
    for name, parameter in model.named_parameters():
        path, _, own = name.rpartition(".")
        gradient = found[path].gradients[own]
        for place in list(np.ndindex(*parameter.shape))[:12]:
            costs = []
            for step in (1e-6, -2e-6):
                parameter.data[place] += step
                costs.append(loss(model.predict(x), y))
            parameter.data[place] += 1e-6
            np.testing.assert_allclose(gradient[place], (costs[0] - costs[1]) / 2e-6, rtol=1e-5, atol=1e-8)


def test_training_mode_is_what_the_next_step_does() -> None:
    x, y = np.random.default_rng(1).normal(size=(4, 3, 3, 2)), np.array([0, 2, 1, 1])
    model, loss = nested(), SoftmaxCrossEntropy(from_logits=False)
    before = state(model)
    found: Any = trace(model, x, y, loss, training=True)
    assert_same_state(before, state(model))
    assert set(np.unique(found["0.0.3"].kept["mask"])) == {0.0, 2.0}
    assert list(found["0.0.1"].kept) == ["x", "mean", "inverse_deviation"]
    history = Trainer(model, loss, SGD(model.parameters(), 0.1)).fit(x, y, 1, print_every=None)
    np.testing.assert_allclose(found.cost, history["loss"][0], rtol=1e-12)
    for name, parameter in model.named_parameters():
        path, _, own = name.rpartition(".")
        expected: Any = parameter.grad
        np.testing.assert_allclose(found[path].gradients[own], expected, rtol=1e-9, atol=1e-12)


def test_the_model_stays_as_it_is_in_the_middle_of_a_step() -> None:
    model, x = mlp([3, 4, 1], rng=0), np.ones((5, 3), np.float32)
    output = model(x)
    before = state(model)
    trace(model, x, np.ones((5, 1)), BinaryCrossEntropy())
    trace(model, x, training=True)
    assert_same_state(before, state(model))
    model.backward(np.ones_like(output))


def test_saturated_probabilities_still_have_a_gradient() -> None:
    model = Sequential(Dense(1, 1, rng=0), Sigmoid())
    model[0].weight.data[...], x = 1.0, np.array([[-200.0]], np.float32)
    found: Any = trace(model, x, [1], BinaryCrossEntropy())
    assert found.cost == 200.0
    assert found["0"].grad_output is not None
    assert found["0"].grad_output.tolist() == [[-1.0]]


def test_one_sample_and_a_batch() -> None:
    model = Sequential(Flatten(), *mlp([12, 3, 1], rng=0))
    x = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    found: Any = trace(model, x, 1, BinaryCrossEntropy())
    assert found.x.shape == (1, 2, 2, 3)
    np.testing.assert_array_equal(found.output, trace(model, x[None]).output)
    assert found.cost == trace(model, x[None], [1], BinaryCrossEntropy()).cost
    x[...] = 0
    assert found.x.any()
    several = Sequential(Parallel(Dense(2, 3, rng=0), Dense(4, 3, rng=1)))
    assert trace(several, (np.ones((5, 2)), np.ones((5, 4))))["0.1"].input.shape == (5, 4)


class Gate(Module):
    """The input times what the layers make of it."""

    def __init__(self, body: Module) -> None:
        self.body, self.scale = body, Parameter(np.ones(1))

    def forward(self, x: Array) -> Array:
        gate = self.body(x)
        self.save_for_backward(x, {"gate": [gate]})
        y: Array = self.scale.data * x * gate
        return y

    def backward(self, grad_output: Array) -> Array:
        x, saved = self.saved_for_backward()
        gate = saved["gate"].pop()
        self.scale.grad = (grad_output * x * gate).sum(keepdims=True).ravel()
        through: Array = self.scale.data * grad_output * gate + self.body.backward(self.scale.data * grad_output * x)
        return through


def test_a_container_of_ones_own() -> None:
    model, x = Gate(Dense(2, 2, rng=0, dtype=F64)), np.random.default_rng(0).normal(size=(3, 2))
    found: Any = trace(model, x, np.zeros((3, 2)), MeanSquaredError())
    gate = x @ model.body.weight.data.T  # type: ignore[attr-defined]
    assert (found[""].name, found[""].formula) == ("Gate", "")
    assert list(found[""].kept) == ["x", "1['gate'][0]"]
    np.testing.assert_allclose(found.output, x * gate)
    np.testing.assert_allclose(found["body"].grad_output, 2 * (x * gate) * x / 6)
    np.testing.assert_allclose(found[""].gradients["scale"], (2 * (x * gate) * x * gate / 6).sum(keepdims=True)[0])
    assert found["body"].gradients.keys() == {"weight", "bias"}


def test_it_prints_and_pickles() -> None:
    found: Any = trace(mlp([2, 3, 1], rng=0), [[0.5, -1.0]], [1], BinaryCrossEntropy())
    lines = str(found).splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert lines[2].startswith("0  Dense(2 -> 3)  z = x W.T + b")
    assert "x (1, 2)" in lines[2]
    assert lines[-1] == f"cost {found.cost:.6g}"
    assert found._repr_html_().count("<tr>") == 6
    assert repr(found) == f"Trace(5 modules, output (1, 1), cost={found.cost:.6g})"
    assert repr(found["0"]) == "LayerTrace('0', Dense(2 -> 3), output (1, 3))"
    assert str(pickle.loads(pickle.dumps(found))) == str(found)
    forward = trace(mlp([2, 3, 1], rng=0), [[0.5, -1.0]])
    assert forward.cost is None
    assert forward["0"].grad_output is None
    assert "cost" not in str(forward)
    assert isinstance(forward, Trace)


def test_numbers_that_are_not_finite_are_shown() -> None:
    model = mlp([2, 3, 1], rng=0)
    model[0].weight.data[...] = np.nan
    with np.errstate(all="raise"):
        assert "nan" in str(trace(model, [[0.5, -1.0]]))


def test_mistakes() -> None:
    model, x, loss = mlp([2, 3, 1], rng=0), np.ones((4, 2)), BinaryCrossEntropy()
    with pytest.raises(ValueError, match="expected y and loss together, received y alone"):
        trace(model, x, [1])
    with pytest.raises(ValueError, match="expected y and loss together, received loss alone"):
        trace(model, x, loss=loss)
    with pytest.raises(TypeError, match=r"trace loss: expected a Loss.*received 'mse'"):
        trace(model, x, [1], "mse")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="trace loss: expected a Loss"):
        trace(model, x, [1], WeightedLoss(loss))
    with pytest.raises(ValueError, match="expected a target of the prediction's shape"):
        trace(model, x, [1, 2, 3], loss)
    with pytest.raises(KeyError, match="expected the path of a module that was called, one of '', '0'"):
        trace(model, x)["9"]
    with pytest.raises(ValueError, match="x: expected finite numbers, received NaN or infinity, first in row 1"):
        trace(model, [[1.0, 2.0], [np.nan, 0.0]])
    with pytest.raises(ValueError, match="expected"):
        trace(model, np.ones((4, 3)))


def test_gradients_equal_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    model, rng = mlp([4, 6, 5, 1], rng=0, dtype=F64), np.random.default_rng(0)
    x, y = rng.normal(size=(7, 4)), rng.integers(0, 2, (7, 1)).astype(float)
    found: Any = trace(model, x, y, BinaryCrossEntropy())
    parameters = {name: torch.tensor(p.data, requires_grad=True) for name, p in model.named_parameters()}
    a = torch.tensor(x)
    for i in range(0, 6, 2):
        z = a @ parameters[f"{i}.weight"].T + parameters[f"{i}.bias"]
        z.retain_grad()
        parameters[f"{i}.z"], a = z, torch.relu(z)
    cost = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.tensor(y))
    cost.backward()
    np.testing.assert_allclose(found.cost, cost.item(), rtol=1e-12)
    for name, tensor in parameters.items():
        path, _, own = name.rpartition(".")
        mine: Any = found[path].grad_output if own == "z" else found[path].gradients[own]
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-9, atol=1e-13)
