"""Work arrays used again inside the loop: the same bits, and nothing that anybody holds ever changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import networks, seeds

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Conv2D,
    Dense,
    Flatten,
    MaxPool2D,
    Module,
    ReLU,
    Sequential,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.training import loop, workspace
from minidl.training.workspace import Workspace


class NoWorkspace(Workspace):
    """Every array is a new one."""

    def __init__(self, *_: Any) -> None:
        self._modules = []


def trainer_for(model: Sequential) -> Trainer:
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.9))


def convnet() -> Sequential:
    block = Conv2D(1, 3, 3, padding="same", rng=0), BatchNorm(3), ReLU(), MaxPool2D(2)
    return Sequential(*block, Flatten(), *mlp([12, 4, 1], rng=1))


@settings(max_examples=40)
@given(networks(), st.one_of(st.none(), st.integers(1, 5)), seeds)
def test_the_bits_are_those_of_new_arrays(
    network: tuple[Sequential, Array, Array], batch_size: int | None, seed: int
) -> None:
    model, x, y = network
    start, results = model.state_dict(), []
    for kind in (NoWorkspace, Workspace):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "Workspace", kind)
            model.load_state_dict(start)
            history = trainer_for(model).fit(x, y, 5, batch_size, (x, y), print_every=None, rng=seed, dual=False)
            results.append((history["loss"], history["val_loss"], model.state_dict()))
    assert results[0][:2] == results[1][:2]
    for name, value in results[0][2].items():
        np.testing.assert_array_equal(value, results[1][2][name])


X = np.random.default_rng(0).normal(size=(11, 4, 4, 1)).astype(np.float32)
Y = np.arange(11) % 2


def test_a_convnet_in_batches_of_unequal_size() -> None:
    states = []
    for kind in (NoWorkspace, Workspace):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "Workspace", kind)
            model = convnet()
            trainer_for(model).fit(X, Y, 4, batch_size=4, validation_data=(X, Y), print_every=None, rng=0)
            states.append(model.state_dict())
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])


class Hoarder(Callback):
    """A user's callback that keeps whatever it can get hold of, and a copy to compare it with."""

    reads_model = False

    def __init__(self) -> None:
        self.held: list[tuple[Array, Array]] = []

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        model = trainer.model
        assert isinstance(model, Sequential)
        arrays = [model.predict(X), model(X), *(parameter.grad for parameter in model.parameters())]
        arrays += [saved for _, module in model.named_modules() for saved in module._saved or ()]
        self.held += [(array, array.copy()) for array in arrays if isinstance(array, np.ndarray)]


@pytest.mark.parametrize("batch_size", [None, 4])
def test_what_a_callback_holds_never_changes(batch_size: int | None) -> None:
    hoarder = Hoarder()
    trainer = trainer_for(convnet())
    for _ in range(2):
        trainer.fit(X, Y, 3, batch_size, print_every=None, rng=0, callbacks=[hoarder])
    assert len(hoarder.held) > 60
    for array, copy in hoarder.held:
        np.testing.assert_array_equal(array, copy)


def test_gradients_left_behind_stay_as_they_are() -> None:
    model = convnet()
    trainer = trainer_for(model)
    trainer.fit(X, Y, 2, print_every=None)
    held = [parameter.grad for parameter in model.parameters()]
    copies = [np.array(gradient) for gradient in held]
    trainer.fit(X, Y, 2, print_every=None)
    for gradient, copy in zip(held, copies, strict=True):
        assert gradient is not None
        np.testing.assert_array_equal(gradient, copy)


class Stop(Callback):
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        raise self.error


def test_no_array_is_used_again_outside_the_loop() -> None:
    model = convnet()
    for callbacks in ([], [Stop(KeyboardInterrupt)], [Stop(OSError)]):
        try:
            trainer_for(model).fit(X, Y, 2, print_every=None, callbacks=callbacks)
        except OSError:
            assert callbacks
        assert all(module._workspace is None for _, module in model.named_modules())
        first = model.predict(X)
        copy = first.copy()
        model.predict(X + 1)
        np.testing.assert_array_equal(first, copy)


class Keeper(Module):
    """A user's layer that keeps all its inputs."""

    def __init__(self) -> None:
        self.inputs: list[tuple[Array, Array]] = []

    def forward(self, x: Array) -> Array:
        self.inputs.append((x, x.copy()))
        return x

    def backward(self, grad_output: Array) -> Array:
        return grad_output


def test_in_networks_with_a_users_layer_every_array_is_new() -> None:
    keeper = Keeper()
    model = Sequential(Dense(4, 3, rng=0), ReLU(), keeper, Dense(3, 1, rng=0))
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1))
    trainer.fit(X.reshape(-1, 4)[:11], Y, 5, print_every=None)
    assert len(keeper.inputs) > 5
    for array, copy in keeper.inputs:
        np.testing.assert_array_equal(array, copy)


def test_arrays_are_used_again_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[Array] = []
    original = Dense.forward

    def forward(self: Dense, x: Array) -> Array:
        outputs.append(original(self, x))
        return outputs[-1]

    monkeypatch.setattr(Dense, "forward", forward)
    trainer_for(mlp([16, 1], rng=0)).fit(X.reshape(11, 16), Y, 6, print_every=None, dual=False)
    epochs = [output for output in outputs if len(output) == 11]
    assert len(epochs) == 6
    assert all(output is epochs[0] for output in epochs)


@pytest.mark.parametrize("thing", [Keeper(), Stop(OSError)])
def test_what_is_not_our_own(thing: object) -> None:
    assert not workspace.is_our_own(thing)
    assert workspace.is_our_own(ReLU())
