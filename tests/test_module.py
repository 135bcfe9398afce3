"""Module: what is found under which names, modes, the strict state dictionary, and paths in errors."""

from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import networks

from minidl import (
    SGD,
    BatchNorm,
    Buffer,
    Dense,
    Dropout,
    MeanSquaredError,
    Module,
    Parameter,
    ReLU,
    Rescale,
    Sequential,
    Trainer,
    errors,
    load,
    load_metadata,
    mlp,
    save,
)
from minidl._calls import calling
from minidl._typing import Array
from minidl.architecture import BUILT_IN, describe
from minidl.building import build
from minidl.errors import ImageFileError, LayerInputError


class Residual(Module):
    """A user's module: children in attributes and in a list, and a parameter of its own."""

    def __init__(self) -> None:
        self.gain = Parameter(np.ones(1))
        self.inner = Sequential(Dense(2, 2, rng=0), ReLU())
        self.blocks = [Dense(2, 2, rng=1, bias=False), Dense(2, 2, rng=2, bias=False)]

    def forward(self, x: Array) -> Array:
        return x + self.inner.forward(x)


class Branches(Module):
    """A user's network: layers in a list in a list, in a dictionary, and in lists and tuples there."""

    def __init__(self, width: int, first: Module | None = None) -> None:
        self.width = width
        self.first = Rescale(0.5) if first is None else first
        self.stem = [[Sequential(Dense(3, width, rng=0), ReLU())]]
        self.heads: dict[str, Any] = {
            "left": Dense(width, 1, rng=1),
            "right": [Dense(width, 2, rng=2), (ReLU(), Dense(2, 1, rng=3))],
        }

    def forward(self, x: Array) -> Array:
        h = self.stem[0][0](self.first(x))
        z: Array = self.heads["left"](h)
        for layer in self._right:
            h = layer(h)
        y: Array = z + h
        return y

    def backward(self, grad_output: Array) -> Array:
        grad = grad_output
        for layer in reversed(self._right):
            grad = layer.backward(grad)
        grad = self.stem[0][0].backward(grad + self.heads["left"].backward(grad_output))
        return self.first.backward(grad)

    @property
    def _right(self) -> tuple[Any, Any, Any]:
        first, (second, third) = self.heads["right"]
        return first, second, third


X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_names_follow_the_order_of_definition() -> None:
    module = Residual()
    expected = ["gain", "inner.0.weight", "inner.0.bias", "blocks.0.weight", "blocks.1.weight"]
    assert [name for name, _ in module.named_parameters()] == expected
    assert list(module.state_dict()) == expected
    assert len(module.parameters()) == 5
    assert list(mlp([3, 2, 1]).state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_names_lead_through_dictionaries_and_nested_lists() -> None:
    module = Branches(4)
    layers = ["stem.0.0.0", "heads.left", "heads.right.0", "heads.right.1.1"]
    expected = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert [name for name, _ in module.named_parameters()] == expected
    assert list(module.state_dict()) == expected
    assert [name for name, _ in module.named_children()] == [
        "first", "stem.0.0", "heads.left", "heads.right.0", "heads.right.1.0", "heads.right.1.1",
    ]  # fmt: skip
    assert list(Sequential(ReLU(), Sequential(module)).state_dict()) == [f"1.0.{name}" for name in expected]
    for path, child in module.named_modules():
        assert module.path_of(child) == path


def test_parameters_in_dictionaries_and_nested_lists() -> None:
    module: Any = Module()
    parameters = [Parameter(np.full(1, float(i))) for i in range(7)]
    a, b, c, d, e, f, g = parameters
    module.rows = [[a], (b, [c])]
    module.table = {"x": d, 2: {"y": [e]}}
    module.ordered = OrderedDict(z=f)
    module.mixed = [{"buffer": Buffer(np.zeros(1))}, "no parameter", None, 3, {}, g]
    names = ["rows.0.0", "rows.1.0", "rows.1.1.0", "table.x", "table.2.y.0", "ordered.z", "mixed.5"]
    assert [name for name, _ in module.named_parameters()] == names
    assert all(one is other for one, other in zip(module.parameters(), parameters, strict=True))
    assert set(module.state_dict()) == {*names, "mixed.0.buffer"}
    module.load_state_dict({name: [9.0] for name in module.state_dict()})
    assert all(parameter.data.tolist() == [9.0] for parameter in parameters)


class Slotted:
    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing


class Function:
    """An object that can be called, but is no Module."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __call__(self, x: Array) -> Array:
        return x


HIDING_PLACES: dict[str, Callable[[Any], Any]] = {
    "a set": lambda thing: {thing},
    "a frozenset in a list": lambda thing: [frozenset([thing])],
    "a set of tuples": lambda thing: {(thing,)},
    "a deque": lambda thing: deque([thing]),
    "another mapping": lambda thing: MappingProxyType({"x": thing}),
    "another object": lambda thing: SimpleNamespace(x=thing),
    "another object in a dictionary": lambda thing: {"x": SimpleNamespace(x=thing)},
    "a list in another object": lambda thing: SimpleNamespace(x=[thing]),
    "a dictionary in another object": lambda thing: SimpleNamespace(x={"x": thing}),
    "an object with slots": Slotted,
    "an object that can be called": Function,
    "a key that is no name": lambda thing: {(1, 2): thing},
}


@pytest.mark.parametrize("make", [lambda: Parameter(np.zeros(1)), lambda: Dense(1, 1)], ids=["Parameter", "Dense"])
@pytest.mark.parametrize("place", HIDING_PLACES)
def test_what_no_name_leads_to_is_refused(place: str, make: Callable[[], Any]) -> None:
    # Training would pass it over, and a file would not have it.
    thing = make()
    module: Any = Residual()
    module.blocks[0].hidden = HIDING_PLACES[place](thing)
    for find in (module.parameters, module.state_dict, lambda: module.load_state_dict({})):
        with pytest.raises(TypeError, match=rf"^Dense\.hidden.*: this {type(thing).__name__} .*; put it into an attr"):
            find()


@pytest.mark.parametrize("attribute", [Parameter(np.zeros(1)), Buffer(np.zeros(1)), Dense(1, 1)], ids=repr)
def test_an_attribute_of_the_class_is_refused(attribute: Any) -> None:
    base = type("Base", (Module,), {"shared": attribute})
    derived = type("Derived", (base,), {})
    kind = type(attribute).__name__
    message = rf"^Base\.shared: this {kind} is an attribute of the class, which all objects share; put"
    for cls in (base, derived):
        with pytest.raises(TypeError, match=message):
            Sequential(cls()).state_dict()


def test_what_a_name_leads_to_may_stand_in_other_objects_too() -> None:
    model: Any = Sequential(Dense(2, 1))
    model.optimizer = SGD(model.parameters())
    model[0].parent = model
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    assert len(model.parameters()) == 2


def test_an_object_may_refer_to_the_network_that_refers_to_it() -> None:
    model: Any = Sequential(Dense(2, 1))
    model.trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters()))
    model[0].note = SimpleNamespace(layer=model[0], weight=model[0].weight)
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_two_names_that_are_alike_are_not_taken_for_one() -> None:
    # A state would have one of the two only, and an optimizer one under the name of the other.
    module: Any = Module()
    for table in (
        {"1": Parameter(np.zeros(1)), 1: Parameter(np.ones(1))},
        {"a.b": Dense(1, 1), "a": {"b": Dense(1, 1)}},
    ):
        module.table = table
        with pytest.raises((TypeError, ValueError), match="table"):
            module.state_dict()


def test_a_parameter_of_two_layers_is_refused() -> None:
    first, second = Dense(2, 2), Dense(2, 2)
    second.weight = first.weight
    for model, paths in (
        (Sequential(first, second), "1.weight and 0.weight"),
        (Sequential(ReLU(), Sequential(first, Sequential(second))), "1.1.0.weight and 1.0.weight"),
    ):
        with pytest.raises(ValueError, match=rf"^{paths} are one Parameter; gradients are written, not added up"):
            model.parameters()
        with pytest.raises(ValueError, match="are one Parameter"):
            model.state_dict()
    norm, other = BatchNorm(2), BatchNorm(2)
    other.running_mean = norm.running_mean
    with pytest.raises(ValueError, match=r"^1.running_mean and 0.running_mean are one Buffer"):
        Sequential(norm, other).state_dict()


def test_what_one_module_has_twice_is_listed_once() -> None:
    module: Any = Residual()
    module.again = module.gain
    module.more = {"gain": [module.gain], "block": module.blocks[1]}
    expected = ["gain", "inner.0.weight", "inner.0.bias", "blocks.0.weight", "blocks.1.weight"]
    assert list(module.state_dict()) == expected
    assert module.path_of(module.blocks[1]) == "blocks.1"
    assert module.path_of(Dense(2, 2)) == module.path_of(module) == module.path_of("blocks") == ""


def test_modes_reach_every_module() -> None:
    module = Residual()
    assert module.training
    assert module.eval() is module
    assert not any(child.training for _, child in module.named_modules())
    assert module.train() is module
    assert all(child.training for _, child in module.named_modules())
    module.blocks[0].eval()
    assert [block.training for block in module.blocks] == [False, True]
    with pytest.raises(AttributeError):
        module.training = False  # type: ignore[misc]


def test_the_mode_of_calls_goes_before_the_modules_own() -> None:
    module = Residual()
    module.blocks[0].eval()
    with calling(training=False):
        assert not any(child.training for _, child in module.named_modules())
        with calling(training=True):
            assert all(child.training for _, child in module.named_modules())
        assert not module.training
        with ThreadPoolExecutor(1) as another_thread:
            assert another_thread.submit(lambda: module.training).result(60)
    assert [block.training for block in module.blocks] == [False, True]
    with pytest.raises(RuntimeError, match="inside"), calling(training=False):
        raise RuntimeError("inside")
    assert module.training


def test_calls_in_evaluation_write_nothing_to_modules() -> None:
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), ReLU(), Dropout(0.5, rng=1), Branches(4, Dense(4, 3, rng=2)))
    upstream = np.ones((5, 1), np.float32)
    expected, twin = copy.deepcopy(model), copy.deepcopy(model)
    for network in (expected, model):
        network(X)
    attributes = {path: dict(vars(module)) for path, module in model.named_modules()}
    arrays, generator = model.state_dict(), model[3].rng.bit_generator.state
    with calling(training=False):
        model(2 * X)
    model.predict(3 * X, batch_size=2)
    model.summary((3,))
    Trainer(model, MeanSquaredError(), SGD(model.parameters())).evaluate(X, X[:, :1])
    for path, module in model.named_modules():
        assert vars(module).keys() == attributes[path].keys()
        assert all(value is attributes[path][name] for name, value in vars(module).items()), path
    for name, array in model.state_dict().items():
        assert array.tobytes() == arrays[name].tobytes()
    assert model[3].rng.bit_generator.state == generator
    # Not even what a forward pass in training has saved: the backward pass still goes through that one.
    np.testing.assert_array_equal(model.backward(upstream), expected.backward(upstream))
    twin.eval()(X)
    assert all(module._saved is None for _, module in twin.named_modules())


@pytest.mark.parametrize("change", [Module.train, Module.eval, Module.forget])
def test_a_change_of_mode_drops_what_forward_passes_have_saved(change: Callable[[Module], object]) -> None:
    model = Sequential(Dense(3, 2, rng=0), Sequential(ReLU()))
    model(X)
    change(model)
    assert all(module._saved is None for _, module in model.named_modules())
    with pytest.raises(RuntimeError, match="backward needs a forward pass"):
        model.backward(np.ones((5, 2), np.float32))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_leave_the_saved_batch_out(duplicate: Callable[[Module], Module]) -> None:
    model = Sequential(Dense(3, 2, rng=0), ReLU())
    model(X)
    again = duplicate(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(RuntimeError, match="backward needs a forward pass"):
        again.backward(np.ones((5, 2), np.float32))
    model.backward(np.ones((5, 2), np.float32))


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
        "  2.bias: expected numbers, received dtype <U1",
        "  unexpected 5.weight (1,)",
    ]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_buffers_are_state_without_gradient() -> None:
    module: Any = Residual()
    module.seen = Buffer(np.array([3.0]))
    assert "seen" in module.state_dict()
    assert "seen" not in dict(module.named_parameters())
    state = module.state_dict()
    module.load_state_dict({**state, "seen": [4]})
    assert module.state_dict()["seen"].tolist() == [4.0]


@pytest.mark.parametrize("layer", [Dense(3, 2, bias=False, dtype=np.float64), ReLU(), Rescale(2.0, -1.0)], ids=repr)
def test_its_description_builds_the_layer_anew(layer: Module) -> None:
    description = json.loads(json.dumps(describe(layer)))
    again = build(description, layer.state_dict(), BUILT_IN)
    assert type(again) is type(layer)
    assert repr(again) == repr(layer)
    assert describe(again) == describe(layer)
    assert [(n, b.shape, b.data.dtype) for n, b in again.named_state()] == [
        (n, b.shape, b.data.dtype) for n, b in layer.named_state()
    ]


def test_a_network_that_is_no_sequential_predicts() -> None:
    model = Branches(4)
    whole = model.predict(X)
    with calling(training=False):
        np.testing.assert_array_equal(whole, model(X))
    np.testing.assert_allclose(model.predict(X.tolist(), batch_size=2), whole, rtol=1e-5)
    with pytest.raises(ValueError, match="x: expected finite numbers, received NaN or infinity, first in row 3"):
        model.predict(np.where(np.arange(5)[:, None] == 3, np.nan, X), batch_size=2)
    with pytest.raises(ValueError, match=r"x: expected at least one sample, received shape \(0, 3\)"):
        model.predict(X[:0])


def test_summary_of_a_network_that_is_no_sequential(capsys: pytest.CaptureFixture[str]) -> None:
    model = Branches(4)
    for input_shape, first in ((None, "..."), ((3,), "3")):
        model.summary(input_shape)
        assert capsys.readouterr().out.splitlines() == [
            "layer                                  output shape    parameters",
            f"first  Rescale(scale=0.5, offset=0)    {f'(batch, {first})':<16}{0:>10}",
            f"stem.0.0  Sequential                   (batch, 4)      {'':>10}",
            "  0  Dense(3 -> 4)                     (batch, 4)              16",
            "  1  ReLU()                            (batch, 4)               0",
            "heads.left  Dense(4 -> 1)              (batch, 1)               5",
            "heads.right.0  Dense(4 -> 2)           (batch, 2)              10",
            "heads.right.1.0  ReLU()                (batch, 2)               0",
            "heads.right.1.1  Dense(2 -> 1)         (batch, 1)               3",
            "total                                                          34",
        ]


def test_the_rows_of_a_summary_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    Sequential(Dense(2, 2), Residual()).summary()  # which has a parameter of its own beside its layers
    *rows, total = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert sum(int(row[-1]) for row in rows if row[-1].isdigit()) == int(total[-1]) == 6 + 1 + 6 + 4 + 4


def test_a_network_that_is_no_sequential_is_saved_and_loaded(tmp_path: Path) -> None:
    for model in (Branches(4), Sequential(Dense(3, 5, rng=5), Branches(2, Sequential(Dense(5, 3, rng=6))))):
        save(model, tmp_path / "model.npz", classes=["cat", "other"])
        again = load(tmp_path / "model.npz", {"Branches": Branches})
        assert type(again) is type(model)
        assert not again.training
        assert again.predict(X).tobytes() == model.predict(X).tobytes()
        assert list(again.state_dict()) == list(model.state_dict())
        assert load_metadata(tmp_path / "model.npz") == {"classes": ["cat", "other"]}


class Head(Module):
    """A user's module whose argument has a second name, which is set first."""

    def __init__(self, last: Module) -> None:
        self.layers = [ReLU(), last]
        self.last = last

    def forward(self, x: Array) -> Array:
        return self.layers[1](self.layers[0](x))


def test_an_argument_with_a_second_name_is_saved_and_loaded(tmp_path: Path) -> None:
    model = Head(Dense(3, 1, rng=0))
    assert list(model.state_dict()) == ["layers.1.weight", "layers.1.bias"]
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz", {"Head": Head})
    assert again.predict(X).tobytes() == model.predict(X).tobytes()


def fit(model: Module) -> object:
    trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters()))
    return trainer.fit(X, X[:, :1], 1, batch_size=2, print_every=None)


def evaluate(model: Module) -> object:
    return Trainer(model, MeanSquaredError(), SGD(model.parameters())).evaluate(X, X[:, :1])


@pytest.mark.parametrize(
    "run", [lambda model: model(X), lambda model: model.predict(X), lambda model: model.summary((3,)), fit, evaluate]
)
@pytest.mark.parametrize(
    ("wrap", "prefix"),
    [
        (lambda model: model, ""),
        (lambda model: Sequential(ReLU(), model), "1."),
        (lambda model: Sequential(Sequential(Rescale(), ReLU(), Sequential(model))), "0.2.0."),
    ],
)
def test_errors_name_the_path_that_state_dict_uses(
    run: Callable[[Module], object], wrap: Callable[[Module], Module], prefix: str
) -> None:
    branches, wrong = Branches(4), Dense(7, 1)
    branches.heads["right"][1] = (ReLU(), wrong)
    model = wrap(branches)
    path = f"{prefix}heads.right.1.1"
    assert f"{path}.weight" in model.state_dict()
    message = rf"^layer {path}, Dense\(7 -> 1\): expected \(batch, 7\), received \(\d, 2\)$".replace(".", r"\.")
    with pytest.raises(LayerInputError, match=message) as caught:
        run(model)
    assert caught.value.path == path
    assert caught.value.layer is wrong
    assert caught.value.problem.startswith("expected (batch, 7), received")


def test_a_layer_by_itself_has_no_path_in_errors() -> None:
    layer = Dense(7, 1)
    for call in (layer, layer.forward, layer.predict):
        with pytest.raises(LayerInputError, match=r"^Dense\(7 -> 1\): expected \(batch, 7\)") as caught:
            call(X)
        assert caught.value.path == ""
    assert str(caught.value.at("blocks.3")) == f"layer blocks.3, {caught.value}"


class CannotBePickled(Module):
    def __init__(self) -> None:
        self.function = lambda x: x

    def forward(self, x: Array) -> Array:
        raise LayerInputError(self, f"expected nothing, received {x.shape}")


@pytest.mark.parametrize("layer", [Dense(7, 1), CannotBePickled()], ids=repr)
def test_errors_about_a_layers_input_survive_pickling(layer: Module) -> None:
    with pytest.raises(LayerInputError) as caught:
        Sequential(ReLU(), Sequential(layer))(X)
    error = caught.value
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is LayerInputError
        assert (str(again), again.problem, again.path) == (str(error), error.problem, "1.0")
        assert again.layer == repr(layer)
        twice = pickle.loads(pickle.dumps(again))
        assert (str(twice), twice.layer, twice.path) == (str(error), repr(layer), "1.0")


def test_all_errors_survive_pickling() -> None:
    made: dict[str, BaseException] = {
        "LayerInputError": LayerInputError(ReLU(), "expected more", "2.0"),
        "ImageFileError": ImageFileError(Path("cats") / "cat.jpg", "the file is empty"),
    }
    kinds = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and kind is not Path}
    kinds = {name: kind for name, kind in kinds.items() if issubclass(kind, BaseException)}
    assert kinds.keys() == {
        "LayerInputError", "ModelFileError", "ImageFileError", "NonFiniteError", "StuckWarning", "GradientError",
        "ContractError",
    }  # fmt: skip
    for name, kind in kinds.items():
        error = made.get(name) or kind("what went wrong")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
    again = pickle.loads(pickle.dumps(made["ImageFileError"]))
    assert (again.path, again.reason) == (Path("cats") / "cat.jpg", "the file is empty")


def test_repr_of_a_parameter() -> None:
    assert repr(Parameter(np.zeros((2, 1)))) == "Parameter(shape=(2, 1), dtype=float64)"
