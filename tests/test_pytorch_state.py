"""States in PyTorch's layout, against plain loops: what PyTorch itself says stands in test_torch_state.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    GRU,
    LSTM,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePool2D,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    Module,
    Normalize,
    Parallel,
    Parameter,
    PReLU,
    ReLU,
    Residual,
    SelfAttention,
    Sequential,
    mlp,
    resnet,
)
from minidl._typing import Array
from minidl.interchange import load_pytorch_state, pytorch_state, save_pytorch_state
from minidl.interchange._keras_layout import parts_of

sides = st.integers(1, 4)
DOUBLE: Any = {"dtype": np.float64}


def randomized(model: Module, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    for _, buffer in model.named_state():
        buffer.data[...] = rng.uniform(0.5, 1.5, buffer.shape)
    return model


@given(sides, sides, sides, sides, seeds)
def test_kernels(outputs: int, inputs: int, rows: int, columns: int, seed: int) -> None:
    layer: Any
    for layer in (
        Conv2D(inputs, outputs, (rows, columns), rng=seed),
        ConvTranspose2D(outputs, inputs, (rows, columns), rng=seed),
    ):
        theirs = pytorch_state(layer)["weight"]
        assert theirs.shape == (outputs, inputs, rows, columns)
        for o, i, r, c in np.ndindex(*theirs.shape):
            assert theirs[o, i, r, c] == layer.weight.data[o, r, c, i]
    theirs = pytorch_state(Conv1D(inputs, outputs, rows, rng=seed))["weight"]
    for o, i, r in np.ndindex(*theirs.shape):
        assert theirs[o, i, r] == Conv1D(inputs, outputs, rows, rng=seed).weight.data[o, r, i]


@settings(max_examples=20)
@given(sides, sides, sides, sides, seeds)
def test_features_behind_flatten(height: int, width: int, channels: int, outputs: int, seed: int) -> None:
    size = height * width * channels
    model = randomized(
        Sequential(
            Conv2D(1, channels, 1), ReLU(), Flatten(), BatchNorm(size), PReLU(size), Normalize(size), LayerNorm(size),
            Dense(size, outputs), Dense(outputs, size),
        ),
        seed,
    )  # fmt: skip
    state, own = pytorch_state(model), model.state_dict()
    for row, column, channel in np.ndindex(height, width, channels):
        ours = (row * width + column) * channels + channel
        theirs = (channel * height + row) * width + column
        assert np.array_equal(state["7.weight"][:, theirs], own["7.weight"][:, ours])
        for name in ("3.weight", "3.bias", "3.running_mean", "4.weight", "5.mean", "5.scale", "6.weight", "6.bias"):
            assert state[name][theirs] == own[name][ours]
        assert state["3.running_var"][theirs] == model[3].running_variance.data[ours]
    for name in ("7.bias", "8.weight", "8.bias"):
        np.testing.assert_array_equal(state[name], model.state_dict()[name])


def round_trip_models() -> dict[str, Module]:
    return {
        "resnet": resnet([1, 2], [3, 5], 2, in_channels=4, rng=0),
        "pooled": Sequential(Conv2D(2, 3, 2), MaxPool2D(), Flatten(), ReLU(), Dense(12, 2), Dense(2, 3)),
        "sequences": Sequential(Embedding(7, 4), Conv1D(4, 3, 2), MaxPool1D(2), Flatten(), Dense(6, 2)),
        "recurrent": Sequential(Embedding(7, 4), LSTM(4, 3, bidirectional=True), SelfAttention(6, 2), GRU(6, 2)),
        "pooled wholly": Sequential(Conv2D(2, 3, 2), GlobalAveragePool2D(), Flatten(), Dense(3, 2)),
        "two inputs": Parallel(Sequential(Conv2D(2, 3, 1), Flatten(), Dense(12, 2)), Dense(5, 2)),
    }


@pytest.mark.parametrize("name", round_trip_models())
def test_round_trips_are_exact(name: str) -> None:
    model, other = randomized(round_trip_models()[name]), round_trip_models()[name]
    state = pytorch_state(model)
    before = {key: array.copy() for key, array in state.items()}
    load_pytorch_state(other, state)
    for key, array in model.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key], array)
    other.parameters()[0].data += 1
    assert all(np.array_equal(state[key], array) for key, array in before.items())
    for array in state.values():
        array += 1  # a copy: the model stays
    for key, array in pytorch_state(model).items():
        np.testing.assert_array_equal(array, before[key])


def swapped(weight: Array, channels: int) -> Array:
    """Return the weight behind a Flatten of this many channels in PyTorch's order."""
    return weight.reshape(len(weight), -1, channels).transpose(0, 2, 1).reshape(weight.shape)


class Rectified(Module):
    def forward(self, x: Array) -> Array:
        return np.maximum(x, 0)


class ChannelsFirst(Flatten):
    def forward(self, x: Array) -> Array:
        return super().forward(x.transpose(0, 3, 1, 2))


class Branch(Module):
    def __init__(self) -> None:
        self.body = Sequential(Conv2D(2, 3, 1, rng=0), Flatten(), Dense(12, 2, rng=0))

    def forward(self, x: Array) -> Array:
        return self.body(x)


@pytest.mark.parametrize(
    ("model", "options", "name", "channels"),
    [
        (Sequential(Flatten(), Dense(12, 2, rng=0)), {"input_shape": (2, 2, 3)}, "1.weight", 3),
        (Sequential(Flatten(), Dense(12, 2, rng=0)), {"input_shape": 12}, "1.weight", 1),
        (Sequential(Flatten(), Dense(12, 2, rng=0)), {"flatten": "channels_last"}, "1.weight", 1),
        (Sequential(MaxPool2D(), Flatten(), Dense(12, 2, rng=0)), {"input_shape": (4, 4, 3)}, "2.weight", 3),
        (Sequential(Conv2D(2, 3, 1, rng=0), Rectified(), Flatten(), Dense(12, 2, rng=0)), {"input_shape": (2, 2, 2)},
         "3.weight", 3),
        (Sequential(Conv2D(2, 3, 1, rng=0), Flatten(), Dense(12, 2, rng=0)), {"flatten": "channels_last"},
         "2.weight", 1),
        (Sequential(Embedding(7, 3, rng=0), Flatten(), Dense(12, 2, rng=0)), {}, "2.weight", 1),
        (Sequential(Embedding(7, 3, rng=0), Flatten(), Dense(12, 2, rng=0)), {"flatten": "channels_first"},
         "2.weight", 3),
        (Sequential(LSTM(2, 3, rng=0), ReLU(), Flatten(), Dense(12, 2, rng=0)), {}, "3.weight", 1),
        (Sequential(Conv1D(2, 4, 1, rng=0), LSTM(4, 3, rng=0), Flatten(), Dense(12, 2, rng=0)), {}, "3.weight", 1),
        (Sequential(BatchNorm(3), MaxPool2D(), Flatten(), Dense(12, 2, rng=0)), {}, "3.weight", 3),
        (Sequential(Parallel(Conv2D(2, 1, 1, rng=0), Conv2D(2, 2, 1, rng=0), merge="concatenate"), Flatten(),
                    Dense(12, 2, rng=0)), {}, "2.weight", 3),
        (Sequential(Residual(Conv2D(3, 3, 1, rng=0)), Flatten(), Dense(12, 2, rng=0)), {}, "2.weight", 3),
        (Branch(), {}, "body.2.weight", 3),
        (Sequential(Conv2D(2, 3, 1, rng=0), ChannelsFirst(), Dense(12, 2, rng=0)), {}, "2.weight", 1),
        (Sequential(mlp([3, 2], rng=0), Flatten(), Dense(2, 1, rng=0)), {}, "2.weight", 1),
        (Sequential(Dense(2, 3, rng=0), PReLU(), Flatten(), Dense(12, 2, rng=0)), {}, "3.weight", 1),
        (Sequential(Dense(2, 3, rng=0), BatchNorm(3), Flatten(), Dense(12, 2, rng=0)), {"flatten": "channels_first"},
         "3.weight", 3),
        (Sequential(Dense(2, 3, rng=0), BatchNorm(3), Flatten(), Dense(3, 2, rng=0)), {"input_shape": 2},
         "3.weight", 1),
        (Sequential(Embedding(1, 3, rng=0), Flatten(), Dense(12, 2, rng=0)), {"input_shape": 4}, "2.weight", 1),
    ],
)  # fmt: skip
def test_the_layers_say_in_which_order_features_lie(
    model: Module, options: dict[str, Any], name: str, channels: int
) -> None:
    weight = model.state_dict()[name]
    np.testing.assert_array_equal(pytorch_state(model, **options)[name], swapped(weight, channels))


class Apart(Module):
    def __init__(self) -> None:
        self.features, self.head = Sequential(Conv2D(2, 3, 1), Flatten()), Dense(12, 2)


class Joined(Module):
    def __init__(self) -> None:
        self.convolution, self.flatten, self.dense = Conv2D(2, 3, 1), Flatten(), Dense(12, 2)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Sequential(Flatten(), ReLU(), Dense(12, 2)), "layer 2, Dense.*order in PyTorch is not known; give input_"),
        (Sequential(LayerNorm(3), MaxPool1D(2), BatchNorm(3), LSTM(3, 3), BatchNorm(3), Flatten(), Dense(12, 2)),
         "layer 6, Dense"),
        (Sequential(Conv2D(2, 3, 1), LayerNorm(3), Flatten(), Dense(12, 2)), "layer 3, Dense"),
        (Sequential(Conv2D(2, 3, 1), Flatten(), Residual(Dense(12, 12))), "layer 2, Residual.*together with others"),
        (Sequential(Conv2D(2, 5, 1), Flatten(), Dense(12, 2)), "Flatten of 5 channels, of which 12 features are no"),
        (Joined(), "Flatten and a `forward` of its own, .*; make a Sequential of this part"),
        (Apart(), "Flatten and a `forward` of its own, .*; make a Sequential of this part"),
        (Sequential(Apart(), Dense(2, 2)), "layer 0, Apart"),
        (Sequential(Conv2D(2, 3, 1), Flatten(), Rectified(), Dense(12, 2)), "layer 3, Dense.*in front of the Flatten"),
        (Sequential(Dense(2, 3), BatchNorm(3), Flatten(), Dense(12, 2)), "layer 3, Dense.*order in PyTorch is not"),
        (Sequential(Conv2D(2, 3, 1), Flatten(), Branch()), "layer 2, Branch.*may do anything"),
    ],
)  # fmt: skip
def test_an_unknown_order_is_refused(model: Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pytorch_state(model)
    assert pytorch_state(model, flatten="channels_last")


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    model = Sequential(Conv2D(3, 3, 3, rng=0), BatchNorm(3), Flatten(), Dense(12, 2, rng=0))
    before, state = model.state_dict(), dict(pytorch_state(model))
    state["0.weight"] = np.ones((3, 3, 3, 2))
    state["1.running_mean"] = np.array(["a"])
    state["3.bias"] = np.full(2, 1e300)
    state["4.weight"], state["3.num_batches_tracked"] = np.ones(1), np.array(0)
    del state["3.weight"], state["1.num_batches_tracked"]
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        load_pytorch_state(model, state)
    problems = str(error.value).splitlines()[1:]
    assert [problem.split()[0].strip(":") for problem in problems] == [
        "missing", "0.weight", "1.running_mean", "3.bias", "unexpected", "unexpected",
    ]  # fmt: skip
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_paths_that_differ() -> None:
    model = randomized(Sequential(Conv2D(3, 3, 1), Sequential(BatchNorm(3), ReLU()), Flatten(), Dense(12, 2)))
    names = {"stem": "0", "body.norm": "1.0", "head": "3"}
    state = pytorch_state(model, names=names)
    assert sorted({name.rpartition(".")[0] for name in state}) == ["body.norm", "head", "stem"]
    assert "body.norm.num_batches_tracked" in state
    other = Sequential(Conv2D(3, 3, 1), Sequential(BatchNorm(3), ReLU()), Flatten(), Dense(12, 2))
    load_pytorch_state(other, state, names=names)
    np.testing.assert_array_equal(other.state_dict()["3.weight"], model.state_dict()["3.weight"])
    prefixed = {f"module.{name}": array for name, array in pytorch_state(model).items()}
    load_pytorch_state(other, prefixed, names={"module": ""})


def test_a_state_is_a_copy_where_both_orders_are_alike() -> None:
    model = Sequential(Flatten(), Dense(4, 2, rng=0))
    pytorch_state(model, input_shape=(2, 2, 1))["1.weight"][:] = 7
    assert not (model[1].weight.data == 7).any()


def test_an_order_stays_unknown_behind_a_layer_of_the_user() -> None:
    model = Sequential(Conv2D(2, 3, 1), LayerNorm(3), Rectified(), Flatten(), Dense(12, 2))
    with pytest.raises(ValueError, match=r"layer 4, Dense.*order in PyTorch is not known"):
        pytorch_state(model, input_shape=(2, 2, 2))


def test_two_orders_that_both_make_sense_are_asked_for() -> None:
    model = Sequential(Conv2D(2, 3, 1, rng=0), LayerNorm(3), Flatten(), Dense(12, 2, rng=1))
    with pytest.raises(ValueError, match=r"layer 3, Dense.*flatten='channels_first' or 'channels_last'"):
        pytorch_state(model, input_shape=(2, 2, 2))
    for flatten, channels in (("channels_first", 3), ("channels_last", 1)):
        state = pytorch_state(model, flatten=flatten)  # type: ignore[arg-type]
        np.testing.assert_array_equal(state["3.weight"], swapped(model[3].weight.data, channels))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"stem": 0}, "paths of minidl's layers"),
        (["0"], "paths of minidl's layers"),
        ({"stem": "7"}, "received '7'"),
        ({"a": "0", "b": "0"}, "each of minidl's paths once"),
        ({"2": "0"}, "name of its own"),
    ],
)
def test_wrong_paths(names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pytorch_state(mlp([2, 2, 1]), names=names)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ([1.0], TypeError, "state: expected tensors by name"),
        ({"state_dict": {"0.weight": 1}}, TypeError, "mapping at 'state_dict'"),
        ({"model": mlp([2, 1])}, TypeError, "a module at 'model'; give its state_dict()"),
        ({0: 1.0}, TypeError, "names that are strings, received 0"),
        ("model.h5", ValueError, r"expected a file .safetensors, .pt, .pth or .bin, received 'model.h5'"),
        (Path("missing.safetensors"), FileNotFoundError, "missing.safetensors"),
    ],
)
def test_states_of_other_kinds(state: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_pytorch_state(mlp([2, 1]), state)


def test_flatten_and_suffix_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="flatten: expected 'channels_first', 'channels_last' or None, received 'no'"):
        pytorch_state(mlp([2, 1]), flatten="no")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected a file \.safetensors"):
        save_pytorch_state(mlp([2, 1]), tmp_path / "model.pt")
    (tmp_path / "a.pt").mkdir()
    with pytest.raises(IsADirectoryError):
        load_pytorch_state(mlp([2, 1]), tmp_path / "a.pt")


def test_layers_of_users_are_taken_as_they_are() -> None:
    class Own(Module):
        def __init__(self) -> None:
            self.table = Parameter(np.arange(24.0).reshape(2, 3, 4))

    np.testing.assert_array_equal(pytorch_state(Own())["table"], np.arange(24.0).reshape(2, 3, 4))


def test_precision_is_the_model_s() -> None:
    model = Dense(2, 1)
    load_pytorch_state(model, {"weight": np.ones((1, 2)), "bias": np.ones(1, np.float16)})
    assert model.weight.data.dtype == np.float32
    assert {array.dtype for array in pytorch_state(Dense(2, 1, **DOUBLE)).values()} == {np.dtype(np.float64)}


def test_tensors_of_pytorch_are_refused_without_pytorch() -> None:
    tensor = type("Tensor", (np.ndarray,), {"__module__": "torch"})
    model = mlp([2, 1], rng=0)
    state: dict[str, Any] = {name: array.view(tensor) for name, array in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"0.weight: expected an array, received a tensor.*load_pytorch_state"):
        model.load_state_dict(state)


def test_a_network_of_another_kind_is_refused() -> None:
    functions: list[Any] = [pytorch_state, parts_of]
    for function in functions:
        with pytest.raises(TypeError, match="model: expected a Module, received 3"):
            function(3)
