"""A resumed run is the run that was broken off: the same bits, or a refusal that says why; and the best is put back."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import (
    SGD,
    Adam,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    LearningRateSchedule,
    MeanSquaredError,
    Module,
    NonFiniteError,
    Optimizer,
    Sequential,
    Sigmoid,
    Trainer,
)
from minidl._typing import Array
from minidl.schedules import cosine
from minidl.training.generators import set_states, states_of

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
Y = X[:, 0] > 0
Augmentation = Callable[[Array], Array]


class Noise:
    """Draws from a generator in a slot, and from some in a list."""

    __slots__ = ("others", "own")

    def __init__(self) -> None:
        self.own = np.random.default_rng(1)
        self.others: list[Any] = [np.random.default_rng(2), {"deep": np.random.default_rng(3)}]

    def __call__(self, x: Array) -> Array:
        first, second = self.others
        noise = self.own.normal(size=x.shape) + first.normal(size=x.shape) + second["deep"].normal(size=x.shape)
        changed: Array = (x + 0.1 * noise).astype(x.dtype)
        return changed


class Composed:
    """One augmentation after another."""

    def __init__(self, *parts: Augmentation) -> None:
        self.parts = parts

    def __call__(self, x: Array) -> Array:
        return functools.reduce(lambda value, part: part(value), self.parts, x)


def scaled(x: Array, rng: np.random.Generator) -> Array:
    changed: Array = x * rng.uniform(0.9, 1.1, (len(x), 1)).astype(x.dtype)
    return changed


def closure() -> Augmentation:
    rng = np.random.default_rng(5)
    return lambda x: scaled(x, rng)


SHARED = np.random.default_rng(6)


def with_a_global(x: Array) -> Array:
    return scaled(x, SHARED)


AUGMENTATIONS: dict[str, Callable[[], Augmentation]] = {
    "an object with slots and lists": Noise,
    "a composition": lambda: Composed(Noise(), closure()),
    "a partial function": lambda: functools.partial(scaled, rng=np.random.default_rng(4)),
    "a closure": closure,
    "a bound method": lambda: Noise().__call__,
    "a generator of the module": lambda: with_a_global,
}


def trainer_of(**options: Any) -> Trainer:
    layers: list[Module] = [Dense(3, 4, rng=0), Dropout(0.2, rng=1), Dense(4, 1, rng=2), Sigmoid()]
    model = Sequential(*layers)
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), **{"learning_rate": 0.1, **options}))


def fit(trainer: Trainer, path: Path, epochs: int, *callbacks: Callback, **options: Any) -> dict[str, list[float]]:
    arguments = {"batch_size": 7, "rng": 0, "print_every": None, **options}
    history = trainer.fit(X, Y, epochs, callbacks=[*callbacks, Checkpoint(path, every=3)], **arguments)
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_whatever_draws_at_random_goes_on_in_the_same_bits(name: str, tmp_path: Path) -> None:
    make, start = AUGMENTATIONS[name], SHARED.bit_generator.state
    whole, broken, resumed = (trainer_of() for _ in range(3))
    complete = fit(whole, tmp_path / "whole", 7, augment=make())
    SHARED.bit_generator.state = start
    fit(broken, tmp_path / "part", 4, augment=make())
    resumed.resume(tmp_path / "part")
    assert fit(resumed, tmp_path / "part", 7, augment=make(), rng=99) == complete
    for key, array in whole.model.state_dict().items():
        assert array.tobytes() == resumed.model.state_dict()[key].tobytes()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Return the checkpoint of a run of three epochs."""
    fit(trainer_of(momentum=0.9), tmp_path / "part", 3)
    return tmp_path / "part"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.5}, "momentum: expected 0.9, received 0.5$"),
        ({"momentum": 0.9, "nesterov": True}, "nesterov: expected False, received True"),
        ({"momentum": 0.9, "weight_decay": 0.1}, "weight_decay: expected 0.0, received 0.1"),
        ({"momentum": 0.9, "max_gradient_norm": 1.0}, "max_gradient_norm: expected None, received 1.0"),
        ({"momentum": 0.5, "weight_decay": 0.1}, "momentum: expected 0.9, received 0.5; weight_decay: expected"),
    ],
)
def test_other_settings_of_the_optimizer_are_refused(part: Path, options: dict[str, Any], message: str) -> None:
    trainer = trainer_of(**options)
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match=f"resume: the checkpoint's SGD has other settings; {message}"):
        trainer.resume(part)
    for name, array in before.items():
        np.testing.assert_array_equal(array, trainer.model.state_dict()[name])


def test_the_settings_of_every_optimizer() -> None:
    class Own(Optimizer):
        def __init__(self, parameters: Any, strength: float = 2.0) -> None:
            self.strength = strength
            super().__init__(parameters, 0.1)

    parameters = trainer_of().model.parameters()
    assert Own(parameters).hyperparameters() == {"strength": 2.0}
    assert Adam(parameters, betas=(0.5, 0.9)).hyperparameters() == {
        "betas": [0.5, 0.9], "epsilon": 1e-8, "weight_decay": 0.0, "max_gradient_norm": None,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox])
@pytest.mark.parametrize("number", [-1, 2**128 + 1, 1.5, None, "x"])
def test_a_random_state_is_taken_up_whole_or_refused(kind: Any, number: Any) -> None:
    generators = {name: np.random.Generator(kind(seed)) for seed, name in enumerate(("first", "second"))}
    before = states_of(generators)
    states = deepcopy(states_of({name: np.random.Generator(kind(9)) for name in generators}))
    place = states["second"]["state"]
    for name in place:
        place[name] = number if np.ndim(place[name]) == 0 else [number, *place[name][1:].tolist()]
    with pytest.raises(ValueError, match="random generator second: expected the state of one of its kind"):
        set_states(generators, states)
    for name, generator in generators.items():
        np.testing.assert_equal(generator.bit_generator.state, before[name])


def test_random_states_are_put_back_all_together_when_interrupted() -> None:
    class Interrupting(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if name == "second":
                raise KeyboardInterrupt
            return super().__getitem__(name)

    generators = {name: np.random.default_rng(seed) for seed, name in enumerate(("first", "second"))}
    before = states_of(generators)
    with pytest.raises(KeyboardInterrupt):
        set_states(generators, Interrupting(first=np.random.default_rng(9).bit_generator.state))
    assert states_of(generators) == before


def test_the_learning_rate_is_that_of_the_checkpoint(part: Path) -> None:
    trainer = trainer_of(momentum=0.9, learning_rate=7.0)
    trainer.resume(part)
    assert trainer.optimizer.learning_rate == 0.1


def test_another_loss_is_refused(part: Path) -> None:
    trainer = trainer_of(momentum=0.9)
    other = Trainer(trainer.model, BinaryCrossEntropy(pos_weight=2.0), trainer.optimizer)
    other.resume(part)
    with pytest.raises(ValueError, match=r"fit after resume, loss: expected 'BinaryCrossEntropy\(from_logits=False\)'"):
        fit(other, part, 5)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X + 1, Y, "contents of x and y"),
        (X, ~Y, "contents of x and y"),
        (X[::-1], Y[::-1], "contents of x and y"),
        (X[:-1], Y[:-1], "samples: expected 24, as in the checkpoint, received 23"),
        ((100 * X).astype(np.float64), Y, "contents of x and y"),
    ],
)
def test_other_samples_are_refused(part: Path, x: Array, y: Array, message: str) -> None:
    trainer = trainer_of(momentum=0.9)
    trainer.resume(part)
    with pytest.raises(ValueError, match=f"fit after resume, {message}"):
        trainer.fit(x, y, 5, batch_size=7, print_every=None, callbacks=[Checkpoint(part)])
    # The same samples in another precision or order in memory are the same.
    trainer.fit(np.asfortranarray(X.astype(np.float64)), Y, 5, 7, print_every=None, callbacks=[Checkpoint(part)])


# --- a callback's state ----------------------------------------------------------------------------------------------


scalars = st.one_of(
    st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3), st.none(),
    st.sampled_from([np.int64(3), np.float32(0.5), np.bool_(True), np.float64("inf"), np.float32("nan"), np.uint8(7)]),
)  # fmt: skip
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6
)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second or (first != first and second != second))


@settings(max_examples=40)
@given(trees)
def test_what_a_callback_keeps_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    class Keeps(Callback):
        state: Any = None

        def state_dict(self) -> dict[str, Any]:
            return {"tree": self.state, "array": np.arange(3)}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            assert state["array"].tolist() == [0, 1, 2]
            self.state = state["tree"]

    path, keeps, again = tmp_path_factory.mktemp("run") / "c", Keeps(), Keeps()
    keeps.state = tree
    fit(trainer_of(), path, 3, keeps)
    trainer = trainer_of()
    trainer.resume(path)
    fit(trainer, path, 4, again)
    assert same(tree, again.state)


def test_a_callback_that_cannot_load_its_state_is_named(tmp_path: Path) -> None:
    class Keeps(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"count": 1}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            raise KeyError("total")

    fit(trainer_of(), tmp_path / "c", 3, Keeps())
    trainer = trainer_of()
    trainer.resume(tmp_path / "c")
    with pytest.raises(ValueError, match=r"fit after resume, Keeps: cannot load its state: KeyError\('total'\)"):
        fit(trainer, tmp_path / "c", 4, Keeps())


# --- contents that nobody wrote --------------------------------------------------------------------------------------


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [path, *(leaf for key, value in tree.items() for leaf in leaves(value, (*path, key)))]
    if isinstance(tree, list):
        return [path, *(leaf for i, value in enumerate(tree) for leaf in leaves(value, (*path, i)))]
    return [path]


def with_value(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    tree = json.loads(json.dumps(tree))
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return tree


@settings(max_examples=200)
@given(data=st.data())
def test_a_header_with_any_other_value_is_refused_or_taken_up_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path, bad = folder / "good.ckpt", folder / "bad.ckpt"
    if not path.exists():
        fit(trainer_of(momentum=0.9), path, 3, EarlyStopping("loss"))
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    header = json.loads(members["header.json"])
    place = data.draw(st.sampled_from([leaf for leaf in leaves(header) if leaf]))
    values = [None, True, -1, 0, 1.5, 10**30, 2**200, "2", "x", [], [1, 2], {}, {"$array": "x"}, {"$float": "y"}]
    value = data.draw(st.sampled_from([*values, json.loads("[" * 900 + "]" * 900)]))
    with zipfile.ZipFile(bad, "w") as file:
        for name, content in members.items():
            changed = json.dumps(with_value(header, place, value))
            file.writestr(name, changed if name == "header.json" else content)
    trainer = trainer_of(momentum=0.9)
    try:
        trainer.resume(bad)
        history = fit(trainer, folder / "other.ckpt", 5, EarlyStopping("loss"))
    except ValueError:
        return
    assert {len(column) for column in history.values()} == {5}
    assert trainer.epoch == 5


# --- the best is the best --------------------------------------------------------------------------------------------


def linear(start: float) -> Trainer:
    """A model of one weight, trained to bring it to 0: it is multiplied by 1 - 2 * rate in each step."""
    model = Sequential(Dense(1, 1, bias=False, dtype=np.float64))
    model[0].weight.data[...] = start
    return Trainer(model, MeanSquaredError(), SGD(model.parameters()))


ONE, ZERO = np.array([[1.0]]), np.array([[0.0]])


@settings(max_examples=60)
@given(st.lists(st.floats(0.05, 2.0), min_size=2, max_size=8), st.booleans(), st.sampled_from([None, 1]))
def test_the_restored_weights_have_the_best_value(rates: list[float], validated: bool, batch_size: int | None) -> None:
    trainer = linear(1.0)
    x, y = (ONE, ZERO) if batch_size is None else (np.repeat(ONE, 3, 0), np.repeat(ZERO, 3, 0))
    monitor = "val_loss" if validated else "loss"
    best = EarlyStopping(monitor, patience=99)
    schedule = LearningRateSchedule(lambda epoch: rates[min(epoch, len(rates) - 1)])
    history = trainer.fit(
        x, y, len(rates), batch_size, (x, y) if validated else None, print_every=None, callbacks=[schedule, best]
    )
    if validated or batch_size is None:
        assert trainer.evaluate(x, y)["loss"] == pytest.approx(min(history[monitor]), rel=1e-12)
    assert best.best == min(history[monitor])


@pytest.mark.parametrize("monitor", ["loss", "val_loss"])
@pytest.mark.parametrize("dual", [False, True])
def test_the_best_is_put_back_after_numbers_that_are_not_finite(monitor: str, dual: bool) -> None:
    x = np.random.default_rng(0).normal(size=(10, 40)).astype(np.float32)
    y = x[:, 0] > 0
    model = minidl.mlp([40, 4, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.5))
    best = EarlyStopping(monitor, patience=99)
    rates = LearningRateSchedule(lambda epoch: 0.1 if epoch < 9 else 1e38)
    with pytest.raises(NonFiniteError):
        trainer.fit(x, y, 99, validation_data=(x, ~y), print_every=None, callbacks=[rates, best], dual=dual)
    target = y if monitor == "loss" else ~y
    assert trainer.evaluate(x, target)["loss"] == pytest.approx(best.best, rel=1e-4)
    # What the optimizer remembers went back with the weights: the next run is an ordinary one.
    trainer.optimizer.learning_rate = 0.01
    assert trainer.fit(x, y, 5, print_every=None, dual=dual)["loss"][-1] < 10


def test_a_resumed_run_puts_back_the_best_weights_of_the_part_before(tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        rates = LearningRateSchedule(lambda epoch: 0.25 if epoch < 3 else 3.0)
        return [rates, EarlyStopping("loss", patience=99), Checkpoint(tmp_path / "c")]

    linear_one = linear(1.0)
    linear_one.fit(ONE, ZERO, 5, print_every=None, callbacks=callbacks())
    resumed = linear(1.0)
    resumed.resume(tmp_path / "c")
    history = resumed.fit(ONE, ZERO, 7, print_every=None, callbacks=callbacks())
    assert resumed.evaluate(ONE, ZERO)["loss"] == pytest.approx(min(history["loss"]), rel=1e-12)


def test_a_rate_may_fall_to_0() -> None:
    trainer = linear(1.0)
    trainer.fit(ONE, ZERO, 5, print_every=None, callbacks=[LearningRateSchedule(cosine(0.1, 0.0, 4))])
    assert trainer.optimizer.learning_rate == 0
