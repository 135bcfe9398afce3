"""Files of Keras' weights: what real Keras writes and reads where it is installed, and plain loops where it is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

import minidl
from minidl import Module, Sequential
from minidl._typing import Array
from minidl.errors import ModelFileError
from minidl.interchange import load_keras_weights, save_keras_weights
from minidl.interchange._keras_layout import parts_of

# Keras' own tensors, as NumPy 2 sees them.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DOUBLE: Any = {"dtype": np.float64}
Case = Callable[[Any], tuple[Module, list[Any], tuple[int, ...]]]
PICTURES, STEPS = (6, 5, 4), (5, 4)

CASES: dict[str, Case] = {
    "Dense": lambda k: (minidl.Dense(4, 3, **DOUBLE), [k.Dense(3)], (4,)),
    "Dense without bias": lambda k: (minidl.Dense(4, 3, bias=False, **DOUBLE), [k.Dense(3, use_bias=False)], (4,)),
    "Conv2D": lambda k: (minidl.Conv2D(4, 6, (3, 2), **DOUBLE), [k.Conv2D(6, (3, 2))], PICTURES),
    "Conv2D in groups": lambda k: (
        minidl.Conv2D(4, 6, 3, 2, "same_upper", groups=2, **DOUBLE),
        [k.Conv2D(6, 3, 2, "same", groups=2)],
        PICTURES,
    ),
    "Conv2D depthwise": lambda k: (
        minidl.Conv2D(4, 8, (3, 2), groups=4, **DOUBLE),
        [k.DepthwiseConv2D((3, 2), depth_multiplier=2)],
        PICTURES,
    ),
    "Conv1D": lambda k: (minidl.Conv1D(4, 3, 2, padding="causal", **DOUBLE), [k.Conv1D(3, 2, 1, "causal")], STEPS),
    "Conv1D depthwise": lambda k: (
        minidl.Conv1D(4, 8, 2, groups=4, **DOUBLE),
        [k.DepthwiseConv1D(2, depth_multiplier=2)],
        STEPS,
    ),
    "ConvTranspose2D": lambda k: (
        minidl.ConvTranspose2D(4, 3, (3, 2), 2, **DOUBLE),
        [k.Conv2DTranspose(3, (3, 2), 2)],
        PICTURES,
    ),
    "BatchNorm": lambda k: (minidl.BatchNorm(4, epsilon=1e-3, **DOUBLE), [k.BatchNormalization()], PICTURES),
    "BatchNorm without weight": lambda k: (
        minidl.BatchNorm(4, weight=False, epsilon=1e-3, **DOUBLE),
        [k.BatchNormalization(scale=False)],
        PICTURES,
    ),
    "LayerNorm": lambda k: (minidl.LayerNorm(4, epsilon=1e-3, **DOUBLE), [k.LayerNormalization()], STEPS),
    "GroupNorm": lambda k: (minidl.GroupNorm(2, 4, epsilon=1e-3, **DOUBLE), [k.GroupNormalization(2)], PICTURES),
    "RMSNorm": lambda k: (minidl.RMSNorm(4, epsilon=1e-6, **DOUBLE), [k.RMSNormalization()], STEPS),
    "PReLU": lambda k: (minidl.PReLU(4, **DOUBLE), [k.PReLU()], (4,)),
    "Embedding": lambda k: (minidl.Embedding(5, 4, **DOUBLE), [k.Embedding(5, 4)], (7,)),
    "LSTM": lambda k: (minidl.LSTM(4, 3, **DOUBLE), [k.LSTM(3, return_sequences=True)], STEPS),
    "LSTM last": lambda k: (minidl.LSTM(4, 3, return_sequence=False, **DOUBLE), [k.LSTM(3)], STEPS),
    "GRU": lambda k: (minidl.GRU(4, 3, **DOUBLE), [k.GRU(3, return_sequences=True)], STEPS),
    "GRU both directions": lambda k: (
        minidl.GRU(4, 3, bidirectional=True, **DOUBLE),
        [k.Bidirectional(k.GRU(3, return_sequences=True))],
        STEPS,
    ),
    "LSTM both directions": lambda k: (
        minidl.LSTM(4, 3, bidirectional=True, **DOUBLE),
        [k.Bidirectional(k.LSTM(3, return_sequences=True))],
        STEPS,
    ),
}


def as_model(layer: Module) -> Sequential:
    return layer if isinstance(layer, Sequential) else Sequential(layer)


def randomize(theirs: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lows = [0.5 if "variance" in weight.path else -1.0 for weight in theirs.weights]
    theirs.set_weights([rng.uniform(low, 1.5, a.shape) for low, a in zip(lows, theirs.get_weights(), strict=True)])


def assert_close(ours: Array, theirs: Any) -> None:
    # Keras' products are in float32, whatever the precision of weights and inputs.
    np.testing.assert_allclose(ours, np.asarray(theirs.detach()), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("h5py")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    keras.backend.set_floatx("float64")
    return keras


def check_both_directions(ours: Module, theirs: Any, x: Array, folder: Path, **options: Any) -> None:
    path = folder / "model.weights.h5"
    randomize(theirs, 0)
    theirs.save_weights(path)
    load_keras_weights(ours, path, **options)
    expected, weights = theirs(x), theirs.get_weights()
    assert_close(ours.predict(x), expected)
    save_keras_weights(ours, path, **options)
    randomize(theirs, 1)
    theirs.load_weights(path)
    for weight, loaded in zip(weights, theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, weight)


@pytest.mark.parametrize("name", CASES)
def test_every_layer(name: str, keras: Any, tmp_path: Path) -> None:
    ours, layers, shape = CASES[name](keras.layers)
    x: Array = np.random.default_rng(0).standard_normal((3, *shape))
    if name == "Embedding":
        x = np.random.default_rng(0).integers(5, size=(3, *shape))
    check_both_directions(as_model(ours), keras.Sequential([keras.Input(shape), *layers]), x, tmp_path)


def test_a_convolutional_network(keras: Any, tmp_path: Path) -> None:
    k = keras.layers
    theirs = keras.Sequential(
        [
            keras.Input((8, 8, 3)), k.Conv2D(4, 3), k.BatchNormalization(name="mine"), k.ReLU(), k.MaxPooling2D(),
            keras.Sequential([k.Conv2D(5, 2), k.Conv2D(2, 1), k.PReLU(shared_axes=(1, 2))]), k.Conv2D(2, 1),
            k.Flatten(), k.Dropout(0.5), k.Dense(3), k.Dense(2),
        ]
    )  # fmt: skip
    ours = Sequential(
        minidl.Conv2D(3, 4, 3, **DOUBLE), minidl.BatchNorm(4, epsilon=1e-3, **DOUBLE), minidl.ReLU(),
        minidl.MaxPool2D(),
        Sequential(minidl.Conv2D(4, 5, 2, **DOUBLE), minidl.Conv2D(5, 2, 1, **DOUBLE), minidl.PReLU(2, **DOUBLE)),
        minidl.Conv2D(2, 2, 1, **DOUBLE), minidl.Flatten(), minidl.Dropout(0.5), minidl.Dense(8, 3, **DOUBLE),
        minidl.Dense(3, 2, **DOUBLE),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((3, 8, 8, 3))
    theirs.compile("adam", "mse")
    theirs.fit(x, np.ones((3, 2)), verbose=0)  # the file holds an optimizer's state, too
    randomize(theirs, 0)
    theirs.save_weights(tmp_path / "a.weights.h5")
    load_keras_weights(ours, tmp_path / "a.weights.h5")
    assert_close(ours.predict(x), theirs(x))


def test_attention_and_shortcuts_by_name(keras: Any, tmp_path: Path) -> None:
    k = keras.layers
    given_x = keras.Input((5, 6))
    y = k.MultiHeadAttention(3, 2)(given_x, given_x)
    theirs = keras.Model(given_x, k.Add()([y, k.Dense(6)(given_x)]))
    ours = minidl.Residual(minidl.SelfAttention(6, 3, **DOUBLE), shortcut=minidl.Dense(6, 6, **DOUBLE))
    names = {"layers/multi_head_attention": "0", "layers/dense": "shortcut"}
    check_both_directions(ours, theirs, np.random.default_rng(0).standard_normal((2, 5, 6)), tmp_path, names=names)
    with pytest.raises(ValueError, match=r"Residual.*what the file calls each"):
        load_keras_weights(ours, tmp_path / "model.weights.h5")


def test_normalization(keras: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3)) * 3 + 1
    layer = keras.layers.Normalization()
    layer.adapt(x)
    theirs = keras.Sequential([keras.Input((3,)), layer])
    theirs.save_weights(tmp_path / "a.weights.h5")
    ours = Sequential(minidl.Normalize(3, **DOUBLE))
    load_keras_weights(ours, tmp_path / "a.weights.h5")
    assert_close(ours.predict(x), theirs(x))
    ours[0].mean.data[:] += 1
    save_keras_weights(ours, tmp_path / "a.weights.h5")
    theirs.load_weights(tmp_path / "a.weights.h5")
    assert_close(ours.predict(x), theirs(x))


def test_parts_that_were_trained_before(keras: Any, tmp_path: Path) -> None:
    k = keras.layers
    given_x = keras.Input((3,))
    parts = [keras.Sequential([given_x, k.Dense(4)]), keras.Model(given_x, k.Dense(3)(given_x))]
    parts[0].compile("adam", "mse")
    parts[0].fit(np.ones((4, 3)), np.ones((4, 4)), verbose=0)  # the file holds its optimizer's state, too
    theirs = keras.Sequential([keras.Input((3,)), parts[1], parts[0], k.Dense(2)])
    ours = Sequential(
        Sequential(minidl.Dense(3, 3, **DOUBLE)), Sequential(minidl.Dense(3, 4, **DOUBLE)), minidl.Dense(4, 2, **DOUBLE)
    )
    theirs.generator_optimizer = keras.optimizers.SGD()
    theirs.generator_optimizer.build(theirs.trainable_variables)
    theirs.save_weights(tmp_path / "a.weights.h5")
    load_keras_weights(ours, tmp_path / "a.weights.h5", names={"layers/functional": "0"})
    x = np.random.default_rng(0).standard_normal((5, 3))
    assert_close(ours.predict(x), theirs(x))


def test_layers_are_counted_as_keras_counts_them(keras: Any, tmp_path: Path) -> None:
    k = keras.layers
    given_x = keras.Input((3,))
    y = k.Dense(3)(keras.Sequential([k.ReLU()])(k.LayerNormalization(center=False, scale=False)(given_x)))
    y = keras.Sequential([k.Dense(3)])(k.Add()([y, k.Dense(3)(y)]))
    theirs = keras.Model(given_x, k.Dense(2)(k.LayerNormalization()(y)))
    ours = Sequential(
        minidl.LayerNorm(3, epsilon=1e-3, weight=False, bias=False), Sequential(minidl.ReLU()),
        minidl.Dense(3, 3, **DOUBLE), minidl.Residual(minidl.Dense(3, 3, **DOUBLE)),
        Sequential(minidl.Dense(3, 3, **DOUBLE)), minidl.LayerNorm(3, epsilon=1e-3, **DOUBLE),
        minidl.Dense(3, 2, **DOUBLE),
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((5, 3))
    check_both_directions(ours, theirs, x, tmp_path, names={"layers/dense_1": "3.0"})


def test_weights_in_bfloat16(keras: Any, tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, dtype="bfloat16")])
    theirs.save_weights(tmp_path / "a.weights.h5")
    ours = Sequential(minidl.Dense(3, 4))
    load_keras_weights(ours, tmp_path / "a.weights.h5")
    expected = theirs.weights[0].value.detach().float().numpy()
    np.testing.assert_array_equal(ours[0].weight.data.T, expected)


sides = st.integers(1, 3)


@settings(max_examples=30)
@given(sides, sides, sides, sides, seeds)
def test_layouts(inputs: int, outputs: int, rows: int, columns: int, seed: int) -> None:
    """Without Keras: each number of a kernel at the place where Keras' documentation has it."""

    def values(layer: Module) -> list[Array]:
        rng = np.random.default_rng(seed)
        for parameter in layer.parameters():
            parameter.data[...] = rng.standard_normal(parameter.shape)
        return [part.values() for part in parts_of(Sequential(layer))]

    convolution = minidl.Conv2D(inputs, outputs, (rows, columns))
    kernel = values(convolution)[0]
    transposed = minidl.ConvTranspose2D(inputs, outputs, (rows, columns))
    back = values(transposed)[0]
    depthwise = minidl.Conv2D(inputs + 1, (inputs + 1) * outputs, (rows, columns), groups=inputs + 1)
    deep = values(depthwise)[0]
    for r, c, i, o in np.ndindex(rows, columns, inputs, outputs):
        assert kernel[r, c, i, o] == convolution.weight.data[o, r, c, i]
        assert back[r, c, o, i] == transposed.weight.data[i, r, c, o]
        assert deep[r, c, i, o] == depthwise.weight.data[i * outputs + o, r, c, 0]
    gru: Any = minidl.GRU(inputs, outputs)
    arrays = values(gru)
    for ours, theirs in ((0, 1), (1, 0), (2, 2)):  # r, z, n here; z, r, n there
        here, there = slice(ours * outputs, (ours + 1) * outputs), slice(theirs * outputs, (theirs + 1) * outputs)
        np.testing.assert_array_equal(arrays[0][:, there], gru.weight_ih_l0.data[here].T)
        np.testing.assert_array_equal(arrays[1][:, there], gru.weight_hh_l0.data[here].T)
        np.testing.assert_array_equal(arrays[2][0, there], gru.bias_ih_l0.data[here])
        np.testing.assert_array_equal(arrays[2][1, there], gru.bias_hh_l0.data[here])
    lstm: Any = minidl.LSTM(inputs, outputs)
    np.testing.assert_array_equal(values(lstm)[2], lstm.bias_ih_l0.data + lstm.bias_hh_l0.data)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.weights.h5"
    model = minidl.mlp([2, 3, 1], rng=0)
    save_keras_weights(model, path)
    other = minidl.mlp([2, 3, 1], rng=1)
    load_keras_weights(other, path)
    assert all(np.array_equal(a, model.state_dict()[name]) for name, a in other.state_dict().items())
    with h5py.File(path, "a") as file:
        del file["layers/dense/vars/0"], file["layers/dense_1/vars/0"]
        file["layers/dense_1/vars/0"] = np.ones((2, 2))
        file["layers/dense_2/vars/0"] = np.ones((2, 2))
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        load_keras_weights(other, path)
    assert sorted(line.split()[0] for line in str(error.value).splitlines()[1:]) == [
        "layers/dense_1/vars/0:", "missing", "unexpected",
    ]  # fmt: skip
    path.write_bytes(b"no file of weights")
    with pytest.raises(ModelFileError, match="damaged"):
        load_keras_weights(other, path)
    with h5py.File(path, "w") as file:  # which h5py answers with a TypeError
        h5py.h5d.create(file.id, b"0", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,)))
    with pytest.raises(ModelFileError, match="damaged"):
        load_keras_weights(other, path)
    with h5py.File(path, "w") as file:  # and with a ValueError
        file.create_dataset("layers/dense/vars/0", (2**40, 2**40), "f4", chunks=(1, 1))
    with pytest.raises(ModelFileError, match="damaged"):
        load_keras_weights(other, path)
    with pytest.raises(FileNotFoundError):
        load_keras_weights(other, tmp_path / "b.weights.h5")
    (tmp_path / "c.weights.h5").mkdir()
    with pytest.raises(IsADirectoryError):
        load_keras_weights(other, tmp_path / "c.weights.h5")


def test_numbers_that_keras_cannot_hold(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "a.weights.h5"
    lstm: Any = minidl.LSTM(2, 2, rng=0)
    lstm.bias_ih_l0.data[:] = lstm.bias_hh_l0.data[:] = 3e38
    with np.errstate(all="raise"), pytest.raises(ValueError, match=r"layers/lstm/cell/vars/2: expected finite"):
        save_keras_weights(lstm, path)
    for scale, message in ((1e-20, "expected scales of at least 1e-07"), (1e30, "expected finite numbers")):
        layer = minidl.Normalize(2)
        layer.scale.data[0] = scale
        with np.errstate(all="raise"), pytest.raises(ValueError, match=message):
            save_keras_weights(layer, path)
    assert list(tmp_path.iterdir()) == []


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.weights.h5"
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (2, 1), "f4", external=[(str(tmp_path / "secret"), 0, 8)])
        file["layers/dense/vars/1"] = h5py.ExternalLink(str(tmp_path / "b.weights.h5"), "x")
    with pytest.raises(ModelFileError, match="layers/dense/vars/0 stands in another file"):
        load_keras_weights(minidl.mlp([2, 1]), path)


@pytest.mark.parametrize(
    ("model", "names", "message"),
    [
        (Sequential(minidl.PositionalEmbedding(3, 2)), {"layers/a": "0"}, "a layer that Keras has, too"),
        (minidl.mlp([2, 1]), {"layers/dense": 0}, "expected paths of minidl's layers"),
        (minidl.mlp([2, 1]), {"layers/dense": "9"}, "expected the path of another layer for each"),
        (
            Sequential(minidl.GRU(2, 2), minidl.Dense(2, 2)),
            {"layers/gru": "0", "layers/gru/cell": "1"},
            "each of the file's layers once",
        ),
        (minidl.Residual(minidl.Dense(2, 2)), None, "Residual.*what the file calls each"),
        (Sequential(minidl.PositionalEmbedding(3, 2)), None, "layer 0, Pos.*a layer that Keras has"),
    ],
)
def test_what_keras_cannot_be_asked(model: Module, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts_of(model, names)
