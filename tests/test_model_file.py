"""save and load: the same bits back, modules of the user by name, and one clear error for every bad file."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks

from minidl import (
    SGD,
    AveragePool1D,
    AveragePool2D,
    BinaryCrossEntropy,
    Buffer,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    MaxPool1D,
    MaxPool2D,
    ModelFileError,
    Module,
    Parameter,
    ReLU,
    Rescale,
    Sequential,
    Sigmoid,
    Trainer,
    load,
    load_metadata,
    mlp,
    save,
)
from minidl._typing import Array, Seed
from minidl.archive import read_archive, write_archive
from minidl.initializers import Initializer, resolve


class Scale(Module):
    """A user's layer: sizes, a buffer of integers, and a child of its own."""

    def __init__(self, features: int, factor: tuple[float, ...] = (2.0,)) -> None:
        self.features, self.factor = features, factor
        self.gain = Parameter(np.ones(features, np.float32))
        self.seen = Buffer(np.array(7, np.int64))
        self.inner = Dense(features, features, rng=0)

    def forward(self, x: Array) -> Array:
        return self.inner.forward(x * self.gain.data * np.float32(sum(self.factor)))


class Mixing(Module):
    """A user's layer of two weights of one shape, which it does not copy."""

    def __init__(self, size: int, *, weight_init: str | Initializer = "he_normal", rng: Seed = None) -> None:
        self.size = size
        draw, generator = resolve(weight_init), np.random.default_rng(rng)
        self.left = Parameter(draw((size, size), generator))
        self.right = Parameter(draw((size, size), generator))

    def forward(self, x: Array) -> Array:
        return x @ self.left.data @ self.right.data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all draws of a property."""
    return tmp_path_factory.mktemp("models")


def assert_same_network(received: Module, expected: Module) -> None:
    assert repr(received) == repr(expected)
    modules = [[(path, type(module), repr(module)) for path, module in m.named_modules()] for m in (received, expected)]
    assert modules[0] == modules[1]
    states = received.state_dict(), expected.state_dict()
    assert list(states[0]) == list(states[1])
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@settings(max_examples=40)
@given(networks(), st.sampled_from([np.float32, np.float64]), st.booleans())
def test_round_trip(folder: Path, network: tuple[Sequential, Array, Array], dtype: Any, bias: bool) -> None:
    model, x, _ = network
    width = x.shape[1]
    model = Sequential(
        Rescale(0.3, -1 / 3, dtype=dtype), Sequential(Dense(width, width, bias=bias, dtype=dtype)), *model
    )
    save(model, folder / "model.npz", note="any")
    received = load(folder / "model.npz")
    assert_same_network(received, model)
    assert received.predict(x).tobytes() == model.predict(x).tobytes()
    content = (folder / "model.npz").read_bytes()
    save(received, folder / "again.npz", note="any")
    assert (folder / "again.npz").read_bytes() == content


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2D(4, 6, (3, 2), (1, 2), (1, 0), (2, 1), 2, rng=0), (2, 7, 6, 4)),
        (Conv2D(4, 4, 3, padding=((2, 0), (1, 3)), groups=4, bias=False, rng=0), (2, 7, 6, 4)),
        (Conv2D(4, 2, (1, 3), 2, "same_upper", rng=0, dtype=np.float64), (2, 7, 6, 4)),
        (Conv1D(4, 6, 3, 2, (3, 0), 2, 2, rng=0), (2, 9, 4)),
        (Conv1D(4, 6, 3, padding="causal", rng=0), (2, 9, 4)),
        (ConvTranspose2D(4, 6, (3, 2), (1, 3), ((1, 0), (0, 2)), (0, 2), (2, 1), 2, rng=0), (2, 7, 6, 4)),
        (MaxPool2D((2, 3), (1, 2), ((1, 0), (0, 2))), (2, 7, 6, 4)),
        (MaxPool1D(3, 2, (0, 1)), (2, 9, 4)),
        (AveragePool2D((2, 3), 1, (1, 0), count_padding=False), (2, 7, 6, 4)),
        (AveragePool1D(3, 2, (0, 1)), (2, 9, 4)),
        (MaxPool2D(1023, 1000), (1, 1023, 1023, 1)),
    ],
)
def test_windows_come_back_as_they_were(layer: Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    save(Sequential(layer), tmp_path / "model.npz")
    (again,) = load(tmp_path / "model.npz")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    assert repr(again) == repr(layer)
    assert again.windows == layer.windows  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again.predict(x), layer.predict(x))
    save(again, tmp_path / "again.npz")
    save(layer, tmp_path / "layer.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "layer.npz").read_bytes()


def test_metadata(tmp_path: Path) -> None:
    metadata = {"class_names": ["cat", "other"], "image_size": (128, 96), "model": "x", "path": None, "loss": 0.1 + 0.2}
    save(mlp([2, 1]), tmp_path / "model.npz", **metadata)
    assert load_metadata(tmp_path / "model.npz") == {**metadata, "image_size": [128, 96]}


def test_a_fresh_process_needs_no_other_code(tmp_path: Path) -> None:
    model = Sequential(Rescale(offset=-0.5), Flatten(), *mlp([12, 4, 1], rng=0))
    x = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 3), dtype=np.uint8)
    save(model, tmp_path / "model.npz")
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, minidl, numpy; print(minidl.load(sys.argv[1]).predict(numpy.load(sys.argv[2])).tobytes().hex())"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "model.npz"), str(tmp_path / "x.npy")]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == model.predict(x).tobytes().hex()


def test_a_loaded_network_is_in_evaluation_mode_and_can_be_trained(tmp_path: Path) -> None:
    save(Sequential(mlp([2, 1])), tmp_path / "model.npz")
    model = load(tmp_path / "model.npz")
    assert not any(module.training for _, module in model.named_modules())
    before = model.state_dict()
    Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.5)).fit([[1.0, 2.0]], [1], 1, print_every=None)
    assert (model.state_dict()["0.0.weight"] != before["0.0.weight"]).all()


def test_saving_changes_nothing_in_the_model(tmp_path: Path) -> None:
    model = Sequential(Mixing(2, rng=0))
    before, arrays = model.state_dict(), [buffer.data for _, buffer in model.named_state()]
    save(model, tmp_path / "model.npz")
    assert model.training
    for (name, buffer), array in zip(model.named_state(), arrays, strict=True):
        assert buffer.data is array
        np.testing.assert_array_equal(array, before[name])


# ------------------------------------------------------------------------------------------------------- user layers


def test_user_layers(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 3), Sequential(Scale(3, factor=(0.1, 0.2))), Mixing(3, rng=0))
    model[1][0].seen.data[...] = 2**40
    save(model, tmp_path / "model.npz")
    received = load(tmp_path / "model.npz", custom_layers={"Scale": Scale, "Mixing": Mixing})
    assert_same_network(received, model)
    x = np.ones((4, 2), np.float32)
    assert received.predict(x).tobytes() == model.predict(x).tobytes()


def test_a_user_layer_that_load_does_not_know(tmp_path: Path) -> None:
    save(Sequential(ReLU(), Sequential(Scale(3))), tmp_path / "model.npz")
    message = r"model\.npz: layer 1\.0, Scale: no built-in layer; .*, custom_layers=\{'Scale': Scale\}$"
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "model.npz")
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path / "model.npz", custom_layers={"Other": Scale})


def test_custom_layers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="custom_layers: Dense is a built-in layer, expected another name"):
        load(tmp_path / "model.npz", custom_layers={"Dense": Scale})
    no_class: Any = Scale(3)
    message = r"custom_layers\['Scale'\]: expected a class derived from Module, received Scal"
    with pytest.raises(TypeError, match=message):
        load(tmp_path / "model.npz", custom_layers={"Scale": no_class})


# -------------------------------------------------------------------------------------------------- user containers


class Skip(Module):
    """A container of one child and a number."""

    def __init__(self, body: Module, factor: float = 1.0) -> None:
        self.body, self.factor = body, factor

    def forward(self, x: Array) -> Array:
        return x + np.float32(self.factor) * self.body(x)


class Total(Module):
    """The sum of any number of children, each an argument."""

    def __init__(self, *branches: Module) -> None:
        self.branches = list(branches)

    def forward(self, x: Array) -> Array:
        total: Array = np.sum([branch(x) for branch in self.branches], axis=0)
        return total


class WeightedTotal(Total):
    """The same with another argument before the children."""

    def __init__(self, factor: float, *branches: Module) -> None:
        super().__init__(*branches)
        self.factor = factor

    def forward(self, x: Array) -> Array:
        return np.float32(self.factor) * super().forward(x)


class Chain(Module):
    """Children in a list, and in lists there."""

    def __init__(self, steps: Sequence[Sequence[Module]]) -> None:
        self.steps = steps

    def forward(self, x: Array) -> Array:
        for group in self.steps:
            for step in group:
                x = step(x)
        return x


class Heads(Module):
    """Children in a dictionary, in the order of their names' definition."""

    def __init__(self, heads: Mapping[str, Module]) -> None:
        self.heads = heads

    def forward(self, x: Array) -> Array:
        return np.concatenate([head(x) for head in self.heads.values()], axis=1)


class NamedHeads(Heads):
    """The same with children as named arguments."""

    def __init__(self, **heads: Module) -> None:
        super().__init__(heads)


class Tower(Module):
    """A container that builds its children from sizes."""

    def __init__(self, sizes: Sequence[int], rng: Seed = None) -> None:
        self.sizes = sizes
        self.layers = [Dense(before, after, rng=rng) for before, after in pairwise(sizes)]

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x


class Configured(Module):
    """A class that keeps its arguments in other attributes and returns them from a method."""

    def __init__(self, width: int, *, bias: bool = True, rng: Seed = None) -> None:
        self.dense = Dense(width, width, bias=bias, rng=rng)

    def forward(self, x: Array) -> Array:
        return self.dense(x)

    def config(self) -> dict[str, Any]:
        return {"width": self.dense.in_features, "bias": self.dense.bias is not None}


class ConfiguredPair(Module):
    """The same with children, one as an argument and one in a list."""

    def __init__(self, first: Module, others: Sequence[Module]) -> None:
        self.start, self.rest = first, list(others)

    def forward(self, x: Array) -> Array:
        x = self.start(x)
        for module in self.rest:
            x = module(x)
        return x

    def config(self) -> dict[str, Any]:
        return {"first": self.start, "others": self.rest}


class Backwards(Sequential):
    """A Sequential of the user's own, which passes on the arguments and names of its base."""

    def forward(self, x: Array) -> Array:
        for layer in reversed(self.layers):
            x = layer(x)
        return x


CONTAINERS = [Skip, Total, WeightedTotal, Chain, Heads, NamedHeads, Tower, Configured, ConfiguredPair, Backwards]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Skip(Dense(3, 3, bias=False, rng=0), factor=0.1), ["body.weight"]),
        (
            Total(Dense(3, 2, rng=0), Sequential(Dense(3, 2, bias=False, rng=1), ReLU())),
            ["branches.0.weight", "branches.0.bias", "branches.1.0.weight"],
        ),
        (WeightedTotal(0.5, Dense(3, 3, bias=False, rng=0), ReLU()), ["branches.0.weight"]),
        (
            Chain([[Dense(3, 4, bias=False, rng=0), ReLU()], [], [Dense(4, 2, bias=False, rng=1)]]),
            ["steps.0.0.weight", "steps.2.0.weight"],
        ),
        (
            Heads({"left": Dense(3, 2, bias=False, rng=0), "right": Dense(3, 1, rng=1)}),
            ["heads.left.weight", "heads.right.weight", "heads.right.bias"],
        ),
        (NamedHeads(left=Dense(3, 2, bias=False, rng=0), right=ReLU()), ["heads.left.weight"]),
        (Tower((3, 4, 2), rng=0), ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]),
        (Configured(3, bias=False, rng=0), ["dense.weight"]),
        (
            ConfiguredPair(Dense(3, 4, bias=False, rng=0), [ReLU(), Dense(4, 2, bias=False, rng=1)]),
            ["start.weight", "rest.1.weight"],
        ),
        (Backwards(Dense(4, 2, bias=False, rng=0), Dense(3, 4, bias=False, rng=1)), ["0.weight", "1.weight"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Module) else "",
)
@pytest.mark.parametrize("is_nested", [False, True], ids=["alone", "nested"])
def test_user_containers(model: Module, names: list[str], is_nested: bool, tmp_path: Path) -> None:
    if is_nested:
        model = Sequential(Rescale(), Chain([[Skip(Tower([3, 3], rng=2)), Sequential(Heads({"only": model}))]]))
        own = [f"steps.0.0.body.layers.0.{name}" for name in ("weight", "bias")]
        names = [f"1.{name}" for name in (*own, *(f"steps.0.1.0.heads.only.{name}" for name in names))]
    assert list(model.state_dict()) == names
    save(model, tmp_path / "model.npz")
    received = load(tmp_path / "model.npz", custom_layers={cls.__name__: cls for cls in CONTAINERS})
    assert_same_network(received, model)
    x = np.random.default_rng(5).standard_normal((4, 3)).astype(np.float32)
    assert received.predict(x).tobytes() == model.predict(x).tobytes()
    save(received, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "model.npz").read_bytes()


def test_numbers_of_a_container_come_back(tmp_path: Path) -> None:
    save(Sequential(Skip(Tower((2, 3, 2)), factor=0.1)), tmp_path / "model.npz")
    received = load(tmp_path / "model.npz", custom_layers={"Skip": Skip, "Tower": Tower})
    assert (received[0].factor, received[0].body.sizes) == (0.1, [2, 3, 2])


@pytest.mark.parametrize("module", [Dense(3, 2, rng=0), ReLU(), Scale(3)], ids=repr)
def test_any_module_is_a_network(module: Module, tmp_path: Path) -> None:
    save(module, tmp_path / "model.npz", note="one layer")
    received = load(tmp_path / "model.npz", custom_layers={"Scale": Scale})
    assert_same_network(received, module)
    assert not received.training
    assert load_metadata(tmp_path / "model.npz") == {"note": "one layer"}


def test_unknown_classes_in_a_container_are_named_by_their_path(tmp_path: Path) -> None:
    save(Sequential(ReLU(), Heads({"left": Total(Scale(3))})), tmp_path / "model.npz")
    with pytest.raises(ModelFileError, match=r"model\.npz: layer 1, Heads: no built-in layer"):
        load(tmp_path / "model.npz")
    with pytest.raises(
        ModelFileError, match=r"model\.npz: layer 1\.heads\.left\.branches\.0, Scale: no built-in layer"
    ):
        load(tmp_path / "model.npz", custom_layers={"Heads": Heads, "Total": Total})


# ------------------------------------------------------------------------------------------ models that are refused


class Growing(Scale):
    def config(self) -> dict[str, Any]:
        return {"features": self.features, "factor": (*self.factor, 1.0)}


class NotJson(Scale):
    def config(self) -> dict[str, Any]:
        return {"features": np.int64(self.features)}


class TooMuch(Scale):
    def config(self) -> dict[str, Any]:
        return {"features": self.features, "factor": self.factor, "rate": 0.5}


class NoAttribute(Module):
    def __init__(self, features: int, share: float, *, rng: Seed = None) -> None:
        self.features, self.shares = features, [share]

    def forward(self, x: Array) -> Array:
        return x


class Padded(Module):
    """A container that adds a child of its own to those that it is given, and keeps them together."""

    def __init__(self, layers: Sequence[Module]) -> None:
        self.layers = [*layers, ReLU()]

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x


class OtherDtype(Scale):
    def __init__(self, features: int, factor: tuple[float, ...] = (2.0,)) -> None:
        super().__init__(features, factor)
        self.gain = Parameter(np.ones(features, np.float64 if features == 3 else np.float32))
        self.features = 4


def with_the_name_of_a_built_in_layer() -> Module:
    class Dense(Scale):
        pass

    return Dense(3)


def with_names_that_are_no_strings() -> Module:
    heads: Any = {1: Dense(2, 2)}
    return Sequential(Heads(heads))


def with_a_shared_weight() -> Sequential:
    first, second = Dense(2, 2), Dense(2, 2)
    second.weight = first.weight
    return Sequential(first, Sequential(second))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Sequential(NoAttribute(3, 0.5)),
            r"^layer 0, NoAttribute\(\): cannot be saved, since its argument 'share' is not among its attributes; "
            r"keep it as self\.share, or return all arguments from a method config\(\)$",
        ),
        (lambda: NoAttribute(3, 0.5), r"^NoAttribute\(\): cannot be saved, since its argument 'share' is not among"),
        (
            lambda: Sequential(Sequential(Heads({"left": NoAttribute(3, 0.5)}))),
            r"^layer 0\.0\.heads\.left, NoAttribute\(\): cannot be saved, since its argument 'share' is not among",
        ),
        (lambda: Sequential(Growing(3)), r"^layer 0\b.*: its arguments build another, .* instead of {.*\[2\.0, 1\.0\]"),
        (lambda: Growing(3), r"^(?!layer :).*its arguments build another, .* instead of {.*\[2\.0, 1\.0\]"),
        (lambda: Sequential(Total(Growing(3))), r"^layer 0\.branches\.0\b.*: its arguments build another"),
        (lambda: Sequential(Padded([Dense(2, 2)])), r"its arguments build another"),
        (lambda: Padded([Dense(2, 2)]), r"its arguments build another"),
        (lambda: Sequential(Padded([Dense(2, 2)]), Sigmoid()), r"^layer 0\b.*: its arguments build another"),
        (lambda: Sequential(NotJson(3)), r"^(layer )?0\b.*\bfeatures: expected what JSON can hold"),
        (with_names_that_are_no_strings, r"heads: expected names that are strings, received 1"),
        (lambda: Sequential(TooMuch(3)), r"layer 0, TooMuch: cannot be built: .* argument 'rate'"),
        (lambda: Sequential(OtherDtype(3)), r"\b0\.gain: expected float32, received float64"),
        (
            lambda: Sequential(with_the_name_of_a_built_in_layer()),
            r"layer 0, .*: another class has its name, Dense; rename it to save it",
        ),
        (with_a_shared_weight, r"1\.0\.weight and 0\.weight are one Parameter"),
    ],
)
def test_models_that_cannot_be_saved(make: Callable[[], Module], message: str, tmp_path: Path) -> None:
    save(mlp([2, 1]), tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    with pytest.raises(ValueError, match=message):
        save(make(), tmp_path / "model.npz")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_other_failures_of_save_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp([2, 1])
    save(model, tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    with pytest.raises(ValueError, match=r"metadata\.when: expected what JSON can hold"):
        save(model, tmp_path / "model.npz", when=object())
    no_module: Any = [model]
    with pytest.raises(
        TypeError, match=r"save: expected a Module, received \[Sequential\(Dense\(2 -> 1\), Sigmoid\(\)\)\]"
    ):
        save(no_module, tmp_path / "model.npz")

    def full(descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        save(mlp([2, 3, 1]), tmp_path / "model.npz")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


# --------------------------------------------------------------------------------------------------- files gone wrong

GOOD = Sequential(Rescale(), Sequential(Dense(3, 2, rng=0), ReLU()), Dense(2, 1, rng=1), Sigmoid())


def changed(change: Callable[[dict[str, Any], dict[str, Array]], Any], path: Path) -> None:
    """Write the good model's file with a change to its header or its arrays."""
    save(GOOD, path)
    header, arrays = read_archive(path, "model")
    change(header, arrays)
    write_archive(path, "model", header, arrays)


def last_dense(header: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = header["architecture"]["arguments"]["layers"][2]
    return entry


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda h, a: a.pop("1.0.weight"),
            r"layer 1\.0, Dense: cannot be built: no array backs a weight of shape \(2, 3\)",
        ),
        (lambda h, a: a.pop("2.weight"), r"\n  missing 2\.weight \(1, 2\)"),
        (lambda h, a: a.pop("2.bias"), r"\n  missing 2\.bias \(1,\)"),
        (lambda h, a: a.update({"2.gain": np.zeros(1)}), r"\n  unexpected 2\.gain \(1,\)"),
        (lambda h, a: a.update({"3.gain": np.zeros(1)}), r"\n  unexpected 3\.gain \(1,\)"),
        (lambda h, a: a.update({"7.gain": np.zeros(1)}), r"\n  unexpected 7\.gain \(1,\)"),
        (lambda h, a: a.update({"1.x.y": np.zeros(1)}), r"\n  unexpected 1\.x\.y \(1,\)"),
        (lambda h, a: a.update({"gain": np.zeros(1)}), r"\n  unexpected gain \(1,\)"),
        (
            lambda h, a: a.update({"2.weight": np.zeros((2, 1), np.float32)}),
            r"\n  2\.weight: expected shape \(1, 2\), received \(2, 1\)",
        ),
        (
            lambda h, a: a.update({"2.weight": a["2.weight"].astype(np.float64)}),
            r"2\.weight: expected float32, received float64",
        ),
        (
            lambda h, a: last_dense(h)["arguments"].pop("out_features"),
            "layer 2, Dense: cannot be built: .*out_features",
        ),
        (lambda h, a: last_dense(h)["arguments"].update(out_features=-1), "layer 2, Dense: .* received -1"),
        (lambda h, a: last_dense(h)["arguments"].update(out_features="1"), "layer 2, Dense: .* received '1'"),
        (lambda h, a: last_dense(h)["arguments"].update(dtype="object"), "layer 2, Dense: cannot be built: .*dtype"),
        (lambda h, a: last_dense(h)["arguments"].update(dtype={"names": 1}), "layer 2, Dense: cannot be built"),
        (lambda h, a: last_dense(h)["arguments"].update(weight_init="zeros"), "layer 2, Dense: cannot be built"),
        (lambda h, a: last_dense(h)["arguments"].update(self=1), "layer 2, Dense: cannot be built"),
        (lambda h, a: last_dense(h).update(arguments=[]), r"layer 2, Dense: expected arguments by name, received \[\]"),
        (lambda h, a: last_dense(h).update({"class": "Module"}), "layer 2, Module: no built-in layer"),
        (lambda h, a: last_dense(h).update({"class": "os.system"}), "layer 2, os.system: no built-in"),
        (lambda h, a: last_dense(h).update({"class": ["Dense"]}), "layer 2, network: expected a class"),
        (
            lambda h, a: last_dense(h).update(more=1),
            "Sequential, argument 2: expected a Module, received {.*'more': 1}",
        ),
        (
            lambda h, a: h["architecture"]["arguments"].update(layers={"0": {}}),
            "Sequential: cannot be built: Sequential, argument 0: expected a Module, received '0'",
        ),
        (lambda h, a: h["architecture"]["arguments"].update(layers={}), r"\n  unexpected 1\.0\.weight \(2, 3\)"),
        (lambda h, a: h["architecture"]["arguments"].update(layers=7), "Sequential: cannot be built: "),
        (lambda h, a: h["architecture"]["arguments"].update(layers=[7]), "Sequential: cannot be built: .* received 7"),
        (lambda h, a: h["architecture"].update(more=1), "network: expected a class and its arguments, received {"),
        (lambda h, a: h.update(architecture=None), "network: expected a class and its arguments, received None"),
        (lambda h, a: h.pop("architecture"), "network: expected a class and its arguments, received None"),
    ],
)
def test_files_that_do_not_fit(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    changed(change, path)
    with pytest.raises(ModelFileError, match=f"(?s){message}") as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["factor", "branches"])
def test_files_without_an_argument_of_a_container(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save(Sequential(WeightedTotal(0.5, Dense(3, 2, rng=0), Dense(3, 2, rng=1))), path)
    header, arrays = read_archive(path, "model")
    del header["architecture"]["arguments"]["layers"][0]["arguments"][name]
    write_archive(path, "model", header, arrays)
    message = {
        "factor": "layer 0, WeightedTotal: cannot be built: .*factor",
        "branches": "unexpected 0.branches.0.weight",
    }
    with pytest.raises(ModelFileError, match=f"(?s){message[name]}"):
        load(path, custom_layers={"WeightedTotal": WeightedTotal})


class Drawn(Module):
    """A weight of its own, made by an initializer that stands before the children."""

    def __init__(self, weight_init: Any, *layers: Module) -> None:
        self.scale = Parameter(np.asarray(weight_init((3,), np.random.default_rng(0)), np.float32))
        self.layers = list(layers)

    def config(self) -> dict[str, Any]:
        return {"layers": self.layers}

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x * self.scale.data)
        return x


def test_an_initializer_may_stand_before_the_children(tmp_path: Path) -> None:
    path, x = tmp_path / "model.npz", np.ones((2, 3), np.float32)
    model = Drawn(lambda shape, rng: rng.normal(size=shape), Dense(3, 2, rng=0))
    save(model, path)
    np.testing.assert_array_equal(load(path, custom_layers={"Drawn": Drawn})(x), model(x))


def test_networks_nested_beyond_reason(tmp_path: Path) -> None:
    architecture: dict[str, Any] = {"class": "ReLU", "arguments": {}}
    for _ in range(100):
        architecture = {"class": "Sequential", "arguments": {"layers": [architecture]}}
    write_archive(tmp_path / "model.npz", "model", {"architecture": architecture, "metadata": {}}, {})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        with pytest.raises(ModelFileError, match="recursion"):
            load(tmp_path / "model.npz")
    finally:
        sys.setrecursionlimit(limit)


def test_files_of_another_kind(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npz", "checkpoint", {}, {})
    with pytest.raises(ModelFileError, match="expected a file of format 'minidl model', received 'minidl checkpoint'"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=np.zeros(1))
    with pytest.raises(ModelFileError, match="it has no header"):
        load_metadata(tmp_path / "b.npz")
    write_archive(tmp_path / "c.npz", "model", {"metadata": [1]}, {})
    with pytest.raises(ModelFileError, match=r"expected metadata by name, received \[1\]"):
        load_metadata(tmp_path / "c.npz")


class Norm(Module):
    """A layer of arrays that no initializer makes."""

    def __init__(self, shape: list[int]) -> None:
        self.shape = shape
        self.gain = Parameter(np.ones(shape))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Dense", {"in_features": 10**9, "out_features": 10**9}),
        ("Dense", {"in_features": 30_000, "out_features": 30_000}),
        ("Dense", {"in_features": 1, "out_features": 10**9}),
        ("Dense", {"in_features": 2000, "out_features": 2000, "bias": False, "dtype": "float64"}),
        ("Dense", {"in_features": 30_000, "out_features": 30_000, "weight_init": "he_normal"}),
        ("Dense", {"in_features": 10**400, "out_features": 1}),
        ("Mixing", {"size": 30_000}),
        ("Norm", {"shape": [10**12]}),
        ("Norm", {"shape": [30_000, 30_000]}),
        ("Norm", {"shape": [[30_000], [30_000]]}),
    ],
)
@pytest.mark.parametrize(
    "held", [{}, {"0.weight": np.zeros((1, 2000), np.float32), "0.bias": np.zeros(2000, np.float32)}]
)
@pytest.mark.parametrize("is_nested", [False, True], ids=["in a row", "in a container"])
def test_absurd_sizes_allocate_nothing(
    name: str, arguments: Any, held: dict[str, Array], is_nested: bool, tmp_path: Path
) -> None:
    path, place = tmp_path / "model.npz", "0"
    entry: dict[str, Any] = {"class": name, "arguments": arguments}
    if is_nested:
        entry, place = {"class": "Heads", "arguments": {"heads": {"left": entry}}}, "0.heads.left"
        held = {key.replace("0.", f"{place}."): value for key, value in held.items()}
    architecture = {"class": "Sequential", "arguments": {"layers": [entry]}}
    write_archive(path, "model", {"architecture": architecture, "metadata": {}}, held)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=f"layer {place}, {name}: "):
            load(path, custom_layers={"Mixing": Mixing, "Norm": Norm, "Heads": Heads})
        assert tracemalloc.get_traced_memory()[1] < 2**18
    finally:
        tracemalloc.stop()


def test_large_layers_that_the_file_backs_are_loaded(tmp_path: Path) -> None:
    model = Sequential(Dense(2**20 + 1, 1, rng=0))
    save(model, tmp_path / "model.npz")
    tracemalloc.start()
    try:
        received = load(tmp_path / "model.npz")
        assert tracemalloc.get_traced_memory()[1] < 5 * (tmp_path / "model.npz").stat().st_size
    finally:
        tracemalloc.stop()
    assert_same_network(received, model)


def test_flipped_bytes_are_harmless_or_seen(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    save(GOOD, path, class_names=["cat", "other"])
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for position in generator.choice(len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= int(generator.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            received = load(path)
        except ModelFileError:
            refused += 1
        else:
            assert_same_network(received, GOOD)
    assert refused > 200
