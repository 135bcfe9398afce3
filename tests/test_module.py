"""Module: registration, names, modes, and the strict state dictionary."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from strategies import networks

from minidl import Buffer, Dense, Module, Parameter, ReLU, Rescale, Sequential, mlp
from minidl._typing import Array


class Residual(Module):
    """A user's module: children in attributes and in a list, and a parameter of its own."""

    def __init__(self) -> None:
        self.gain = Parameter(np.ones(1))
        self.inner = Sequential(Dense(2, 2, rng=0), ReLU())
        self.blocks = [Dense(2, 2, rng=1, bias=False), Dense(2, 2, rng=2, bias=False)]

    def forward(self, x: Array) -> Array:
        return x + self.inner.forward(x)


def test_names_follow_the_order_of_definition() -> None:
    module = Residual()
    expected = ["gain", "inner.0.weight", "inner.0.bias", "blocks.0.weight", "blocks.1.weight"]
    assert [name for name, _ in module.named_parameters()] == expected
    assert list(module.state_dict()) == expected
    assert len(module.parameters()) == 5
    assert list(mlp([3, 2, 1]).state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_parameter_of_two_layers_is_listed_once() -> None:
    first, second = Dense(2, 2), Dense(2, 2)
    second.weight = first.weight
    assert [name for name, _ in Sequential(first, second).named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_modes_reach_every_module_and_are_restored() -> None:
    module = Residual()
    assert module.training
    assert module.eval() is module
    assert not any(child.training for _, child in module.named_modules())
    module.train()
    module.blocks[0].eval()
    with module.mode(training=False):
        assert not module.blocks[1].training
    assert module.blocks[1].training
    assert not module.blocks[0].training


def test_a_module_without_passes_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match=r"Module does not define forward\(x\)"):
        Module()(np.zeros(1))
    with pytest.raises(NotImplementedError, match=r"Residual does not define backward"):
        Residual().backward(np.zeros(1))


@given(networks())
def test_state_round_trip(network: tuple[Sequential, Array, Array]) -> None:
    model, x, _ = network
    state = model.state_dict()
    other = mlp([x.shape[1], *[p.shape[0] for name, p in model.named_parameters() if "weight" in name]], rng=1)
    for parameter in other.parameters():
        parameter.data = parameter.data.astype(np.float64)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_the_state_is_a_copy_both_ways() -> None:
    model = mlp([2, 1], rng=0)
    state = model.state_dict()
    model.parameters()[0].data += 1
    assert (state["0.weight"] != model.state_dict()["0.weight"]).all()
    model.load_state_dict(state)
    state["0.weight"] += 5
    assert (state["0.weight"] != model.state_dict()["0.weight"]).all()


def test_loading_keeps_the_models_precision() -> None:
    model = mlp([2, 1])
    model.load_state_dict({"0.weight": [[1, 2]], "0.bias": np.array([0.5], np.float64)})
    assert model.state_dict()["0.weight"].dtype == np.float32
    assert model.state_dict()["0.weight"].tolist() == [[1.0, 2.0]]


def test_everything_wrong_is_reported_at_once_and_nothing_is_loaded() -> None:
    model = mlp([2, 3, 1], rng=0)
    before = model.state_dict()
    state = {"0.weight": np.zeros((2, 3)), "0.bias": np.zeros(3), "2.bias": ["a"], "5.weight": np.zeros(1)}
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        model.load_state_dict(state)
    assert str(error.value).splitlines()[1:] == [
        "  missing 2.weight (1, 3)",
        "  0.weight: expected shape (3, 2), received (2, 3)",
        "  2.bias: expected real numbers, received dtype <U1",
        "  unexpected 5.weight (1,)",
    ]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_buffers_are_state_without_gradient() -> None:
    module = Residual()
    module.seen = Buffer(np.array([3.0]))  # type: ignore[attr-defined]
    assert "seen" in module.state_dict()
    assert "seen" not in dict(module.named_parameters())
    state = module.state_dict()
    module.load_state_dict({**state, "seen": [4]})
    assert module.state_dict()["seen"].tolist() == [4.0]


@pytest.mark.parametrize("layer", [Dense(3, 2, bias=False, dtype=np.float64), ReLU(), Rescale(2.0, -1.0)], ids=repr)
def test_config_builds_the_layer_anew(layer: Module) -> None:
    config = json.loads(json.dumps(layer.config()))
    again = type(layer)(**config)
    assert repr(again) == repr(layer)
    assert again.config() == layer.config()
    assert [(n, b.shape, b.data.dtype) for n, b in again.named_state()] == [
        (n, b.shape, b.data.dtype) for n, b in layer.named_state()
    ]


def test_repr_of_a_parameter() -> None:
    assert repr(Parameter(np.zeros((2, 1)))) == "Parameter(shape=(2, 1), dtype=float64)"
