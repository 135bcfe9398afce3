"""Sequential and mlp: composition, indexing, prediction, summary, and the place named in errors."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import networks

from minidl import (
    SGD,
    BatchNorm,
    Conv2D,
    Dense,
    Flatten,
    LayerNorm,
    MeanSquaredError,
    Module,
    Parallel,
    Parameter,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Sigmoid,
    mlp,
)
from minidl._typing import Array
from minidl.data.batches import Batches
from minidl.training import Problem
from minidl.training.rewrites.input_gradient import skip_input_gradient


def test_indexing_slicing_iterating() -> None:
    model = mlp([4, 3, 1])
    assert len(model) == 4
    assert model[0] is next(iter(model))
    assert isinstance(model[-1], Sigmoid)
    body = model[:-1]
    assert isinstance(body, Sequential)
    assert list(body) == list(model)[:3]
    assert repr(model) == "Sequential(Dense(4 -> 3), ReLU(), Dense(3 -> 1), Sigmoid())"


def test_mlp_needs_only_a_longer_list() -> None:
    model = mlp([49152, 20, 7, 5, 1])
    assert [repr(layer) for layer in model] == [
        "Dense(49152 -> 20)", "ReLU()", "Dense(20 -> 7)", "ReLU()", "Dense(7 -> 5)", "ReLU()", "Dense(5 -> 1)",
        "Sigmoid()",
    ]  # fmt: skip
    assert sum(p.data.size for p in model.parameters()) == 49152 * 20 + 20 + 20 * 7 + 7 + 7 * 5 + 5 + 5 + 1


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([], "layer_dims: expected at least 2 sizes, received"),
        ([3], r"received \[3\]"),
        ([3, 0, 1], r"layer_dims\[1\]: expected a whole number of at least 1, received 0"),
        ([3, 1.5], r"layer_dims\[1\]"),
    ],
)
def test_mlp_bad_sizes(dims: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mlp(dims)


def test_what_cannot_stand_in_a_sequential() -> None:
    relu = ReLU()
    with pytest.raises(TypeError, match="argument 1: expected a Module, received <class 'minidl"):
        Sequential(relu, ReLU)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"argument 2: ReLU\(\) stands here twice; make a second layer"):
        Sequential(relu, Dense(1, 1), relu)


def test_errors_name_the_layers_place() -> None:
    nested = Sequential(Flatten(), Sequential(ReLU(), Dense(20, 7)))
    with pytest.raises(
        ValueError, match=r"^layer 1\.1, Dense\(20 -> 7\): expected \(batch, 20\), received \(209, 64\)$"
    ):
        nested(np.zeros((209, 8, 8)))


@given(networks(), st.integers(1, 7))
def test_predict_in_batches(network: tuple[Sequential, Array, Array], batch_size: int) -> None:
    model, x, _ = network
    whole = model.predict(x)
    assert whole.shape == (len(x), 1)
    np.testing.assert_allclose(model.predict(x, batch_size=batch_size), whole, rtol=1e-12)
    assert model.training
    model[0].eval()
    model.predict(x)
    assert not model[0].training


def test_predict_restores_the_mode_after_an_error() -> None:
    model = mlp([2, 1])
    for predict in (model.predict, lambda x: model.summary(input_shape=x.shape[1:])):
        with pytest.raises(ValueError, match="layer 0"):
            predict(np.zeros((1, 3)))
        assert all(module.training for _, module in model.named_modules())


@pytest.mark.parametrize(
    ("x", "batch_size", "message"),
    [
        (np.zeros((0, 2)), None, r"x: expected at least one sample, received shape \(0, 2\)"),
        (0.5, None, r"received shape \(\)"),
        ([[1.0, 2.0], [np.nan, 0.0]], None, "x: expected finite numbers, received NaN or infinity, first in row 1"),
        ([[np.inf, 0.0]], None, "first in row 0"),
        ([[1.0, 2.0]], 0, "batch_size: expected a whole number of at least 1, received 0"),
    ],
)
def test_predict_bad_input(x: Any, batch_size: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mlp([2, 1]).predict(x, batch_size)


def problem_of(model: Module, x: Array) -> Problem:
    optimizer = SGD(model.parameters() or [Parameter(np.zeros(1))])
    return Problem(model, MeanSquaredError(), optimizer, Batches(x, np.zeros((len(x), 1))))


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 2, 2, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "model",
    [
        Sequential(Rescale(), Flatten(), *mlp([12, 4, 1], rng=0)),
        Sequential(Rescale(), Sequential(Flatten(), Sequential(mlp([12, 4, 1], rng=0)))),
        Sequential(Rescale(), Conv2D(3, 4, 2, rng=0), ReLU(), Flatten(), Dense(4, 1, rng=1)),
        Sequential(Rescale(), BatchNorm(3), Flatten(), Dense(12, 1, rng=0)),
        Sequential(Rescale(), Flatten(), Dense(12, 1, rng=0)),
    ],
    ids=repr,
)
def test_backward_without_the_inputs_gradient_writes_the_same(model: Sequential) -> None:
    upstream = np.ones((5, 1), np.float32)
    model(PIXELS)
    assert model.backward(upstream).shape == PIXELS.shape
    expected = [p.grad for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = None
    problem = problem_of(model, PIXELS)
    rewritten = skip_input_gradient(problem)
    assert rewritten.model is not model
    assert (rewritten.loss, rewritten.optimizer, rewritten.batches) == (
        problem.loss, problem.optimizer, problem.batches,
    )  # fmt: skip
    np.testing.assert_array_equal(rewritten.model(PIXELS), model(PIXELS))
    assert rewritten.model.backward(upstream).size == 0  # the gradient of the input is not computed
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        np.testing.assert_array_equal(parameter.grad, gradient)
    with pytest.raises(RuntimeError, match="backward needs a forward pass"):
        model.backward(upstream)
    # No layer has kept anything, those before the first one with parameters neither.
    assert all(module._saved is None for _, module in model.named_modules())


class Doubled(Dense):
    """A subclass with a backward pass of its own, to which the inherited `backward_parameters` does not belong."""

    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(2 * grad_output)


class DoubledThroughout(Doubled):
    """A subclass that makes the promise again."""

    def backward_parameters(self, grad_output: Array) -> None:
        super().backward_parameters(2 * grad_output)


@pytest.mark.parametrize(
    ("model", "applies"),
    [
        (Sequential(), False),
        (Sequential(ReLU()), False),
        (Sequential(LayerNorm(3), Dense(3, 1)), False),
        (Sequential(Doubled(3, 1), Dense(1, 1)), False),
        (Sequential(ReLU(), LayerNorm(3)), True),
        (Sequential(DoubledThroughout(3, 1), Dense(1, 1)), True),
        (Sequential(Dense(3, 3), Doubled(3, 1)), True),
        (Residual(Doubled(3, 3)), True),
        (Parallel(Doubled(3, 1), Residual(Doubled(3, 3), shortcut=Doubled(3, 3)), merge="concatenate"), True),
        (Sequential(Parallel(ReLU(), Sequential(Doubled(3, 3)), DoubledThroughout(3, 3)), Dense(3, 1)), True),
    ],
    ids=repr,
)
def test_the_inputs_gradient_is_skipped_only_where_layers_promise_it(model: Module, applies: bool) -> None:
    x = np.ones((2, 3), np.float32)
    problem = problem_of(model, x)
    rewritten = skip_input_gradient(problem)
    assert (rewritten is not problem) is applies
    output = rewritten.model(x)
    rewritten.model.backward(np.ones_like(output))
    gradients = [parameter.grad for parameter in model.parameters()]
    model(x)
    model.backward(np.ones_like(output))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert gradient is not None
        np.testing.assert_array_equal(parameter.grad, gradient)


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([12, 4, 1]))
    model.summary()
    assert capsys.readouterr().out.splitlines() == [
        "layer                                     output shape    parameters",
        "0  Rescale(scale=0.00392157, offset=0)    (batch, ...)             0",
        "1  Flatten()                              (batch, ...)             0",
        "2  Dense(12 -> 4)                         (batch, 4)              52",
        "3  ReLU()                                 (batch, 4)               0",
        "4  Dense(4 -> 1)                          (batch, 1)               5",
        "5  Sigmoid()                              (batch, 1)               0",
        "total                                                             57",
    ]
    model.summary(input_shape=(2, 2, 3))
    out = capsys.readouterr().out
    assert "(batch, 2, 2, 3)" in out
    assert "(batch, 12)" in out
    assert model.training
    with pytest.raises(ValueError, match=r"layer 2, Dense\(12 -> 4\): expected \(batch, 12\), received \(1, 27\)"):
        model.summary(input_shape=(3, 3, 3))


def test_an_empty_sequential_passes_its_input_on() -> None:
    x = np.ones((1, 2))
    assert Sequential()(x) is x
    assert Sequential().backward(x) is x


def test_the_summary_in_a_notebook() -> None:
    """The rows of the printed table, escaped: a class may be named anything."""

    class Odd(ReLU):
        def __repr__(self) -> str:
            return "<script>"

    model = Sequential(Dense(2, 3, rng=0), Residual(Odd(), Dense(3, 3, rng=0)))
    rows = ElementTree.fromstring(model._repr_html_()).findall("tr")
    cells = [[cell.text for cell in row] for row in rows]
    assert cells[0] == ["layer", "output shape", "parameters"]
    assert cells[-1] == ["total", None, "21"]
    assert [name.strip() for name, *_ in cells[1:-1] if name] == [
        "0\u2003Dense(2 -> 3)", "1\u2003Residual", "0\u2003<script>", "1\u2003Dense(3 -> 3)",
    ]  # fmt: skip
