"""Influences: the learned change of a unit as a sum of training photographs, from the dual form and solved."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    Adam,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Conv2D,
    Dense,
    Flatten,
    Normalize,
    Rescale,
    Run,
    Sequential,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.inspect import influences
from minidl.training.span import Span

F64: Any = np.float64
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), np.uint8)
Y = np.arange(9) % 2


def trained(dual: bool, callbacks: Any = None, dtype: Any = F64, **sgd: Any) -> tuple[Any, Any, Any]:
    """Return the article's network before and after training, and its trainer."""
    model = Sequential(Rescale(), Flatten(), *mlp([90, 4, 3, 1], rng=0, dtype=dtype))
    initial = deepcopy(model)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), **{"learning_rate": 0.1, **sgd}))
    trainer.fit(PIXELS, Y, 12, dual=dual, print_every=None, callbacks=callbacks)
    return initial, model, trainer


def by_hand(initial: Any, epochs: int, learning_rate: float = 0.1, momentum: float = 0.0, decay: float = 0.0) -> Any:
    """Return C and s of the article's network by its formulas, from the plain loop and dZ of each step."""
    model = deepcopy(initial)
    layers = list(model)[2:]
    x, y = PIXELS.reshape(9, -1) / np.float32(255), Y[:, None]
    c, s, vc, vs = np.zeros((9, 4)), 1.0, np.zeros((9, 4)), 0.0
    velocity = {id(p): np.zeros(p.shape) for layer in layers for p in layer.parameters()}
    for _ in range(epochs):
        a = x.astype(np.float64)
        for layer in layers[:-1]:
            a = layer(a)
        g = (1 / (1 + np.exp(-a)) - y) / 9
        for layer in reversed(layers[1:-1]):
            g = layer.backward(g)
        layers[0].backward(g)
        vc, vs = momentum * vc + g, momentum * vs + decay * s
        c, s = c - learning_rate * vc, s - learning_rate * vs
        for layer in layers:
            for p in layer.parameters():
                v = velocity[id(p)]
                v[...] = momentum * v + p.grad + decay * p.data
                p.data -= learning_rate * v
    return c, s, model


@pytest.mark.parametrize("sgd", [{}, {"momentum": 0.9}, {"weight_decay": 0.5}, {"momentum": 0.5, "weight_decay": 0.5}])
def test_the_dual_form_hands_out_its_coefficients(sgd: Any) -> None:
    initial, model, trainer = trained(True, **sgd)
    c, s, twin = by_hand(initial, 12, momentum=sgd.get("momentum", 0.0), decay=sgd.get("weight_decay", 0.0))
    np.testing.assert_allclose(model[2].weight.data, twin[2].weight.data, rtol=1e-8, atol=1e-12)
    found = influences(model, initial, PIXELS, span=trainer.run.span)
    np.testing.assert_allclose(found.coefficients, c, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.scale, s, rtol=1e-12)
    assert found.is_exact
    assert found.residual.shape == (4,)
    assert found.residual.max() < 1e-9
    solved = influences(model, initial, PIXELS, scale=s)
    assert not solved.is_exact
    assert solved.residual.max() < 1e-9
    np.testing.assert_allclose(solved.coefficients, c, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("sgd", [{}, {"momentum": 0.9, "weight_decay": 0.3}])
def test_checkpoints_and_callbacks_that_only_read_keep_it_exact(sgd: Any, tmp_path: Path) -> None:
    class Look(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            assert run.model.parameters()[0].data.shape == (4, 90)

    plain = trained(True, **sgd)[2].run.span
    checkpoint = Checkpoint(tmp_path / "run.ckpt", every=5)  # which goes on from the weights as written
    initial, model, trainer = trained(True, callbacks=[Look(), checkpoint], **sgd)
    span = trainer.run.span
    np.testing.assert_allclose(span.coefficients, plain.coefficients, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose((span.scale, span.velocity_scale), (plain.scale, plain.velocity_scale), rtol=1e-12)
    residual = influences(model, initial, PIXELS, span=span).residual
    assert residual[1:].max() < 1e-9
    assert residual[0] < 0.1  # a dead unit, whose weight has changed by rounding alone


def test_there_is_no_span_where_something_else_moved_the_weight() -> None:
    class Halve(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == 3:
                run.model.parameters()[0].data *= 0.5

    assert trained(True, callbacks=[Halve()])[2].run.span is None
    assert trained(False)[2].run.span is None


def test_an_interrupted_run_has_the_span_of_its_last_epoch() -> None:
    class Interrupt(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Any) -> None:
            if run.epoch == 7:
                raise KeyboardInterrupt

    initial, model, trainer = trained(True, callbacks=[Interrupt()], momentum=0.5)
    assert trainer.epoch == 7
    found = influences(model, initial, PIXELS, span=trainer.run.span)
    assert found.residual.max() < 1e-9
    np.testing.assert_allclose(found.coefficients, by_hand(initial, 7, momentum=0.5)[0], rtol=1e-8, atol=1e-12)


def test_float32_and_mini_batches() -> None:
    initial, model, trainer = trained(True, dtype=np.float32)
    assert influences(model, initial, PIXELS, span=trainer.run.span).residual.max() < 1e-3
    model = Sequential(Rescale(), Flatten(), *mlp([90, 4, 1], rng=0))
    initial = deepcopy(model)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.5))
    trainer.fit(PIXELS, Y, 10, batch_size=4, rng=0, dual=False, print_every=None)
    found = influences(model, initial, PIXELS)
    assert found.residual.max() < 1e-3
    change = model[2].weight.data - initial[2].weight.data
    x = PIXELS.reshape(9, -1) / np.float32(255)
    np.testing.assert_allclose(found.coefficients.T @ x, change, atol=1e-5)


def test_mini_batches_in_the_dual_form() -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([90, 4, 1], rng=0, dtype=F64))
    initial = deepcopy(model)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.5, weight_decay=0.1))
    trainer.fit(PIXELS, Y, 10, batch_size=4, rng=0, dual=True, print_every=None)
    assert trainer.run is not None
    found = influences(model, initial, PIXELS, span=trainer.run.span)
    assert found.residual.max() < 1e-9
    solved = influences(model, initial, PIXELS, scale=found.scale)
    np.testing.assert_allclose(solved.coefficients, found.coefficients, rtol=1e-5, atol=1e-7)


def test_what_is_no_sum_of_photographs_is_reported() -> None:
    model = mlp([30, 3, 1], rng=0)
    x, initial = np.random.default_rng(0).normal(size=(5, 30)), deepcopy(model)
    Trainer(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.01)).fit(x, [0, 1, 0, 1, 1], 9, print_every=None)
    assert influences(model, initial, x).residual.max() > 0.3


@settings(max_examples=60)
@given(seed=seeds, n=st.integers(1, 6), d=st.integers(1, 9), units=st.integers(1, 3), scale=st.floats(0.1, 2))
def test_the_solution_is_that_of_least_squares(seed: int, n: int, d: int, units: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x, start, weight = rng.normal(size=(n, d)), rng.normal(size=(units, d)), rng.normal(size=(units, d))
    found = influences(weight, start, x, scale=scale)
    change = weight - scale * start
    expected = np.linalg.lstsq(x.T, change.T, rcond=None)[0]
    left = np.linalg.norm(change - expected.T @ x, axis=1) / np.linalg.norm(change, axis=1)
    np.testing.assert_allclose(found.residual, left, atol=1e-4)
    regularized = influences(weight, start, x, scale=scale, regularization=0.1)
    gram = x @ x.T
    ridge = gram + 0.1 * np.linalg.eigvalsh(gram).max() * np.eye(n)
    np.testing.assert_allclose(regularized.coefficients, np.linalg.solve(ridge, x @ change.T), rtol=1e-6, atol=1e-9)


def test_equal_photographs_share_their_part_and_no_change_has_none() -> None:
    x = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    found = influences([[4.0, 6.0, 0.0]], [[0.0, 0.0, 0.0]], x)
    np.testing.assert_allclose(found.coefficients[:, 0], [2, 2, 3], rtol=1e-9)
    assert found.strongest(0, 2).tolist()[0] == 2
    still = influences([[4.0, 6.0, 0.0]], [[4.0, 6.0, 0.0]], x)
    np.testing.assert_array_equal(still.coefficients, 0)
    np.testing.assert_array_equal(still.residual, 0)
    dark = influences([[4.0]], [[0.0]], [[0.0], [0.0]])
    assert dark.coefficients.tolist() == [[0.0], [0.0]]
    assert dark.residual.tolist() == [1.0]


@pytest.mark.parametrize("normalize", [False, True])
def test_the_answers_to_a_new_photograph_are_sums_of_similarities(normalize: bool) -> None:
    layers = [Normalize(3, dtype=F64).adapt(PIXELS)] if normalize else [Rescale()]
    model = Sequential(*layers, Flatten(), *mlp([90, 4, 1], rng=0, dtype=F64))
    model[2].bias.data[...] = np.arange(4)
    initial = deepcopy(model)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05, weight_decay=0.1))
    trainer.fit(PIXELS, Y, 10, dual=True, print_every=None)
    new = np.random.default_rng(5).integers(0, 256, (2, 6, 5, 3), np.uint8)
    assert trainer.run is not None
    found = influences(model, initial, PIXELS, [3, 1], span=trainer.run.span)
    parts = found.parts(new)
    z = model[2].predict(model[:2].predict(new).astype(F64))[:, [3, 1]]
    np.testing.assert_allclose(parts.total, z, rtol=1e-5, atol=1e-6)
    x, rows = (model[:2].predict(pixels).astype(F64) for pixels in (PIXELS, new))
    np.testing.assert_allclose(parts.similarities, rows @ x.T, rtol=1e-9)
    for photograph, sample, unit in np.ndindex(2, 9, 2):
        expected = found.coefficients[sample, unit] * (rows[photograph] @ x[sample])
        np.testing.assert_allclose(parts.learned[photograph, sample, unit], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(parts.bias, model[2].bias.data[[3, 1]])
    np.testing.assert_allclose(parts.initial, found.scale * rows @ initial[2].weight.data[[3, 1]].T, rtol=1e-9)


def test_units_and_the_strongest() -> None:
    initial, model, trainer = trained(True)
    every = influences(model, initial, PIXELS, span=trainer.run.span)
    one = influences(model, initial, PIXELS, 2, span=trainer.run.span)
    np.testing.assert_array_equal(one.coefficients[:, 0], every.coefficients[:, 2])
    assert (one.units, every.units) == ((2,), (0, 1, 2, 3))
    order = one.strongest(2, 9)
    sizes = np.abs(one.coefficients[order, 0])
    assert sorted(order.tolist()) == list(range(9))
    assert (np.diff(sizes) <= 0).all()
    assert repr(one).startswith("Influences(9 samples, 1 units, from the dual form, residual up to")
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.parts(PIXELS[:1]).total, one.parts(PIXELS[:1]).total)
    by_layer = influences(model[2], initial[2].weight.data, model[:2].predict(PIXELS), span=trainer.run.span)
    np.testing.assert_allclose(by_layer.residual, every.residual, atol=1e-12)


MODEL, ROWS = mlp([4, 2, 1], rng=0), np.ones((3, 4))


@pytest.mark.parametrize(
    ("arguments", "settings", "kind", "message"),
    [
        ((Sequential(Conv2D(3, 2, 2)), MODEL, ROWS), {}, TypeError, "influences trained: expected a network that"),
        ((MODEL, 3, ROWS), {}, TypeError, "influences initial: expected a network.*received 3"),
        ((MODEL, Dense(5, 2), ROWS), {}, ValueError, r"initial: expected weights of shape \(2, 4\), received \(2, 5\)"),
        ((MODEL, MODEL, np.ones((3, 5))), {}, ValueError, "x_train: expected samples of 4 numbers, received 5"),
        ((MODEL, MODEL, np.ones((0, 4))), {}, ValueError, r"x_train: expected samples .* received shape \(0, 4\)"),
        ((MODEL, MODEL, 3.0), {}, ValueError, r"x_train: expected samples .* received shape \(\)"),
        ((MODEL, MODEL, np.ones((3, 4)) * 1j), {}, ValueError, "x_train: expected numbers, received dtype complex128"),
        ((MODEL, MODEL, [[np.inf] * 4]), {}, ValueError, "x_train: expected finite numbers"),
        ((MODEL, MODEL, np.ones(4)), {}, ValueError, r"x_train: expected samples \(n, ...\), received shape \(4,\)"),
        ((MODEL, MODEL, ROWS, 2), {}, ValueError, "influences unit: expected numbers of units below 2, received 2"),
        ((MODEL, MODEL, ROWS, []), {}, ValueError, r"influences unit: .*received \[\]"),
        ((MODEL, MODEL, ROWS), {"scale": 0.0}, ValueError, "influences scale"),
        ((MODEL, MODEL, ROWS), {"regularization": -1.0}, ValueError, "influences regularization"),
        (
            (MODEL, MODEL, ROWS),
            {"span": Span(np.zeros((2, 2)))},
            ValueError,
            "span: expected coefficients of 3 samples",
        ),
        (([[np.nan]], [[0.0]], [[1.0]]), {}, ValueError, "influences trained: expected finite numbers"),
    ],
)
def test_mistakes(arguments: Any, settings: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        influences(*arguments, **settings)


def test_mistakes_of_methods() -> None:
    found = influences(MODEL, MODEL, ROWS, 1)
    with pytest.raises(ValueError, match=r"unit: expected one of \(1,\), received 0"):
        found.strongest(0)
    with pytest.raises(ValueError, match="x: expected samples of 4 numbers"):
        found.parts(np.ones((1, 5)))


def test_numbers_of_any_size() -> None:
    with np.errstate(all="raise"):
        tiny = influences([[2e-160, 0.0]], [[1e-160, 0.0]], [[1e-160, 1.0], [0.0, 1e-300]])
        assert np.isfinite(tiny.parts([[1e-200, 1e-200]]).total).all()
        assert influences([[1e-30]], [[0.0]], np.array([[1e-20]], np.float32)).coefficients.shape == (1, 1)
        for weight, x in ((1e200, 1.0), (1.0, 1e200), (-1.7e308, 1e-3)):
            with pytest.raises(ValueError, match="influences: expected numbers whose squares float64 holds"):
                influences([[weight, 1.0]], [[-weight, 0.0]], [[x, 1.0], [0.0, x]])


def test_a_span_of_spans() -> None:
    rng = np.random.default_rng(0)
    x, w0, v0 = rng.normal(size=(3, 5)), rng.normal(size=(2, 5)), rng.normal(size=(2, 5))

    def of(span: Span, w: Array, v: Array) -> Array:
        combined: Array = span.scale * w + span.velocity_scale * v + span.coefficients.T @ x
        return combined

    first, second, third = (Span(rng.normal(size=(3, 2)), *rng.normal(size=2)) for _ in range(3))
    w1, v1 = of(first, w0, v0), of(second, w0, v0)
    np.testing.assert_allclose(of(third.after(first, second), w0, v0), of(third, w1, v1), rtol=1e-9)
