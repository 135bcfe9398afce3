"""The gradient of a network's own input is not computed, however its containers are nested."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    LayerNorm,
    MeanSquaredError,
    Module,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Tanh,
    Trainer,
)
from minidl._typing import Array
from minidl.data.batches import Batches
from minidl.training import Problem
from minidl.training.rewrites.input_gradient import skip_input_gradient

WIDTH = 3


class Doubled(Dense):
    """A subclass that overrides `backward` alone, to which the inherited `backward_parameters` does not belong."""

    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(2 * grad_output)


class Negated(Sequential):
    """A user's container that overrides both passes, and makes no promise."""

    def forward(self, x: Array) -> Array:
        return -super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(-grad_output)


class Own(Module):
    """A user's container of its own."""

    def __init__(self, inner: Module) -> None:
        self.inner = inner

    def forward(self, x: Array) -> Array:
        return 3 * self.inner(x)

    def backward(self, grad_output: Array) -> Array:
        return self.inner.backward(3 * grad_output)


class Last(Dense):
    """A layer that is to be asked for the gradients of its parameters alone."""

    def backward(self, grad_output: Array) -> Array:
        raise AssertionError("the gradient of the input was computed")

    def backward_parameters(self, grad_output: Array) -> None:
        super().backward_parameters(grad_output)


class NeverBack(ReLU):
    """A layer that is not to be gone back through."""

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        raise AssertionError("a layer was gone through without need")


@st.composite
def nested(draw: st.DrawFn, depth: int = 3) -> Module:
    """Draw a module of WIDTH features in and out."""
    leaves = ["Dense", "Doubled", "ReLU", "Tanh", "LayerNorm", "nothing"]
    kind = draw(st.sampled_from(leaves + (["row", "negated", "own", "residual", "parallel"] if depth else [])))
    if kind in leaves:
        rng, double = draw(seeds), np.float64
        made: dict[str, Module] = {
            "Dense": Dense(WIDTH, WIDTH, rng=rng, dtype=double),
            "Doubled": Doubled(WIDTH, WIDTH, rng=rng, dtype=double),
            "ReLU": ReLU(),
            "Tanh": Tanh(),
            "LayerNorm": LayerNorm(WIDTH, dtype=double),
            "nothing": Sequential(),
        }
        return made[kind]
    modules = draw(st.lists(nested(depth - 1), min_size=1, max_size=3))
    if kind == "residual":
        return Residual(*modules, shortcut=draw(st.none() | nested(depth - 1)))
    if kind == "parallel":
        merge: Any = draw(st.sampled_from(["sum", "mean", "multiply", "concatenate"]))
        wide = WIDTH * len(modules) if merge == "concatenate" else WIDTH
        return Sequential(Parallel(*modules, merge=merge), Dense(wide, WIDTH, rng=draw(seeds), dtype=np.float64))
    if kind == "own":
        return Own(Sequential(*modules))
    return (Negated if kind == "negated" else Sequential)(*modules)


def problem_of(model: Module, x: Array) -> Problem:
    return Problem(model, MeanSquaredError(), SGD(model.parameters()), Batches(x, np.zeros((len(x), 1))))


def gradients_of(model: Module, network: Module, x: Any, upstream: Array) -> list[bytes]:
    """Return the bits of all gradients after a pass through `network`, which is the model or a rewritten one."""
    for parameter in model.parameters():
        parameter.grad = None
    network(x)
    network.backward(upstream)
    assert all(module._saved is None for _, module in model.named_modules())
    gradients = [parameter.grad for parameter in model.parameters()]
    return [b"" if gradient is None else gradient.tobytes() for gradient in gradients]


@given(nested(), seeds)
@settings(max_examples=300)
def test_all_gradients_are_the_same_to_the_bit(module: Module, seed: int) -> None:
    model = Sequential(module, Dense(WIDTH, 1, rng=seed, dtype=np.float64))
    rng = np.random.default_rng(seed)
    x, upstream = rng.normal(size=(4, WIDTH)), rng.normal(size=(4, 1))
    expected = gradients_of(model, model, x, upstream)
    assert b"" not in expected
    assert gradients_of(model, skip_input_gradient(problem_of(model, x)).model, x, upstream) == expected


NESTED = [
    Sequential(Last(3, 2)),
    Sequential(NeverBack(), Sequential(NeverBack(), Sequential(Last(3, 2), ReLU())), Dense(2, 2)),
    Residual(Last(3, 3)),
    Residual(NeverBack(), Last(3, 3), ReLU(), shortcut=Sequential(NeverBack(), Last(3, 3))),
    Residual(NeverBack(), shortcut=Last(3, 3)),
    Residual(Last(3, 3), shortcut=NeverBack()),
    Parallel(Last(3, 2), Sequential(Last(3, 2), ReLU())),
    Parallel(Sequential(), NeverBack(), Residual(Sequential(NeverBack(), Last(3, 3))), merge="concatenate"),
    Sequential(Residual(NeverBack()), Parallel(NeverBack(), NeverBack()), Last(3, 2)),
    Parallel(Parallel(NeverBack(), Last(3, 3), merge="multiply"), Residual(Residual(Last(3, 3))), merge="mean"),
]


@pytest.mark.parametrize("model", NESTED, ids=repr)
def test_only_parameters_are_asked_for_at_the_beginning(model: Module) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    rewritten = skip_input_gradient(problem_of(model, x)).model
    output = rewritten(x)
    assert rewritten.backward(np.ones_like(output)).size == 0
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(module._saved is None for _, module in model.named_modules())


def test_a_tuple_of_inputs_is_skipped_in_each_branch() -> None:
    model = Parallel(Sequential(NeverBack(), Last(3, 2)), Parallel(Last(2, 2), Last(4, 2)))
    x = tuple(np.ones((5, width), np.float32) for width in (3, 2, 4))
    rewritten = skip_input_gradient(problem_of(model, x[0])).model
    rewritten.backward(np.ones_like(rewritten((x[0], x[1:]))))
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_nothing_is_changed_where_no_layer_has_parameters() -> None:
    problem = Problem(
        Parallel(ReLU(), Tanh()), MeanSquaredError(), SGD(Dense(1, 1).parameters()), Batches(np.ones((1, 1)), [[1.0]])
    )
    assert skip_input_gradient(problem) is problem


class WholeWay(Trainer):
    """A user's trainer, for which nothing is rewritten."""

    def train_step(self, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
        return super().train_step(problem, x, y)


def residual_network() -> Sequential:
    convolutions = Conv2D(1, 2, 3, padding="same", rng=0), ReLU(), Conv2D(2, 2, 3, padding="same", rng=1)
    block = Residual(*convolutions, shortcut=Conv2D(1, 2, 1, rng=2))
    flat = Sequential(Flatten(), Dense(25, 2, rng=3))
    return Sequential(Parallel(Sequential(block, GlobalAveragePool2D()), flat), Dense(2, 1, rng=4))


@pytest.mark.parametrize("options", [{}, {"batch_size": 4, "rng": 0}], ids=["full batch", "mini-batches"])
def test_training_gives_the_same_bits_as_going_the_whole_way(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(10, 5, 5, 1)).astype(np.float32)
    states = []
    for kind in (Trainer, WholeWay):
        model = residual_network()
        kind(model, MeanSquaredError(), SGD(model.parameters(), 0.05)).fit(
            x, x.mean(axis=(1, 2)), 5, print_every=None, **options
        )
        states.append({name: array.tobytes() for name, array in model.state_dict().items()})
    assert states[0] == states[1]
