"""Freezing: training leaves frozen parameters and statistics as they are, and goes on rightly once they are not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

import minidl
from minidl import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    Lion,
    Masked,
    MeanSquaredError,
    Module,
    NAdam,
    Optimizer,
    Parallel,
    Parameter,
    ReLU,
    Residual,
    RMSProp,
    Run,
    Sequential,
    Tanh,
    Trainer,
    clip_gradient_norm,
    mlp,
)
from minidl._typing import Array
from minidl.testing import gradcheck
from minidl.training import Problem

ALL: list[Callable[..., Optimizer]] = [SGD, Adam, AdamW, NAdam, RMSProp, Adagrad, Lion]
LR, MOMENTUM, DECAY, EPSILON = 0.05, 0.9, 0.1, 0.1


def network(widths: list[int], rng: np.random.Generator, dtype: str = "float64") -> Sequential:
    """Return Dense, BatchNorm and Tanh for each width, and a Dense, with statistics and parameters drawn."""
    layers: list[Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [Dense(before, after, dtype=dtype), BatchNorm(after, epsilon=EPSILON, dtype=dtype), Tanh()]
    model = Sequential(*layers, Dense(widths[-2], widths[-1], dtype=dtype))
    for name, buffer in model.named_state():
        buffer.data[...] = rng.uniform(0.5, 1.5, buffer.shape) if "variance" in name else rng.normal(size=buffer.shape)
    return model


class Plain:
    """The same network and SGD in plain arithmetic, in which what is frozen is a constant."""

    def __init__(self, model: Sequential) -> None:
        self.state, self.kinds = model.state_dict(), [type(layer) for layer in model]
        self.velocity = {name: np.zeros_like(array) for name, array in self.state.items()}
        self.constant = {name for name, buffer in model.named_state() if buffer.frozen}

    def gradients(self, x: Array, y: Array) -> dict[str, Array]:
        """Return the gradients of the mean squared error, and move the running statistics that are no constants."""
        state, a = self.state, x
        kept: list[tuple[Array, ...]] = []
        for i, kind in enumerate(self.kinds):
            before = a
            if kind is Dense:
                a = a @ state[f"{i}.weight"].T + state[f"{i}.bias"]
                kept.append((before,))
            elif kind is BatchNorm and f"{i}.running_mean" in self.constant:
                s = 1 / np.sqrt(state[f"{i}.running_variance"] + EPSILON)
                h = (a - state[f"{i}.running_mean"]) * s
                a = state[f"{i}.weight"] * h + state[f"{i}.bias"]
                kept.append((h, s))
            elif kind is BatchNorm:
                s = 1 / np.sqrt(a.var(axis=0) + EPSILON)
                h = (a - a.mean(axis=0)) * s
                for name, new in (("mean", a.mean(axis=0)), ("variance", a.var(axis=0, ddof=1))):
                    state[f"{i}.running_{name}"] = 0.9 * state[f"{i}.running_{name}"] + 0.1 * new
                a = state[f"{i}.weight"] * h + state[f"{i}.bias"]
                kept.append((h, s))
            else:
                a = np.tanh(a)
                kept.append((a,))
        g = 2 * (a - y) / a.size
        found: dict[str, Array] = {}
        for i, kind in reversed(list(enumerate(self.kinds))):
            first, scale = kept[i][0], kept[i][-1]
            if kind is Dense:
                found |= {f"{i}.weight": g.T @ first, f"{i}.bias": g.sum(axis=0)}
                g = g @ state[f"{i}.weight"]
            elif kind is BatchNorm:
                found |= {f"{i}.weight": (g * first).sum(axis=0), f"{i}.bias": g.sum(axis=0)}
                if f"{i}.running_mean" not in self.constant:
                    g = g - g.mean(axis=0) - first * (g * first).mean(axis=0)
                g = g * state[f"{i}.weight"] * scale
            else:
                g = g * (1 - first * first)
        return found

    def step(self, x: Array, y: Array, bound: float | None) -> None:
        found = {name: g for name, g in self.gradients(x, y).items() if name not in self.constant}
        norm = np.sqrt(sum((g * g).sum() for g in found.values()))
        for name, g in found.items():
            g = g if bound is None or norm <= bound else g * (bound / norm)
            self.velocity[name] = MOMENTUM * self.velocity[name] + g + DECAY * self.state[name]
            self.state[name] = self.state[name] - LR * self.velocity[name]


def assert_state(model: Module, expected: dict[str, Array]) -> None:
    state = model.state_dict()
    assert state.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(state[name], array, rtol=1e-9, atol=1e-9, err_msg=name)


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=5),
    st.sampled_from([None, 0.5]),
    st.booleans(),
    st.data(),
    seeds,
)
def test_twenty_steps_equal_those_of_a_network_with_constants(
    widths: list[int], bound: float | None, by_trainer: bool, data: st.DataObject, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = network(widths, rng)
    frozen = data.draw(st.sets(st.sampled_from([layer for layer in model if layer.parameters()])))
    for layer in frozen:
        layer.freeze()
    single = data.draw(st.sampled_from(model.parameters()))
    single.freeze()
    last: Parameter = data.draw(st.sampled_from(model.parameters())).unfreeze()
    plain, before = Plain(model), model.state_dict()
    optimizer = SGD(model.named_parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY, max_gradient_norm=bound)
    loss, x, y = MeanSquaredError(), rng.normal(size=(6, widths[0])), rng.normal(size=(6, widths[-1]))
    if by_trainer:
        Trainer(model, loss, optimizer).fit(x, y, 20, print_every=None, dual=False)
    for _ in range(20):
        plain.step(x, y, bound)
        if not by_trainer:
            model.backward(loss.gradient(model(x), y))
            optimizer.step()
    assert_state(model, plain.state)
    for name, buffer in model.named_state():
        assert np.array_equal(buffer.data, before[name]) or not buffer.frozen
    for name, velocity in optimizer.named_state():
        np.testing.assert_allclose(velocity, plain.velocity[name.removesuffix(".velocity")], rtol=1e-9, atol=1e-9)
    assert not last.frozen


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=15)
@given(st.integers(0, 6), st.integers(1, 6), st.sampled_from([None, 0.5]), seeds)
def test_every_optimizer_leaves_frozen_parameters_and_takes_them_up_as_new_ones(
    kind: Callable[..., Optimizer], before: int, after: int, bound: float | None, seed: int
) -> None:
    """With a bound, gradients of the other parameter are 0 once this one moves, so that the norm is its own."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=3), rng.normal(size=2)
    a, b = (Parameter(s) for s in start)
    alone, other = Parameter(start[0]), Parameter(start[1])
    options: dict[str, Any] = {"learning_rate": 0.1, "weight_decay": 0.1, "max_gradient_norm": bound}
    optimizer, of_alone, of_other = (kind(named, **options) for named in ([("a", a), ("b", b)], [alone], [other]))
    a.freeze()
    state = copy.deepcopy(optimizer.state[0])
    for _ in range(before):
        a.grad, b.grad = np.full(3, np.nan), rng.normal(size=2)
        other.grad = b.grad
        optimizer.step()
        of_other.step()
    np.testing.assert_array_equal(a.data, start[0])
    np.testing.assert_array_equal(b.data, other.data)
    for name, array in state.items():
        np.testing.assert_array_equal(optimizer.state[0][name], array)
    a.unfreeze()
    saved = optimizer.state_dict()
    assert ("frozen_steps" in saved) == (before > 0)
    again = kind([("a", a), ("b", b)], **options)
    again.load_state_dict(saved)
    for _ in range(after):
        a.grad, b.grad = rng.normal(size=3), np.zeros(2)
        alone.grad = a.grad
        again.step()
        of_alone.step()
    np.testing.assert_allclose(a.data, alone.data, rtol=1e-14)
    assert again.steps == before + after
    assert again.frozen_steps == [before, 0]


def test_counts_of_frozen_steps_that_are_none() -> None:
    optimizer = Adam([Parameter(np.zeros(1)), Parameter(np.zeros(1))])
    good = optimizer.state_dict()
    for wrong, message in (([1, 0], r"from 0 to steps, received \[1, 0\]"), ([0], r"expected shape \(2,\), received"),
                           ([0, -1], "from 0 to steps"), ([np.nan, 0], "from 0 to steps")):  # fmt: skip
        with pytest.raises(ValueError, match=f"frozen_steps: {message}|frozen_steps: expected numbers {message}"):
            optimizer.load_state_dict({**good, "frozen_steps": wrong})
    optimizer.load_state_dict({**good, "steps": 5, "frozen_steps": [5, 0]})
    assert (optimizer.steps, optimizer.frozen_steps) == (5, [5, 0])


def test_the_norm_of_gradients_is_that_of_parameters_that_are_not_frozen() -> None:
    a, b = Parameter(np.zeros(2)).freeze(), Parameter(np.zeros(2))
    a.grad, b.grad = np.array([30.0, 40.0]), np.array([3.0, 4.0])
    assert clip_gradient_norm([a, b], 1.0) == 5.0
    assert a.grad.tolist() == [30, 40]
    np.testing.assert_allclose(b.grad, [0.6, 0.8])


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3), (3, 2, 2, 3), (1, 3)])
@pytest.mark.parametrize("parts", [{}, {"weight": False}, {"bias": False}, {"weight": False, "bias": False}], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_frozen_batch_norm_is_a_fixed_affine_map(shape: tuple[int, ...], parts: dict[str, bool], dtype: str) -> None:
    rng = np.random.default_rng(0)
    layer = BatchNorm(3, dtype=dtype, **parts)
    for name, buffer in layer.named_state():
        buffer.data[...] = rng.uniform(0.5, 2, 3) if "variance" in name else rng.normal(size=3)
    layer.freeze()
    assert layer.has_fixed_statistics
    before = layer.state_dict()
    x, upstream = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    y = layer.train()(x)
    np.testing.assert_array_equal(y, layer.predict(x))
    gradient = layer.backward(upstream)
    assert gradient.dtype == y.dtype == dtype
    weight = 1 if layer.weight is None else layer.weight.data
    scale = weight / np.sqrt(before["running_variance"] + layer.epsilon)
    np.testing.assert_allclose(gradient, upstream * scale, rtol=1e-5 if dtype == "float32" else 1e-13)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert gradcheck(layer, x.astype("float64")) < 1e-5
    layer.unfreeze()
    if len(x) > 1:
        layer(x)
        assert not np.array_equal(layer.running_mean.data, before["running_mean"])


def test_statistics_can_be_frozen_by_themselves() -> None:
    layer = BatchNorm(2, dtype="float64")
    x = np.random.default_rng(0).normal(3, 2, (6, 2))
    layer.running_mean.freeze()
    assert layer.has_fixed_statistics
    np.testing.assert_allclose(layer(x), x, rtol=1e-4)
    layer.unfreeze()
    assert layer.weight is not None
    layer.weight.freeze()
    assert abs(layer(x).mean()) < 1e-10


def test_padding_before_a_frozen_batch_norm() -> None:
    x = np.random.default_rng(0).normal(3, 2, (4, 5, 3))
    x[1:, 3:] = 0
    model = Masked(BatchNorm(3, dtype="float64").freeze(), Tanh())
    np.testing.assert_array_equal(model(x), model.predict(x))
    assert gradcheck(model, x) < 1e-5


class NeverBack(Dense):
    def backward(self, grad_output: Array) -> Array:
        raise AssertionError("a frozen layer was gone back through")

    def backward_parameters(self, grad_output: Array) -> None:
        self.backward(grad_output)


class OnlyParameters(Dense):
    def backward(self, grad_output: Array) -> Array:
        raise AssertionError("a gradient that nothing needs was computed")

    def backward_parameters(self, grad_output: Array) -> None:
        super().backward_parameters(grad_output)


PREFIXES = [
    Sequential(NeverBack(3, 3).freeze(), ReLU(), OnlyParameters(3, 1)),
    Sequential(NeverBack(3, 3).freeze(), BatchNorm(3).freeze(), Sequential(Tanh(), OnlyParameters(3, 3)), Dense(3, 1)),
    Sequential(Parallel(Residual(NeverBack(3, 3)).freeze(), OnlyParameters(3, 3)), Dense(3, 1)),
    Sequential(
        Residual(NeverBack(3, 3).freeze(), OnlyParameters(3, 3), shortcut=NeverBack(3, 3).freeze()), Dense(3, 1)
    ),
]


@pytest.mark.parametrize("model", PREFIXES, ids=repr)
@pytest.mark.parametrize("batch_size", [None, 4])
def test_training_goes_back_no_further_than_to_what_is_trained(model: Sequential, batch_size: int | None) -> None:
    x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    before = model.state_dict()
    trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters(), 0.1))
    trainer.fit(x, x[:, :1], 3, batch_size, print_every=None)
    for name, buffer in model.named_state():
        assert buffer.frozen == np.array_equal(buffer.data, before[name]), name
    assert all(module._saved is None for _, module in model.named_modules())


class WholeWay(Trainer):
    """A trainer for which nothing is rewritten."""

    def train_step(self, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
        return super().train_step(problem, x, y)


class At(Callback):
    """Does something to the model at the end of an epoch."""

    def __init__(self, actions: dict[int, Callable[[Any], object]]) -> None:
        self.actions = actions

    def on_epoch_end(self, run: Run, epoch: int, metrics: Any) -> None:
        self.actions.get(epoch, lambda _: None)(run.model)


RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(14, 30)), RNG.integers(2, size=(14, 1))


def classifier(seed: int = 0, dtype: str = "float64") -> Sequential:
    layers = Dense(30, 4, rng=seed, dtype=dtype), BatchNorm(4, dtype=dtype), Tanh(), Dropout(0.2, rng=3)
    return Sequential(*layers, Dense(4, 1, rng=seed, dtype=dtype))


def trainer_of(model: Module, kind: type[Trainer] = Trainer, make: Callable[..., Optimizer] = Adam) -> Trainer:
    return kind(model, BinaryCrossEntropy(from_logits=True), make(model.named_parameters(), 0.05))


GRADUAL: dict[int, Callable[[Any], object]] = {
    1: lambda model: model[0].freeze(),
    3: lambda model: model[0].unfreeze(),
    5: lambda model: model[4].freeze(),
    6: lambda model: model.unfreeze(),
    8: lambda model: model[:2].freeze(),
}
LATER: dict[int, Callable[[Any], object]] = {4: lambda model: model.unfreeze()}


@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"batch_size": 3, "accumulate": 2}], ids=repr)
def test_layers_frozen_and_unfrozen_by_a_callback(options: dict[str, Any]) -> None:
    states = []
    for kind in (Trainer, WholeWay):
        model = classifier()
        model[:2].freeze()
        callbacks = [At(GRADUAL)]
        trainer_of(model, kind).fit(X, Y, 10, rng=1, print_every=None, callbacks=callbacks, dual=False, **options)
        states.append({name: array.tobytes() for name, array in model.state_dict().items()})
    assert states[0] == states[1]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("actions", [{}, GRADUAL, LATER], ids=["throughout", "in between", "at first"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"batch_size": 3, "accumulate": 2}], ids=repr)
def test_the_dual_form_freezes_as_the_direct_one(
    momentum: float, actions: dict[int, Callable[[Any], object]], options: dict[str, Any]
) -> None:
    def make(parameters: Any, rate: float) -> Optimizer:
        return SGD(parameters, rate, momentum=momentum, weight_decay=0.01)

    states = []
    for dual in (False, True):
        model = classifier()
        model[0].bias.freeze()
        model[1].freeze()
        model[0].weight.frozen = actions is LATER
        optimizer = trainer_of(model, make=make).optimizer
        trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)
        trainer.fit(X, Y, 10, rng=0, print_every=None, dual=dual, callbacks=[At(actions)], **options)
        states.append((model.state_dict(), dict(optimizer.named_state())))
    for one, other in zip(*states, strict=True):
        for name, array in one.items():
            np.testing.assert_allclose(array, other[name], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"batch_size": 4}], ids=repr)
def test_the_dual_form_of_a_frozen_first_layer(options: dict[str, Any]) -> None:
    models = classifier(), classifier()
    for model, dual in zip(models, (False, True), strict=True):
        model[:3].freeze()
        trainer_of(model, make=SGD).fit(X, Y, 20, rng=0, print_every=None, dual=dual, **options)
        for name, array in model[:3].state_dict().items():
            np.testing.assert_array_equal(array, classifier()[:3].state_dict()[name])
    assert_state(models[1], models[0].state_dict())


def test_two_fits_and_unfreezing_between_them() -> None:
    states = []
    for kind in (Trainer, WholeWay):
        model = classifier()
        model[:4].freeze()
        trainer = trainer_of(model, kind)
        trainer.fit(X, Y, 5, 4, rng=0, print_every=None)
        assert model[0].weight.grad is None or kind is WholeWay
        frozen = model.state_dict()
        assert np.array_equal(frozen["0.weight"], classifier()[0].weight.data)
        model.unfreeze()
        trainer.fit(X, Y, 5, 4, rng=0, print_every=None)
        assert not any(np.array_equal(array, frozen[name]) for name, array in model.state_dict().items())
        states.append({name: array.tobytes() for name, array in model.state_dict().items()})
    assert states[0] == states[1]


def test_nothing_to_train_is_one_clear_error() -> None:
    model = classifier().freeze()
    with pytest.raises(ValueError, match="model: expected a parameter to train, but all of the optimizer's are frozen"):
        trainer_of(model).fit(X, Y, 5)
    trainer_of(model).evaluate(X, Y)
    model[4].bias.unfreeze()
    trainer_of(model).fit(X, Y, 2, print_every=None)


def test_a_last_batch_of_one_sample_before_a_frozen_batch_norm() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="expected batches of at least two samples"):
        trainer_of(model).fit(X[:13], Y[:13], 1, 4)
    model[1].freeze()
    trainer_of(model).fit(X[:13], Y[:13], 1, 4, print_every=None)


def test_dropout_goes_on_dropping() -> None:
    layer = Dropout(0.5, rng=0).freeze()
    assert 0 < np.count_nonzero(layer(np.ones((100, 10)))) < 1000


def names(model: Module) -> list[str]:
    return [name for name, buffer in model.named_state() if buffer.frozen]


def test_what_keeps_it(tmp_path: Path) -> None:
    model = classifier()
    assert model[1].freeze() is model[1]
    assert names(model) == ["1.weight", "1.bias", "1.running_mean", "1.running_variance"]
    assert names(copy.deepcopy(model)) == names(pickle.loads(pickle.dumps(model))) == names(model)
    minidl.save(model, tmp_path / "model.npz")
    assert names(minidl.load(tmp_path / "model.npz")) == []
    model.load_state_dict(model.state_dict())
    assert len(names(model)) == 4
    assert names(model.unfreeze()) == []


@pytest.mark.parametrize("make", [Adam, SGD])
def test_a_run_is_resumed_in_the_same_bits_whatever_the_caller_has_frozen(make: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 4, "rng": 2, "print_every": None}

    def callbacks(name: str) -> list[Callback]:
        return [At({2: lambda model: model[:2].unfreeze()}), EarlyStopping("loss", 99), Checkpoint(tmp_path / name, 2)]

    def frozen(*layers: int) -> Sequential:
        model = classifier()
        for i in layers:
            model[i].freeze()
        return model

    whole = frozen(0, 1)
    trainer_of(whole, make=make).fit(X, Y, 10, callbacks=callbacks("w"), **options)
    for epochs in (2, 6):  # before and after the callback unfreezes them
        trainer_of(frozen(0, 1), make=make).fit(X, Y, epochs, callbacks=callbacks(f"p{epochs}"), **options)
        for again in (frozen(), frozen(0, 1), frozen(4)):
            trainer = trainer_of(again, make=make)
            trainer.resume(tmp_path / f"p{epochs}")
            assert (again[0].weight.frozen, again[4].weight.frozen) == (epochs == 2, False)
            trainer.fit(X, Y, 10, callbacks=callbacks("r"), **options)
            for name, array in whole.state_dict().items():
                np.testing.assert_array_equal(array, again.state_dict()[name])


def test_an_epoch_that_breaks_off_counts_no_frozen_steps() -> None:
    class BreakOff(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Any) -> None:
            if (run.epoch, batch) == (2, 1):
                raise RuntimeError("broken off")

    model = classifier()
    model[0].freeze()
    trainer = trainer_of(model)
    with pytest.raises(RuntimeError, match="broken off"):
        trainer.fit(X, Y, 5, 4, rng=0, print_every=None, callbacks=[BreakOff()])
    assert trainer.optimizer.steps == 8
    assert trainer.optimizer.frozen_steps == [8, 8, 0, 0, 0, 0]


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = mlp([2, 3, 1], rng=0)
    model.summary()
    assert "frozen" not in capsys.readouterr().out
    model[0].freeze()
    model[2].bias.freeze()
    model.summary()
    assert capsys.readouterr().out.splitlines()[1:] == [
        "0  Dense(2 -> 3), frozen    (batch, 3)               9",
        "1  ReLU()                   (batch, 3)               0",
        "2  Dense(3 -> 1)            (batch, 1)               4",
        "3  Sigmoid()                (batch, 1)               0",
        "total                                               13",
        "trainable                                            3",
        "frozen                                              10",
    ]
    assert "Dense(2 -&gt; 3), frozen" in model._repr_html_()
    Dense(2, 3).freeze().summary()
    assert capsys.readouterr().out.splitlines()[1].startswith("Dense(2 -> 3), frozen")
