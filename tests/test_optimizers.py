"""Optimizers: their formulas against plain loops, their state, and their checks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import arrays, dtypes, seeds

from minidl import SGD, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, Parameter, RMSProp, clip_gradient_norm, mlp
from minidl._typing import Array
from minidl.ops import tuning
from minidl.optimizers import gradient_norm

fractions = st.floats(0, 0.99)
decays = st.sampled_from([0.0, 0.01, 0.3])
rates = st.floats(1e-4, 0.5)

ALL: list[Callable[..., Optimizer]] = [
    SGD,
    lambda parameters: SGD(parameters, momentum=0.9),
    lambda parameters: SGD(parameters, momentum=0.9, nesterov=True, weight_decay=0.1),
    Adam,
    lambda parameters: Adam(parameters, weight_decay=0.1),
    AdamW,
    lambda parameters: AdamW(parameters, max_gradient_norm=0.5),
    NAdam,
    RMSProp,
    lambda parameters: RMSProp(parameters, momentum=0.9, weight_decay=0.1),
    lambda parameters: RMSProp(parameters, centered=True, epsilon=0.1),
    Adagrad,
    lambda parameters: Adagrad(parameters, learning_rate_decay=0.5, weight_decay=0.1),
    lambda parameters: Lion(parameters, weight_decay=0.1),
]


def run(optimizer: Optimizer, gradients: list[list[Array]]) -> list[Array]:
    """Step once along each list of gradients and return what became of the parameters."""
    for step in gradients:
        for parameter, gradient in zip(optimizer.parameters, step, strict=True):
            parameter.grad = gradient
        optimizer.step()
    return [parameter.data for parameter in optimizer.parameters]


def random_gradients(
    shapes: list[tuple[int, ...]], steps: int, seed: int, dtype: Any = np.float64
) -> list[list[Array]]:
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=shape).astype(dtype) for shape in shapes] for _ in range(steps)]


@given(st.data(), st.floats(1e-4, 10), dtypes)
def test_step(data: st.DataObject, learning_rate: float, dtype: Any) -> None:
    w, g = (data.draw(arrays((3, 2), dtype=dtype)) for _ in range(2))
    parameter = Parameter(w.copy())
    parameter.grad = g.copy()
    SGD([parameter], learning_rate).step()
    assert parameter.data.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(parameter.data, w - learning_rate * g, rtol=4 * eps, atol=4 * eps * 100)
    np.testing.assert_array_equal(parameter.grad, g)


@given(rates, fractions, decays, st.booleans(), seeds)
def test_sgd_against_the_plain_loop(rate: float, momentum: float, decay: float, nesterov: bool, seed: int) -> None:
    nesterov = nesterov and momentum > 0
    (start,), *gradients = random_gradients([(3,)], 7, seed)
    expected = []
    for k in range(3):
        w, v = float(start[k]), 0.0
        for (gradient,) in gradients:
            g = float(gradient[k]) + decay * w
            v = momentum * v + g
            w -= rate * (g + momentum * v if nesterov else v)
        expected.append(w)
    (result,) = run(SGD([Parameter(start.copy())], rate, momentum, nesterov, decay), gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def plain_adam(
    w: float, gradients: list[float], rate: float, betas: tuple[float, float], eps: float, l2: float, decoupled: float
) -> float:
    """Return where algorithm 1 of Kingma and Ba leads, one number at a time."""
    m = v = 0.0
    for step, gradient in enumerate(gradients, start=1):
        w -= rate * decoupled * w
        g = gradient + l2 * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w -= rate * (m / (1 - betas[0] ** step)) / (math.sqrt(v / (1 - betas[1] ** step)) + eps)
    return w


@given(rates, st.tuples(fractions, fractions), st.sampled_from([1e-8, 0.1]), decays, st.booleans(), seeds)
def test_adam_against_the_plain_loop(
    rate: float, betas: tuple[float, float], eps: float, decay: float, decoupled: bool, seed: int
) -> None:
    (start,), *gradients = random_gradients([(3,)], 7, seed)
    l2, shrink = (0.0, decay) if decoupled else (decay, 0.0)
    expected = [
        plain_adam(float(start[k]), [float(g[k]) for (g,) in gradients], rate, betas, eps, l2, shrink) for k in range(3)
    ]
    (result,) = run((AdamW if decoupled else Adam)([Parameter(start.copy())], rate, betas, eps, decay), gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


@given(rates, st.tuples(fractions, fractions), st.sampled_from([1e-8, 0.1]), decays, st.floats(0, 1), seeds)
def test_nadam_against_the_plain_loop(
    rate: float, betas: tuple[float, float], eps: float, decay: float, momentum_decay: float, seed: int
) -> None:
    (start,), *gradients = random_gradients([(3,)], 7, seed)
    mu = [betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in range(9)]
    expected = []
    for i in range(3):
        w, m, v = float(start[i]), 0.0, 0.0
        for k, (gradient,) in enumerate(gradients, start=1):
            g = float(gradient[i]) + decay * w
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g**2
            ahead = mu[k + 1] / (1 - math.prod(mu[1 : k + 2])) * m + (1 - mu[k]) / (1 - math.prod(mu[1 : k + 1])) * g
            w -= rate * ahead / (math.sqrt(v / (1 - betas[1] ** k)) + eps)
        expected.append(w)
    (result,) = run(NAdam([Parameter(start.copy())], rate, betas, eps, decay, momentum_decay), gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


@given(rates, fractions, decays, fractions, st.booleans(), seeds)
def test_rmsprop_against_the_plain_loop(
    rate: float, alpha: float, decay: float, momentum: float, centered: bool, seed: int
) -> None:
    (start,), *gradients = random_gradients([(3,)], 7, seed)
    expected, eps = [], 0.1
    for i in range(3):
        w, seen_gradients, u = float(start[i]), [], 0.0
        for (gradient,) in gradients:
            g = float(gradient[i]) + decay * w
            seen_gradients.append(g)
            # The running means, 0 at the start, as sums over all gradients so far: the last one counts 1 - alpha.
            shares = [(1 - alpha) * alpha**age for age in reversed(range(len(seen_gradients)))]
            mean = sum(share * g for share, g in zip(shares, seen_gradients, strict=True)) * centered
            before = alpha ** len(seen_gradients)  # the share of the 0 at the start
            v = before * mean**2 + sum(s * (g - mean) ** 2 for s, g in zip(shares, seen_gradients, strict=True))
            u = momentum * u + g / (math.sqrt(v) + eps)
            w -= rate * u
        expected.append(w)
    optimizer = RMSProp([Parameter(start.copy())], rate, alpha, eps, decay, momentum, centered)
    (result,) = run(optimizer, gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-7)


def test_the_variance_of_centered_rmsprop_is_never_negative() -> None:
    # As the difference of two running means it is, for gradients of nearly one size, and its root NaN.
    parameter = Parameter(np.zeros(50, np.float32))
    optimizer = RMSProp([parameter], 1e-6, alpha=0.5, epsilon=1e-3, centered=True)
    rng = np.random.default_rng(0)
    for _ in range(60):
        parameter.grad = (1 + 1e-7 * rng.normal(size=50)).astype(np.float32)
        optimizer.step()
    assert (optimizer.state[0]["square"] >= 0).all()
    assert np.isfinite(parameter.data).all()


@given(rates, st.floats(0, 2), decays, st.floats(0, 2), seeds)
def test_adagrad_against_the_plain_loop(rate: float, rate_decay: float, decay: float, first: float, seed: int) -> None:
    (start,), *gradients = random_gradients([(3,)], 7, seed)
    expected = []
    for i in range(3):
        w, s = float(start[i]), first
        for k, (gradient,) in enumerate(gradients):
            g = float(gradient[i]) + decay * w
            s += g**2
            w -= rate / (1 + k * rate_decay) * g / (math.sqrt(s) + 1e-10)
        expected.append(w)
    (result,) = run(Adagrad([Parameter(start.copy())], rate, rate_decay, decay, first), gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


@given(rates, st.tuples(fractions, fractions), decays, seeds)
def test_lion_against_the_plain_loop(rate: float, betas: tuple[float, float], decay: float, seed: int) -> None:
    (start,), *gradients = random_gradients([(3,)], 50, seed)
    expected = []
    for i in range(3):
        w, m = float(start[i]), 0.0
        for (gradient,) in gradients:
            g = float(gradient[i])
            c = betas[0] * m + (1 - betas[0]) * g
            w -= rate * ((c > 0) - (c < 0) + decay * w)
            m = betas[1] * m + (1 - betas[1]) * g
        expected.append(w)
    (result,) = run(Lion([Parameter(start.copy())], rate, betas, decay), gradients)
    np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-10)


def test_adams_first_step_by_hand() -> None:
    # m = 0.1 g, m' = g; v = 0.001 g^2, v' = g^2: the first step is learning_rate * g / (|g| + epsilon), whatever g is.
    (result,) = run(Adam([Parameter(np.array([1.0, 1.0]))], 0.1), [[np.array([1e-3, -1e3])]])
    np.testing.assert_allclose(result, [1 - 0.1 * 1e-3 / (1e-3 + 1e-8), 1.1], rtol=1e-12)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_change_nothing(make: Callable[..., Optimizer], dtype: Any) -> None:
    # Each row alone is a small parameter, all rows together one that is updated in several blocks, the last one short.
    rows, columns = 7, tuning.TUNING.update_block // 3
    rng = np.random.default_rng(0)
    start = rng.normal(size=(rows, columns)).astype(dtype)
    gradients = [rng.normal(size=(rows, columns)).astype(dtype) for _ in range(3)]
    parts = run(make([Parameter(row.copy()) for row in start]), [list(gradient) for gradient in gradients])
    (whole,) = run(make([Parameter(start.copy())]), [[gradient] for gradient in gradients])
    assert whole.dtype == dtype
    tolerance = 10 * float(np.finfo(dtype).eps)  # the norm that clips is summed up in another order
    np.testing.assert_allclose(whole, np.stack(parts), rtol=tolerance, atol=tolerance)
    assert (whole != start).any()


class NormalizedSGD(SGD):
    """A subclass with a formula of its own, over all numbers of a parameter together."""

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        seen.append((data.shape, gradient.shape, *(array.shape for array in state.values())))
        super().update(data, gradient / np.linalg.norm(gradient), state)


class ElementwiseSGD(SGD):
    """A subclass that opts in to blocks for its own formula."""

    elementwise = True

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        seen.append((data.shape, gradient.shape, *(array.shape for array in state.values())))
        super().update(data, gradient, state)


class OptedOutSGD(ElementwiseSGD):
    elementwise = False


class WatchedAdam(Adam):
    """A subclass that does not override `update`."""

    def _move(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        seen.append((data.shape, gradient.shape, *(array.shape for array in state.values())))
        super()._move(data, gradient, state)


class Plain(Optimizer):
    """An optimizer of the user's own that says nothing of blocks, and remembers one number."""

    def initial_state(self, data: Array) -> dict[str, Array]:
        return {"largest": np.zeros(1)}

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        seen.append((data.shape, gradient.shape, *(array.shape for array in state.values())))
        np.maximum(state["largest"], np.abs(gradient).max(), out=state["largest"])
        data -= self.learning_rate * gradient / state["largest"]


seen: list[tuple[tuple[int, ...], ...]] = []
WHOLE, BLOCK, REST = (5, 2), (2, 2), (1, 2)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: NormalizedSGD(p, 0.1), [(WHOLE, WHOLE)]),
        (lambda p: NormalizedSGD(p, 0.1, momentum=0.5), [(WHOLE, WHOLE, WHOLE)]),
        (lambda p: OptedOutSGD(p, 0.1), [(WHOLE, WHOLE)]),
        (lambda p: Plain(p, 0.1), [(WHOLE, WHOLE, (1,))]),
        (lambda p: ElementwiseSGD(p, 0.1), [(BLOCK,) * 2, (BLOCK,) * 2, (REST,) * 2]),
        (lambda p: ElementwiseSGD(p, 0.1, momentum=0.5), [(BLOCK,) * 3, (BLOCK,) * 3, (REST,) * 3]),
        (lambda p: WatchedAdam(p, 0.1), [(BLOCK,) * 4, (BLOCK,) * 4, (REST,) * 4]),
    ],
)
def test_only_an_update_that_is_elementwise_gets_blocks(
    make: Callable[..., Optimizer], expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (start,), *gradients = random_gradients([WHOLE], 3, 0)
    in_one_piece = run(make([Parameter(start.copy())]), gradients)
    seen.clear()
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING._replace(update_block=4))
    (result,) = run(make([Parameter(start.copy())]), gradients)
    assert seen == expected * 2
    np.testing.assert_allclose(result, in_one_piece[0], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (3,), (), (3, 2)])
def test_a_gradient_of_another_shape_moves_nothing(make: Callable[..., Optimizer], shape: tuple[int, ...]) -> None:
    # NumPy would broadcast most of them.
    first, second = Parameter(np.ones((2, 3))), Parameter(np.ones((2, 3)))
    first.grad, second.grad = np.ones((2, 3)), np.ones(shape)
    for parameters, name in (([first, second], "1"), ([("a", first), ("b.weight", second)], "b.weight")):
        optimizer = make(parameters)
        before = optimizer.state_dict()
        message = (
            f"{type(optimizer).__name__} parameters[{name}]: expected a gradient of shape (2, 3), received {shape}"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            optimizer.step()
        assert (first.data == 1).all()
        assert (second.data == 1).all()
        for key, value in optimizer.state_dict().items():
            np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("make", ALL)
@given(dtypes, seeds)
@settings(max_examples=20)
def test_what_a_step_leaves_alone(make: Callable[..., Optimizer], dtype: Any, seed: int) -> None:
    shapes: list[tuple[int, ...]] = [(3, 2), (), (4,)]
    start, *gradients = random_gradients(shapes, 4, seed, dtype)
    start, gradients = [np.asarray(s) for s in start], [[np.asarray(g) for g in step] for step in gradients]
    copies = [[g.copy() for g in step] for step in gradients]
    optimizer = make([Parameter(s.copy()) for s in start])
    arrays_before = [parameter.data for parameter in optimizer.parameters]
    state = optimizer.state_dict()
    result = run(optimizer, gradients)
    for before, after, given_first in zip(arrays_before, result, start, strict=True):
        assert after is before
        assert after.dtype == dtype
        assert not np.array_equal(after, given_first)
    for step, copy in zip(gradients, copies, strict=True):
        for gradient, as_given in zip(step, copy, strict=True):
            np.testing.assert_array_equal(gradient, as_given)
    assert all(parameter.grad is g for parameter, g in zip(optimizer.parameters, gradients[-1], strict=True))
    assert state["steps"] == 0
    assert not any(np.any(value) for name, value in state.items() if "." in name), "a returned state never changes"


@pytest.mark.parametrize("make", ALL)
@given(seeds, st.integers(0, 4))
@settings(max_examples=20)
def test_state_resumes_bit_for_bit(make: Callable[..., Optimizer], seed: int, cut: int) -> None:
    start, *gradients = random_gradients([(3, 2), (2,)], 6, seed, np.float32)
    through = make([Parameter(s.copy()) for s in start])
    through.learning_rate = 0.125
    expected = run(through, gradients)
    first = make([Parameter(s.copy()) for s in start])
    first.learning_rate = 0.125
    halfway = [data.copy() for data in run(first, gradients[:cut])]
    second = make([Parameter(data) for data in halfway])
    second.load_state_dict(first.state_dict())
    for result, whole in zip(run(second, gradients[cut:]), expected, strict=True):
        np.testing.assert_array_equal(result, whole)
    for name, value in through.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value)


@pytest.mark.parametrize("make", ALL)
def test_a_loaded_state_forgets_the_steps_before(make: Callable[..., Optimizer]) -> None:
    (start,), *gradients = random_gradients([(3,)], 4, 0)
    parameter = Parameter(start.copy())
    optimizer = make([parameter])
    fresh, expected = optimizer.state_dict(), run(optimizer, gradients)[0].copy()
    optimizer.load_state_dict(fresh)
    parameter.data[...] = start
    np.testing.assert_array_equal(run(optimizer, gradients)[0], expected)


def test_state_is_named_by_position_or_by_name() -> None:
    model = mlp([2, 3, 1])
    plain = {"learning_rate", "steps"}
    assert set(SGD(model.parameters()).state_dict()) == plain
    assert set(SGD(model.parameters(), momentum=0.5).state_dict()) == plain | {f"{i}.velocity" for i in range(4)}
    names = [f"{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")]
    optimizer = Adam(model.named_parameters())
    moments = {f"{name}.{order}_moment" for name in names for order in ("first", "second")}
    assert set(optimizer.state_dict()) == plain | moments
    assert optimizer.names == names
    assert all(one is other for one, other in zip(optimizer.parameters, model.parameters(), strict=True))


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    optimizer = SGD([("w", Parameter(np.zeros(2))), ("b", Parameter(np.zeros(1)))], momentum=0.5)
    run(optimizer, [[np.ones(2), np.ones(1)]])
    before = optimizer.state_dict()
    state = {"learning_rate": -1.0, "steps": 1.5, "w.velocity": np.zeros((2, 1)), "v": np.zeros(3)}
    with pytest.raises(ValueError, match="does not fit the SGD; nothing was loaded") as error:
        optimizer.load_state_dict(state)
    assert sorted(str(error.value).splitlines()[1:]) == [
        "  learning_rate: expected a finite number of at least 0, received -1.0",
        "  missing b.velocity (1,)",
        "  steps: expected a whole number of at least 0, received 1.5",
        "  unexpected v (3,)",
        "  w.velocity: expected shape (2,), received (2, 1)",
    ]
    with pytest.raises(ValueError, match=r"b.velocity: expected numbers, received dtype <U1"):
        optimizer.load_state_dict({**before, "b.velocity": ["x"]})
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@given(st.floats(1e-3, 100), dtypes, seeds)
def test_clipping_by_the_common_norm(max_norm: float, dtype: Any, seed: int) -> None:
    gradients = [np.asarray(g) for g in random_gradients([(3, 2), (4,), (1, 1)], 1, seed, dtype)[0]]
    copies = [gradient.copy() for gradient in gradients]
    norm = math.sqrt(sum(float(x) ** 2 for gradient in gradients for x in gradient.ravel()))
    parameters = [Parameter(np.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer = SGD([Parameter(np.zeros_like(gradient)) for gradient in gradients], 1.0, max_gradient_norm=max_norm)
    moved = run(optimizer, [gradients])
    without = Parameter(np.zeros(1))
    assert clip_gradient_norm([*parameters, without], max_norm) == pytest.approx(norm, rel=1e-5)
    assert without.grad is None
    scale = min(1.0, max_norm / norm)
    for parameter, gradient, copy, step in zip(parameters, gradients, copies, moved, strict=True):
        assert parameter.grad is not None
        assert parameter.grad.dtype == dtype
        np.testing.assert_allclose(parameter.grad, scale * copy, rtol=1e-5)
        np.testing.assert_array_equal(step, -parameter.grad)
        np.testing.assert_array_equal(gradient, copy)


def test_clipping_at_the_ends_of_the_numbers() -> None:
    large = np.array([3e30, 4e30], np.float32)  # squares overflow in float32
    assert gradient_norm([large]) == pytest.approx(5e30, rel=1e-6)
    parameter = Parameter(np.zeros(2, np.float32))
    for broken in (math.nan, math.inf):
        parameter.grad = np.array([1.0, broken], np.float32)
        assert not math.isfinite(clip_gradient_norm([parameter], 0.5))
        np.testing.assert_array_equal(parameter.grad, np.array([1.0, broken], np.float32))
    parameter.grad = np.zeros(2, np.float32)
    assert clip_gradient_norm([parameter], 0.5) == 0
    with pytest.raises(ValueError, match="clip_gradient_norm max_norm: expected a finite number above 0, received 0"):
        clip_gradient_norm([parameter], 0)


def test_an_optimizer_of_ones_own() -> None:
    class SignDescent(Optimizer):
        def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
            data -= self.learning_rate * np.sign(gradient)

    (result,) = run(SignDescent([Parameter(np.zeros(3))], 0.5), [[np.array([2.0, 0.0, -0.1])]])
    assert result.tolist() == [-0.5, 0.0, 0.5]


@pytest.mark.parametrize("learning_rate", [-1, -1.0, math.nan, math.inf, "0.1", True, None])
def test_bad_learning_rate(learning_rate: Any) -> None:
    model = mlp([2, 1])
    with pytest.raises(ValueError, match="SGD learning_rate: expected a finite number of at least 0, received"):
        SGD(model.parameters(), learning_rate)
    optimizer = SGD(model.parameters(), 0.5)
    with pytest.raises(ValueError, match="SGD learning_rate"):
        optimizer.learning_rate = learning_rate
    assert optimizer.learning_rate == 0.5


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (SGD, {"momentum": 1}, r"SGD momentum: expected a number in \[0, 1\), received 1"),
        (SGD, {"momentum": -0.1}, r"SGD momentum: expected a number in \[0, 1\), received -0.1"),
        (SGD, {"momentum": None}, r"SGD momentum: expected a number in \[0, 1\), received None"),
        (SGD, {"nesterov": True}, "SGD nesterov: expected a momentum above 0 with it, received 0.0"),
        (SGD, {"weight_decay": -1}, "SGD weight_decay: expected a finite number of at least 0, received -1"),
        (SGD, {"max_gradient_norm": 0}, "SGD max_gradient_norm: expected a finite number above 0, received 0"),
        (Adam, {"betas": 0.9}, r"Adam betas: expected two numbers in \[0, 1\), received 0.9"),
        (Adam, {"betas": (0.9, 1.0)}, r"Adam betas\[1\]: expected a number in \[0, 1\), received 1.0"),
        (Adam, {"epsilon": 0}, "Adam epsilon: expected a finite number above 0, received 0"),
        (AdamW, {"weight_decay": math.nan}, "AdamW weight_decay: expected a finite number of at least 0, received nan"),
        (NAdam, {"momentum_decay": -1}, "NAdam momentum_decay: expected a finite number of at least 0, received -1"),
        (RMSProp, {"alpha": 1}, r"RMSProp alpha: expected a number in \[0, 1\), received 1"),
        (RMSProp, {"centered": 1}, "RMSProp centered: expected True or False, received 1"),
        (Adagrad, {"initial_accumulator": 1e39}, "Adagrad initial_accumulator: .* too large for float32"),
        (Lion, {"betas": (0.9, 1)}, r"Lion betas\[1\]: expected a number in \[0, 1\), received 1"),
        (AdamW, {"learning_rate": -1}, "AdamW learning_rate: expected a finite number of at least 0, received -1"),
    ],
)
def test_bad_arguments(make: Callable[..., Optimizer], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(mlp([2, 1]).parameters(), **arguments)


def test_bad_parameters() -> None:
    weight, bias = mlp([2, 1]).parameters()
    with pytest.raises(ValueError, match="SGD parameters: expected at least one, received none"):
        SGD([])
    with pytest.raises(ValueError, match=r"SGD parameters\[1\]: .* is given twice"):
        SGD([weight, weight])
    with pytest.raises(ValueError, match=r"SGD parameters\[w\]: .* or its name is given twice"):
        SGD([("w", weight), ("w", bias)])
    with pytest.raises(TypeError, match=r"parameters\[0\]: expected a Parameter, as in model.parameters\(\)"):
        SGD(mlp([2, 1]).state_dict().values())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"SGD parameters\[0\]: .* has no gradient; call backward before step"):
        SGD([weight]).step()
    weight.grad, before = np.ones_like(weight.data), weight.data.copy()
    optimizer = Adam([("0.weight", weight), ("0.bias", bias)])
    with pytest.raises(RuntimeError, match=r"Adam parameters\[0.bias\]: .* has no gradient"):
        optimizer.step()
    np.testing.assert_array_equal(weight.data, before)
    assert optimizer.steps == 0
    with pytest.raises(NotImplementedError, match=r"Optimizer does not define update\(data, gradient, state\)"):
        Optimizer([weight], 0.1).step()
