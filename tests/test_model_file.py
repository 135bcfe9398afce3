"""save and load: the same bits back, user layers by name, and one clear error for every file that is not right."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Buffer,
    Dense,
    Flatten,
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

    def config(self) -> dict[str, Any]:
        return {"features": self.features, "factor": self.factor}


class Mixing(Module):
    """A user's layer of two weights of one shape, which it does not copy."""

    def __init__(self, size: int, *, weight_init: str | Initializer = "he_normal", rng: Seed = None) -> None:
        self.size = size
        draw, generator = resolve(weight_init), np.random.default_rng(rng)
        self.left = Parameter(draw((size, size), generator))
        self.right = Parameter(draw((size, size), generator))

    def forward(self, x: Array) -> Array:
        return x @ self.left.data @ self.right.data

    def config(self) -> dict[str, Any]:
        return {"size": self.size}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all draws of a property."""
    return tmp_path_factory.mktemp("models")


def assert_same_network(received: Sequential, expected: Sequential) -> None:
    assert repr(received) == repr(expected)
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
    before, arrays = model.state_dict(), [holder.data for _, holder in model.named_state()]
    save(model, tmp_path / "model.npz")
    assert model.training
    for (name, holder), array in zip(model.named_state(), arrays, strict=True):
        assert holder.data is array
        np.testing.assert_array_equal(array, before[name])


# ------------------------------------------------------------------------------------------------------- user layers


def test_user_layers(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 3), Sequential(Scale(3, factor=(0.1, 0.2))), Mixing(3, rng=0))
    model[1][0].seen.data[...] = 2**40  # type: ignore[index]
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
    with pytest.raises(
        TypeError, match=r"custom_layers\['Scale'\]: expected a class derived from Module, received Scal"
    ):
        load(tmp_path / "model.npz", custom_layers={"Scale": Scale(3)})  # type: ignore[dict-item]


class NoConfig(Scale):
    config = Module.config


class Growing(Scale):
    def config(self) -> dict[str, Any]:
        return {"features": self.features, "factor": (*self.factor, 1.0)}


class NotJson(Scale):
    def config(self) -> dict[str, Any]:
        return {"features": np.int64(self.features)}


class TooMuch(Scale):
    def config(self) -> dict[str, Any]:
        return {**super().config(), "rate": 0.5}


class OtherDtype(Scale):
    def __init__(self, features: int, factor: tuple[float, ...] = (2.0,)) -> None:
        super().__init__(features, factor)
        self.gain = Parameter(np.ones(features, np.float64 if features == 3 else np.float32))
        self.features = 4


def impostor() -> Module:
    return type("Dense", (Scale,), {})(3)  # type: ignore[no-any-return]


def tied() -> Sequential:
    first, second = Dense(2, 2), Dense(2, 2)
    second.weight = first.weight
    return Sequential(first, Sequential(second))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential(NoConfig(3)), r"layer 0, .*: NoConfig takes arguments; to be saved it needs a config\(\)"),
        (
            lambda: Sequential(Growing(3)),
            r"layer 0, .*: its config\(\) builds another, .* instead of {.*\[2\.0, 1\.0\]",
        ),
        (lambda: Sequential(NotJson(3)), r"layer 0, .*: config\(\)\.features: expected what JSON can hold"),
        (lambda: Sequential(TooMuch(3)), r"layer 0, TooMuch: cannot be built from its config: .* argument 'rate'"),
        (lambda: Sequential(OtherDtype(3)), r"layer 0, OtherDtype: gain: expected float32, received float64"),
        (lambda: Sequential(impostor()), r"layer 0, .*: another class has its name, Dense; rename it to save it"),
        (tied, r"layer 1\.0, Dense\(2 -> 2\): 1\.0\.weight is 0\.weight; a shared array cannot be saved"),
    ],
)
def test_models_that_cannot_be_saved(make: Callable[[], Sequential], message: str, tmp_path: Path) -> None:
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
    with pytest.raises(TypeError, match=r"save: expected a Sequential, received Dense\(2 -> 1\)"):
        save(model[0], tmp_path / "model.npz")  # type: ignore[arg-type]

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


def config_of_last_dense(header: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = header["architecture"]["layers"][2]["config"]
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda h, a: a.pop("2.weight"),
            r"layer 2, Dense: cannot be built .*no array backs a weight of shape \(1, 2\)",
        ),
        (lambda h, a: a.pop("2.bias"), r"layer 2, Dense: .*\n  missing bias \(1,\)"),
        (lambda h, a: a.update({"2.gain": np.zeros(1)}), r"layer 2, Dense: .*\n  unexpected gain \(1,\)"),
        (lambda h, a: a.update({"3.gain": np.zeros(1)}), r"layer 3, Sigmoid: .*\n  unexpected gain \(1,\)"),
        (lambda h, a: a.update({"7.gain": np.zeros(1)}), r"expected arrays of 4 layers only, received 7\.gain"),
        (lambda h, a: a.update({"1.x.y": np.zeros(1)}), r"expected arrays of 2 layers only, received 1\.x\.y"),
        (lambda h, a: a.update({"gain": np.zeros(1)}), r"expected arrays of 4 layers only, received gain"),
        (
            lambda h, a: a.update({"2.weight": np.zeros((2, 1), np.float32)}),
            r"layer 2, Dense: .*\n  weight: expected shape \(1, 2\), received \(2, 1\)",
        ),
        (
            lambda h, a: a.update({"2.weight": a["2.weight"].astype(np.float64)}),
            r"layer 2, Dense: weight: expected float32, received float64",
        ),
        (lambda h, a: config_of_last_dense(h).pop("out_features"), "layer 2, Dense: cannot be built from its config: "),
        (lambda h, a: config_of_last_dense(h).update(out_features=-1), "layer 2, Dense: .* received -1"),
        (lambda h, a: config_of_last_dense(h).update(out_features="1"), "layer 2, Dense: .* received '1'"),
        (
            lambda h, a: config_of_last_dense(h).update(dtype="object"),
            "layer 2, Dense: cannot be built from its config",
        ),
        (lambda h, a: config_of_last_dense(h).update(dtype={"names": 1}), "layer 2, Dense: cannot be built"),
        (lambda h, a: config_of_last_dense(h).update(weight_init="zeros"), "layer 2, Dense: cannot be built"),
        (lambda h, a: config_of_last_dense(h).update(self=1), "layer 2, Dense: cannot be built"),
        (lambda h, a: h["architecture"]["layers"][2].update(config=[]), r"layer 2, Dense: expected a config of named"),
        (lambda h, a: h["architecture"]["layers"][2].update({"class": "Module"}), "layer 2, Module: no built-in layer"),
        (lambda h, a: h["architecture"]["layers"][2].update({"class": "os.system"}), "layer 2, os.system: no built-in"),
        (
            lambda h, a: h["architecture"]["layers"][2].update({"class": ["Dense"]}),
            "layer 2, network: expected a class",
        ),
        (
            lambda h, a: h["architecture"]["layers"][2].update(more=1),
            "layer 2, network: expected a class and its config",
        ),
        (lambda h, a: h["architecture"].update(layers={}), "Sequential: expected a list of layers, received {}"),
        (lambda h, a: h.update(architecture=None), "network: expected a class and its config, received None"),
        (
            lambda h, a: (h.update(architecture={"class": "ReLU", "config": {}}), a.clear()),
            "expected a Sequential, rec",
        ),
    ],
)
def test_files_that_do_not_fit(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    changed(change, path)
    with pytest.raises(ModelFileError, match=f"(?s){message}") as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")


def test_networks_nested_beyond_reason(tmp_path: Path) -> None:
    architecture: dict[str, Any] = {"class": "ReLU", "config": {}}
    for _ in range(200):
        architecture = {"class": "Sequential", "layers": [architecture]}
    write_archive(tmp_path / "model.npz", "model", {"architecture": architecture, "metadata": {}}, {})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
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

    def config(self) -> dict[str, Any]:
        return {"shape": self.shape}


@pytest.mark.parametrize(
    ("name", "config"),
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
def test_absurd_sizes_allocate_nothing(name: str, config: Any, held: dict[str, Array], tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    architecture = {"class": "Sequential", "layers": [{"class": name, "config": config}]}
    write_archive(path, "model", {"architecture": architecture, "metadata": {}}, held)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=f"layer 0, {name}: "):
            load(path, custom_layers={"Mixing": Mixing, "Norm": Norm})
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
