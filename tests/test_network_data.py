"""What the browser is given of a network: its layers with shapes and weights, or a clear error; and the script."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import (
    BatchNorm,
    Conv1D,
    Dense,
    Embedding,
    GlobalAveragePool1D,
    LayerInputError,
    LeakyReLU,
    Masked,
    MaxPool1D,
    Module,
    Parallel,
    ReLU,
    Residual,
    SelfAttention,
    Sequential,
    mlp,
)
from minidl._typing import Array
from minidl.architecture import BUILT_IN
from minidl.inspect import _network_data
from minidl.inspect._formula import formula_of
from minidl.inspect._network_data import SCRIPTS, network_data, network_script

FOLDER = Path(_network_data.__file__).parent / "page"
FILES = sorted(FOLDER.glob("network*.js"))


class Double(Module):
    def forward(self, x: Array) -> Array:
        return 2 * x


class Named(Dense):
    """A layer with another name, which computes what Dense computes."""


class Bent(LeakyReLU):
    """A layer whose forward pass is the built-in one, with another formula in it."""

    def _formula(self, z: Array) -> Any:
        yield 3 * z
        yield z


class Encoder(Sequential):
    """Layers in a row that are known by other names, too, in another order."""

    def __init__(self) -> None:
        self.head = Dense(3, 2, rng=0)
        self.unused = Double()
        super().__init__(Dense(4, 3, rng=1), self.head)


def changed(layer: Module) -> Module:
    vars(layer)["forward"] = np.negative
    return layer


def weight_of(node: dict[str, Any], name: str) -> Array:
    weight = node["weights"][name]
    return np.frombuffer(b64decode(weight["data"]), "<f4").reshape(weight["shape"])


def test_every_layer_with_its_shapes_and_weights() -> None:
    model = Sequential(Residual(Dense(4, 4, rng=0), ReLU(), shortcut=BatchNorm(4)), Dense(4, 1, bias=False, rng=1))
    data = json.loads(json.dumps(network_data(model, (4,)), allow_nan=False))
    assert data["format"] == "minidl network 1"
    block, last = data["network"]["children"]
    assert [node["path"] for node in block["children"]] == ["0.0", "0.1", "0.shortcut"]
    assert [node["kind"] for node in block["children"]] == ["Dense", "ReLU", "BatchNorm"]
    assert (last["inputShape"], last["outputShape"], last["parameterCount"]) == ([4], [1], 4)
    assert block["parameterCount"] == 28
    assert block["children"][2]["arguments"] == {
        "features": 4, "momentum": 0.1, "epsilon": 1e-05
    }  # fmt: skip
    np.testing.assert_array_equal(weight_of(last, "weight"), model[1].weight.data)
    assert list(last["weights"]) == ["weight"]
    assert list(block["children"][2]["weights"]) == ["weight", "bias", "running_mean", "running_variance"]


def test_weights_in_double_precision_are_rounded() -> None:
    model = Dense(3, 2, rng=0, dtype=np.float64)
    weight = weight_of(network_data(model, (3,))["network"], "weight")
    np.testing.assert_array_equal(weight, model.weight.data.astype(np.float32))
    model.weight.data[0, 0] = 1e300
    with pytest.raises(ValueError, match=r"^0.weight: expected numbers up to 3.4e\+38 in size, received 1e\+300"):
        network_data(Sequential(model), (3,))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (
            Sequential(Dense(2, 2), Sequential(Double())),
            "layer 1.0, Double(): expected layers that minidl has",
        ),
        (Double(), "Double(): expected layers that minidl has, received one of the class Double,"),
        (Parallel(Bent()), "layer 0, LeakyReLU(0.01): expected layers that minidl has, received one of the class Bent"),
        (Residual(shortcut=Double()), "layer shortcut, Double(): expected"),
        (changed(Dense(2, 2)), "Dense(2 -> 2): expected"),
    ],
)
def test_layers_of_other_classes_are_refused(model: Module, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(name)}"):
        network_data(model, (2,))


def test_subclasses_that_compute_the_same() -> None:
    assert network_data(Named(3, 2), (3,))["network"]["kind"] == "Dense"
    model = Encoder()
    network = network_data(model, (4,))["network"]
    assert [node["path"] for node in network["children"]] == ["0", "1"]
    np.testing.assert_array_equal(weight_of(network["children"][1], "weight"), model.head.weight.data)


@pytest.mark.parametrize("x", [None, "a.npz", [1.0]])
def test_no_module(x: Any) -> None:
    with pytest.raises(TypeError, match=r"^model: expected a Module, received"):
        network_data(x, (3,))


def test_an_input_shape_that_the_network_does_not_take() -> None:
    with pytest.raises(LayerInputError, match=r"^layer 0, Dense\(3 -> 1\): expected \(batch, 3\), received \(1, 4\)$"):
        network_data(mlp([3, 1]), (4,))
    with pytest.raises(ValueError, match=r"^input_shape\[0\]: expected"):
        network_data(mlp([3, 1]), (-1,))


@pytest.mark.parametrize(
    ("model", "shape", "output"),
    [
        (Masked(Embedding(3, 2), MaxPool1D(2), padding=0), (4,), [2, 2]),  # no step may be 0
        (Masked(Conv1D(1, 1, 2), padding=1), (3, 1), [2, 1]),  # no step may be 1
        (Masked(Masked(Embedding(3, 2), padding=1), padding=0), (1,), [1, 2]),  # it may be neither
        (Sequential(Embedding(1, 2), GlobalAveragePool1D()), (4,), [2]),  # all have to be 0
        (Parallel(Dense(2, 3), Dense(4, 3)), ((2,), (4,)), [3]),
        (SelfAttention(4, 2), (3, 4), [3, 4]),
    ],
)
def test_shapes_are_found_with_numbers_that_the_network_takes(model: Module, shape: Any, output: list[int]) -> None:
    network = network_data(model, shape)["network"]
    assert network["outputShape"] == output
    assert network["inputShape"] == json.loads(json.dumps(shape))
    assert all("outputShape" in node for node in network["children"])


def test_the_model_stays_as_it_is() -> None:
    model = Sequential(Dense(3, 3, rng=0), BatchNorm(3))
    before = model.state_dict()
    with np.errstate(all="raise"):
        network_data(model, (3,))
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())
    assert model.training
    with pytest.raises(RuntimeError, match="backward needs a forward pass"):
        model.backward(np.ones((1, 3)))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_layer_has_a_formula(name: str) -> None:
    formula = formula_of(BUILT_IN[name])
    assert "=" in formula or name == "TransformerBlock"
    assert "`" not in formula
    assert all(formula.count(left) == formula.count(right) for left, right in [("(", ")"), ("[", "]")])


def test_all_files_of_the_script_are_in_it_and_short() -> None:
    assert sorted(f"{name}.js" for name in SCRIPTS) == [path.name for path in FILES]
    script = network_script()
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert text in script
        assert len(text.splitlines()) <= 220
        assert max(map(len, text.splitlines())) <= 120
        assert text.startswith("// ")
    assert "</" not in script  # which may end a script inside a page
    assert "import " not in script
    assert script.isascii()
