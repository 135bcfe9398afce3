"""Work arrays: the same bits as with new ones, and nothing that anybody holds ever changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise

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
from minidl.training import loop
from minidl.training.workspace import work_arrays
from minidl.work_arrays import KINDS, WorkArrays


@contextmanager
def new_arrays_only(_: Module) -> Iterator[None]:
    yield


def trainer_for(model: Sequential) -> Trainer:
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.9))


def convnet() -> Sequential:
    block = Conv2D(1, 3, 3, padding="same", rng=0), BatchNorm(3), ReLU(), MaxPool2D(2)
    return Sequential(*block, Flatten(), *mlp([12, 4, 1], rng=1))


def test_an_array_is_handed_out_again_when_nobody_holds_it() -> None:
    store = WorkArrays()
    first = store.array((2, 3), np.float32)
    address = first.ctypes.data
    assert first.shape == (2, 3)
    assert store.array((2, 3), np.float32) is not first
    assert store.array((3, 2), np.float32) is not first
    assert store.array((2, 3), np.float64).dtype == np.float64
    del first
    assert store.array((2, 3), np.float32).ctypes.data == address


@pytest.mark.parametrize(
    "hold", [lambda a: a[0], lambda a: a.reshape(6), lambda a: a.T[1:], memoryview, lambda a: a.view(np.int32)]
)
def test_whoever_holds_a_part_of_an_array_keeps_it(hold: object) -> None:
    assert callable(hold)
    store = WorkArrays()
    held = hold(store.array((2, 3), np.float32))
    others = [store.array((2, 3), np.float32) for _ in range(2)]
    assert not any(np.shares_memory(np.asarray(held), other) for other in others)
    assert len(store._arrays[(2, 3), np.float32]) == 3


def test_ever_new_shapes_do_not_fill_the_memory() -> None:
    store = WorkArrays()
    held = [store.array((size,), np.float32) for size in range(1, 1000)]
    assert len(store._arrays) <= KINDS
    assert not any(np.shares_memory(first, second) for first, second in pairwise(held))


def test_threads_never_share_an_array() -> None:
    store, start, clashes = WorkArrays(), threading.Barrier(4), []

    def work(number: int) -> None:
        start.wait()
        for _ in range(3000):
            array = store.array((4,), np.int64)
            array[:] = number
            if (array != number).any():
                clashes.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes


@settings(max_examples=40)
@given(networks(), st.one_of(st.none(), st.integers(1, 5)), seeds)
def test_the_bits_are_those_of_new_arrays(
    network: tuple[Sequential, Array, Array], batch_size: int | None, seed: int
) -> None:
    model, x, y = network
    start, results = model.state_dict(), []
    for arrays in (new_arrays_only, work_arrays):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "work_arrays", arrays)
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
    for arrays in (new_arrays_only, work_arrays):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "work_arrays", arrays)
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


def test_no_array_is_kept_after_the_loop() -> None:
    model = convnet()
    for callbacks in ([], [Stop(KeyboardInterrupt)], [Stop(OSError)]):
        try:
            trainer_for(model).fit(X, Y, 2, print_every=None, callbacks=callbacks)
        except OSError:
            assert callbacks
        assert all(module._work_arrays is None for _, module in model.named_modules())


class Keeper(Module):
    """A user's layer that keeps all its inputs, or parts of them."""

    def __init__(self) -> None:
        self.inputs: list[tuple[Array, Array]] = []

    def forward(self, x: Array) -> Array:
        self.inputs.append((x[1:], x[1:].copy()))
        return x

    def backward(self, grad_output: Array) -> Array:
        self.inputs.append((grad_output, grad_output.copy()))
        return grad_output


class Freezer(Keeper):
    """A user's layer that makes its input read-only, and of another shape."""

    def forward(self, x: Array) -> Array:
        x.flags.writeable = False
        x.shape = (len(x), -1, 1)
        return super().forward(x).reshape(len(x), -1)


@pytest.mark.parametrize("keeper", [Keeper(), Freezer()])
def test_what_a_users_layer_keeps_never_changes(keeper: Keeper) -> None:
    model = Sequential(Dense(4, 3, rng=0), ReLU(), keeper, Dense(3, 1, rng=0))
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1))
    trainer.fit(X.reshape(-1, 4)[:11], Y, 5, print_every=None)
    assert len(keeper.inputs) >= 10
    for array, copy in keeper.inputs:
        np.testing.assert_array_equal(array, copy)


class Look(Callback):
    """Looks at the work arrays of a model, and of a copy of it."""

    stores: set[tuple[bool, bool]]

    def on_epoch_end(self, trainer: Trainer, epoch: int, metrics: Mapping[str, float]) -> None:
        modules = zip(trainer.model.named_modules(), deepcopy(trainer.model).named_modules(), strict=True)
        self.stores = {(module._work_arrays is None, twin._work_arrays is None) for (_, module), (_, twin) in modules}


def test_arrays_are_used_again_in_the_loop_but_not_by_copies() -> None:
    look, model = Look(), convnet()
    trainer_for(model).fit(X, Y, 2, batch_size=4, print_every=None, callbacks=[look])
    # The Sequential itself and its Sigmoid are not in the loop, which goes through logits.
    assert look.stores == {(False, True), (True, True)}
