"""Networks of nested containers, a few lines each: they learn, are saved, printed, and their mistakes are named."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import (
    SGD,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Conv2D,
    Dense,
    GlobalAveragePool2D,
    LayerInputError,
    MaxPool2D,
    MeanSquaredError,
    Module,
    NonFiniteError,
    Parallel,
    ReLU,
    Residual,
    Run,
    Sequential,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    StuckWarning,
    Tanh,
    Trainer,
    UpSample2D,
    load,
    save,
)
from minidl._typing import Array
from minidl.testing import gradcheck
from minidl.training.diagnosis import STUCK_EPOCHS

RNG = np.random.default_rng(0)


def conv(inputs: int, outputs: int, seed: int, dtype: Any = np.float32) -> Sequential:
    return Sequential(Conv2D(inputs, outputs, 3, padding="same", rng=seed, dtype=dtype), ReLU())


def unet(dtype: Any = np.float32) -> Sequential:
    """Return a U-Net of two levels for pictures of one channel, whose sides are multiples of 4."""

    def level(channels: int, *deeper: Module) -> Parallel:
        down = Sequential(MaxPool2D(2), conv(channels, 2 * channels, channels, dtype), *deeper, UpSample2D(2))
        return Parallel(Sequential(), down, merge="concatenate")

    inner = Sequential(level(8), conv(8 + 16, 8, 1, dtype))
    return Sequential(conv(1, 4, 0, dtype), level(4, inner), Dense(4 + 8, 1, rng=2, dtype=dtype), Sigmoid())


def resnet(dtype: Any = np.float32) -> Sequential:
    """Return a residual network of two stages."""

    def block(inputs: int, outputs: int, stride: int) -> Sequential:
        shortcut = Conv2D(inputs, outputs, 1, stride, rng=3, dtype=dtype) if inputs != outputs else None
        return Sequential(
            Residual(
                Conv2D(inputs, outputs, 3, stride, 1, rng=0, dtype=dtype), BatchNorm(outputs, dtype=dtype), ReLU(),
                Conv2D(outputs, outputs, 3, padding=1, rng=1, dtype=dtype), BatchNorm(outputs, dtype=dtype),
                shortcut=shortcut,
            ),
            ReLU(),
        )  # fmt: skip

    return Sequential(
        block(1, 4, 1), block(4, 8, 2), GlobalAveragePool2D(), Sequential(Dense(8, 1, rng=2, dtype=dtype), Sigmoid())
    )


def test_a_unet_learns_where_the_bright_square_is(tmp_path: Path) -> None:
    x = RNG.normal(0, 0.3, (24, 8, 8, 1)).astype(np.float32)
    y = np.zeros_like(x)
    for picture, mask in zip(x, y, strict=True):
        row, column = RNG.integers(0, 5, 2)
        picture[row : row + 4, column : column + 4] += 1
        mask[row : row + 4, column : column + 4] = 1
    model = unet()
    trainer = Trainer(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.01))
    history = trainer.fit(x, y, 40, batch_size=8, rng=0, print_every=None)
    assert history["loss"][0] > 0.6
    assert trainer.evaluate(x, y)["accuracy"] > 0.95
    save(model, tmp_path / "unet.npz")
    assert load(tmp_path / "unet.npz").predict(x).tobytes() == model.predict(x).tobytes()


def test_a_residual_network_tells_lines_apart(tmp_path: Path) -> None:
    x = RNG.normal(0, 0.2, (40, 8, 8, 1)).astype(np.float32)
    y = np.arange(40) % 2
    for i, picture in enumerate(x):
        at = RNG.integers(0, 8)
        picture[(at, slice(None)) if y[i] else (slice(None), at)] += 1
    model = resnet()
    trainer = Trainer(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.01))
    trainer.fit(x, y, 30, batch_size=8, rng=0, print_every=None)
    assert trainer.evaluate(x, y)["accuracy"] == 1.0
    save(model, tmp_path / "resnet.npz")
    assert load(tmp_path / "resnet.npz").predict(x).tobytes() == model.predict(x).tobytes()


@pytest.mark.parametrize("make", [unet, resnet])
def test_their_gradients_are_right(make: Any) -> None:
    x = RNG.normal(size=(3, 4, 4, 1))
    assert gradcheck(make(np.float64), x, max_entries=30) < 1e-5


def test_the_summary_of_a_unet_is_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    unet().summary((8, 8, 1))
    lines = [re.sub(" {4,}", " | ", line.strip()) for line in capsys.readouterr().out.splitlines()]
    same = "3 x 3, stride=1, padding='same'"
    assert lines == [
        "layer | output shape | parameters",
        "0  Sequential | (batch, 8, 8, 4)",
        f"0  Conv2D(1 -> 4, {same}) | (batch, 8, 8, 4) | 40",
        "1  ReLU() | (batch, 8, 8, 4) | 0",
        "1  Parallel | (batch, 8, 8, 12)",
        "0  Sequential() | (batch, 8, 8, 4) | 0",
        "1  Sequential | (batch, 8, 8, 8)",
        "0  MaxPool2D(2, stride=2, padding=0) | (batch, 4, 4, 4) | 0",
        "1  Sequential | (batch, 4, 4, 8)",
        f"0  Conv2D(4 -> 8, {same}) | (batch, 4, 4, 8) | 296",
        "1  ReLU() | (batch, 4, 4, 8) | 0",
        "2  Sequential | (batch, 4, 4, 8)",
        "0  Parallel | (batch, 4, 4, 24)",
        "0  Sequential() | (batch, 4, 4, 8) | 0",
        "1  Sequential | (batch, 4, 4, 16)",
        "0  MaxPool2D(2, stride=2, padding=0) | (batch, 2, 2, 8) | 0",
        "1  Sequential | (batch, 2, 2, 16)",
        f"0  Conv2D(8 -> 16, {same}) | (batch, 2, 2, 16) | 1,168",
        "1  ReLU() | (batch, 2, 2, 16) | 0",
        "2  UpSample2D(2) | (batch, 4, 4, 16) | 0",
        "1  Sequential | (batch, 4, 4, 8)",
        f"0  Conv2D(24 -> 8, {same}) | (batch, 4, 4, 8) | 1,736",
        "1  ReLU() | (batch, 4, 4, 8) | 0",
        "3  UpSample2D(2) | (batch, 8, 8, 8) | 0",
        "2  Dense(12 -> 1) | (batch, 8, 8, 1) | 13",
        "3  Sigmoid() | (batch, 8, 8, 1) | 0",
        "total | 3,253",
    ]


def test_errors_name_the_path_of_the_failing_layer() -> None:
    with pytest.raises(
        LayerInputError, match=r"^layer 1\.1\.2\.0, Parallel.*axis, received \(1, 3, 3, 8\), \(1, 2, 2, 16\)"
    ):
        unet().predict(np.zeros((1, 7, 7, 1)))
    with pytest.raises(LayerInputError, match=r"^layer 1\.1\.2\.0\.1\.0, MaxPool2D"):
        unet().predict(np.zeros((1, 2, 2, 1)))
    model = resnet()
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()))
    with pytest.raises(
        LayerInputError, match=r"^layer 0\.0\.shortcut, Conv2D.*expected \(batch, height, width, 1\), received"
    ):
        trainer.fit(np.zeros((4, 8, 8, 3)), [0, 1, 0, 1], 1)
    model[1][0].layers[0] = Conv2D(4, 8, 3, 1, 1)
    with pytest.raises(LayerInputError, match=r"^layer 1\.0, Residual.*one shape, received \(1, 8, 8, 8\), \(1, 4, 4,"):
        model.predict(np.zeros((1, 8, 8, 1)))


# ---------------------------------------------------------------------------------------------------------- diagnosis


class Spoil(Callback):
    """Puts one number into a parameter after the second epoch."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == 1:
            dict(run.model.named_parameters())[self.name].data[...] = self.value


X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 2


def nested() -> Sequential:
    left = Residual(Dense(3, 3, rng=0), ReLU(), shortcut=Sequential(Dense(3, 3, rng=1), Tanh()))
    right = Sequential(Parallel(Dense(3, 3, rng=2), Sequential(), merge="mean"), ReLU())
    return Sequential(Parallel(left, right, merge="multiply"), Sequential(Dense(3, 1, rng=3), Sigmoid()))


def message_of(model: Module, *callbacks: Callback, learning_rate: float = 0.1, x: Any = X, loss: Any = None) -> str:
    trainer = Trainer(model, loss or BinaryCrossEntropy(), SGD(model.parameters(), learning_rate))
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(x, Y, 9, print_every=None, callbacks=callbacks)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("0.0.0.weight", "layer 0.0.0, Dense(3 -> 3)"),
        ("0.0.shortcut.0.weight", "layer 0.0.shortcut.0, Dense(3 -> 3)"),
        ("0.1.0.0.bias", "layer 0.1.0.0, Dense(3 -> 3)"),
        ("1.0.weight", "layer 1.0, Dense(3 -> 1)"),
    ],
)
def test_the_first_layer_that_is_not_finite_is_found_in_nested_containers(name: str, place: str) -> None:
    message = message_of(nested(), Spoil(name, np.inf))
    assert f"the first layer whose output is not finite is {place}; try a learning rate" in message


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Sequential(Parallel(Dense(3, 2), Dense(3, 2), merge="multiply"), Dense(2, 1)), "layer 0, Parallel"),
        (Sequential(Residual(Dense(3, 2), shortcut=Dense(3, 2)), Dense(2, 1)), "layer 0, Residual"),
    ],
)
def test_a_merge_that_overflows_is_named_itself(model: Sequential, place: str) -> None:
    class Both(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            for _, parameter in list(run.model.named_parameters())[:4]:
                parameter.data[...] = 3e38 if parameter.data.ndim == 1 else 0

    message = message_of(model, Both(), loss=BinaryCrossEntropy(from_logits=True))
    assert f"the first layer whose output is not finite is {place}; try" in message


@pytest.mark.parametrize("unscaled", [0, 1])
def test_inputs_that_were_not_scaled_are_seen_through_branches(unscaled: int) -> None:
    def model() -> Sequential:
        branches = Sequential(ReLU(), Dense(3, 2, rng=0)), Sequential(Sequential(), Dense(3, 2, rng=1))
        return Sequential(Parallel(*branches), Dense(2, 1, rng=2))

    # ReLU makes 0 of the one input, and what the other branch is given is what has to be scaled.
    message = message_of(model(), learning_rate=1e30, x=-255 * np.abs(X), loss=MeanSquaredError())
    assert re.search(r"; the network's inputs range from -\d+\S* to -?\d\S*: scale them", message)
    tables = [X, X]
    tables[unscaled] = 255 * np.abs(X)
    message = message_of(model(), learning_rate=1e30, x=tuple(tables), loss=MeanSquaredError())
    assert f"; the inputs of layer 0.{unscaled}.1, Dense(3 -> 2) range from" in message


def test_dead_units_are_found_in_nested_containers() -> None:
    model = nested()
    state = model.state_dict()
    state |= {"0.0.0.weight": np.zeros((3, 3)), "0.0.0.bias": np.array([-1, -1, 1])}
    state |= {"1.0.weight": np.zeros((1, 3)), "1.0.bias": np.zeros(1)}
    model.load_state_dict(state)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 1e-9))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(X, Y, STUCK_EPOCHS, print_every=None)
    (warning,) = caught
    assert warning.category is StuckWarning
    message = str(warning.message)
    assert "Units that are 0 for every sample: layer 0.0.1, ReLU() 67%, layer 0.1.1, ReLU() 0%. " in message
    assert "0.0.shortcut.0.weight " in message
    assert message.endswith(f"Inputs from {X.min():g} to {X.max():g}")


@pytest.mark.parametrize(
    ("activation", "loss", "outputs"),
    [(Sigmoid, BinaryCrossEntropy(), 1), (Softmax, SoftmaxCrossEntropy(0.0, False), 2)],
)
def test_logits_are_found_at_the_end_of_a_nested_network(activation: type[Module], loss: Any, outputs: int) -> None:
    """A saturated network still learns, which it cannot through probabilities in float32."""
    histories = []
    for end in (activation(), Sequential(Sequential(activation()))):
        dense = Dense(3, outputs, rng=0)
        model = Sequential(Residual(Sequential(), Dense(3, 3, rng=1)), Sequential(dense, end))
        assert dense.bias is not None
        dense.bias.data[0] = 200
        trainer = Trainer(model, loss, SGD(model.parameters(), 0.1))
        histories.append(trainer.fit(X, Y if outputs == 1 else 1 - Y, 3, print_every=None)["loss"])
        assert histories[-1][0] > 90
        assert trainer.evaluate(X, Y)["loss"] > 90
    assert histories[0] == histories[1]
    model = Sequential(Sequential(Dense(3, 1), Sequential(Sigmoid())))
    with pytest.raises(ValueError, match=r"takes logits, but the model ends in Sigmoid\(\)"):
        Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()))


@pytest.mark.parametrize("block", [Parallel(Dense(3, 3), Dense(3, 3)), Residual(Dense(3, 3))], ids=repr)
def test_a_gradient_of_another_shape_is_refused_on_the_way_to_parameters(block: Any) -> None:
    output: Array = block(X)
    with pytest.raises(ValueError, match="expected a gradient of the output's shape"):
        block.to_parameters()(output[:1])
