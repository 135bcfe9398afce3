"""gradcheck: proves a backward pass right by comparing it with central differences of the forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from minidl._typing import Array, Seed
from minidl._validation import as_generator
from minidl.losses import Loss
from minidl.module import Module
from minidl.sequential import Sequential

Subject: TypeAlias = Module | Loss | tuple[Module, Loss]

STEPS = (1e-5, 1e-6, 1e-7)  # the first balances truncation h^2 against rounding 1/h; the others step over kinks
RELATIVE_TOLERANCE = 1e-5  # a hundredth of the 0.1 % error that must never pass
NOISE = 1e-9  # rounding of a difference quotient, relative to the size of the terms that are summed up
MOVES = 10  # how often the point is moved off a kink before giving up
DIRECTIONS = 4  # random directions through each tensor too large to be checked whole
SAMPLES = 24  # single entries of such a tensor


class GradientError(AssertionError):
    """A gradient that disagrees with the difference quotient, or that has a wrong shape or is missing."""


class _KinkError(Exception):
    """The function has a corner at this very point, where no derivative can be compared."""


def gradcheck(subject: Subject, x: Any, target: Any = None, *, rng: Seed = 0, max_entries: int = 100) -> float:
    """Check every gradient of a module, a loss, or a pair (model, loss), and return the largest relative error.

    Formula: with a random upstream gradient R and `f(v) = sum(R * forward(v))` (for losses `f` is the loss), each
    analytic `df/dv` is compared with `(f(v + h d) - f(v - h d)) / 2h`, in float64 on a copy of the subject: for
    tensors of up to `max_entries` entries along every entry, for larger ones along random directions and random
    entries. The tensors are the input `x` and every parameter. Where `f` has a kink (ReLU at 0) the point is moved
    a little first.

    Arguments: `x` is a floating batch, for a loss the prediction; `target` goes to the loss. The copy is
    checked in training mode, the only one that has a backward pass.

    Raises: GradientError naming tensor, index, both values and the relative error; ValueError for a subject without
    the target it needs, or one that has kinks wherever it is moved.

    Source: central differences as in Baydin et al., Automatic differentiation in machine learning: a survey (2018).

    >>> from minidl import Dense
    >>> gradcheck(Dense(3, 2, rng=0), np.ones((4, 3))) < 1e-6
    True
    """
    generator = as_generator(rng)
    x = np.array(x, dtype=np.float64)
    for _ in range(MOVES):
        scalar = _scalar_function(subject, x, target, generator)
        try:
            return max(_largest_error(scalar, name, generator, max_entries) for name in scalar.tensors)
        except _KinkError:
            subject, x = _moved(subject, x, generator)
    raise ValueError(f"gradcheck: {subject!r} has a kink at the given point and at {MOVES} points near it")


class _Scalar:
    """The function f under check: its tensors, which may be changed in place, its value and its gradients."""

    def __init__(self, tensors: dict[str, Array], value: Callable[[], float], scale: float) -> None:
        self.tensors = tensors
        self.value = value
        self.noise = NOISE * max(scale, 1e-3)
        self.gradients: dict[str, Array] = {}


def _scalar_function(subject: Subject, x: Array, target: Any, rng: np.random.Generator) -> _Scalar:
    model, loss = _parts(subject)
    if loss is not None and target is None:
        raise ValueError(f"gradcheck: expected a target for {loss!r}, received None")
    target = None if target is None else np.asarray(target)
    tensors = {"input": x.copy()} | {name: parameter.data for name, parameter in model.named_parameters()}
    pristine = copy.deepcopy(model)
    output = model(tensors["input"])
    # A module that draws random numbers must draw the same ones at each evaluation: it starts from a fresh copy.
    is_random = not np.array_equal(model(tensors["input"]), output, equal_nan=True)
    upstream = rng.standard_normal(output.shape)

    def run(network: Module) -> float:
        output = network(tensors["input"])
        return float((upstream * output).sum()) if loss is None else loss(output, target)

    def value() -> float:
        if not is_random:
            return run(model)
        network = copy.deepcopy(pristine)
        for name, parameter in network.named_parameters():
            parameter.data = tensors[name]
        return run(network)

    scale = float(np.abs(upstream * output).sum()) if loss is None else abs(value())
    scalar = _Scalar(tensors, value, scale)
    network = copy.deepcopy(pristine)
    run(network)
    grad_output = upstream if loss is None else loss.backward()
    scalar.gradients = _analytic(network, grad_output, tensors)
    return scalar


def _parts(subject: Subject) -> tuple[Module, Loss | None]:
    """Return a float64 copy of the subject's module and of its loss; a loss alone stands behind an empty module."""
    if isinstance(subject, Loss):
        return Sequential(), copy.deepcopy(subject)
    model, loss = subject if isinstance(subject, tuple) else (subject, None)
    if not isinstance(model, Module) or not (loss is None or isinstance(loss, Loss)):
        raise TypeError(f"gradcheck: expected a Module, a Loss or a pair (Module, Loss), received {subject!r}")
    model = copy.deepcopy(model).train()
    for _, holder in model.named_state():
        holder.data = holder.data.astype(np.float64)
    return model, copy.deepcopy(loss)


def _analytic(network: Module, grad_output: Array, tensors: dict[str, Array]) -> dict[str, Array]:
    """Run the backward pass and its parameters-only form, and return the gradients after checking shapes."""
    twin = copy.deepcopy(network)
    gradients = {"input": network.backward(grad_output.copy())}
    twin.backward_parameters(grad_output.copy())
    for (name, parameter), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        if parameter.grad is None or other.grad is None:
            raise GradientError(f"gradcheck: {network!r} left the gradient of {name} unset")
        if not np.array_equal(parameter.grad, other.grad, equal_nan=True):
            raise GradientError(f"gradcheck: backward and backward_parameters disagree on {name} of {network!r}")
        gradients[name] = parameter.grad
    for name, gradient in gradients.items():
        if gradient.shape != tensors[name].shape:
            raise GradientError(
                f"gradcheck: gradient of {name}: expected shape {tensors[name].shape}, received {gradient.shape}"
            )
    return gradients


def _largest_error(scalar: _Scalar, name: str, rng: np.random.Generator, max_entries: int) -> float:
    tensor, gradient = scalar.tensors[name], scalar.gradients[name]
    largest = 0.0
    for where, direction in _directions(tensor, rng, max_entries):
        analytic = float((gradient * direction).sum())
        error, numeric = _compare(scalar, tensor, direction, analytic)
        if error > RELATIVE_TOLERANCE:
            raise GradientError(
                f"gradcheck: gradient of {name}{where}: backward gives {analytic:.10g}, central differences give "
                f"{numeric:.10g}, relative error {error:.2g} where {RELATIVE_TOLERANCE:g} is allowed"
            )
        largest = max(largest, error)
    return largest


def _directions(tensor: Array, rng: np.random.Generator, max_entries: int) -> Iterator[tuple[str, Array]]:
    entries = np.arange(tensor.size)
    if tensor.size > max_entries:
        for i in range(DIRECTIONS):
            direction = rng.standard_normal(tensor.shape)
            yield f" along random direction {i}", direction / np.linalg.norm(direction)
        entries = rng.choice(tensor.size, size=min(SAMPLES, max_entries), replace=False)
    for entry in entries:
        direction = np.zeros(tensor.shape)
        direction.flat[entry] = 1.0
        index = ", ".join(str(i) for i in np.unravel_index(entry, tensor.shape))
        yield f"[{index}]", direction


def _compare(scalar: _Scalar, tensor: Array, direction: Array, analytic: float) -> tuple[float, float]:
    """Return the relative error and the difference quotient, of the step size where they agree best.

    A step that crosses a kink spoils the quotient, and a smaller step then does not cross it. If even the smallest
    one does, the second difference `f(v+h) - 2 f(v) + f(v-h)`, which falls like h^2 where f is smooth, is as large as
    the disagreement times h: the kink is in the point itself.
    """
    base, middle = tensor.copy(), scalar.value()
    best = (np.inf, np.nan)
    for step in STEPS:
        h = step * max(1.0, float(np.abs(base * (direction != 0)).max()))
        tensor[...] = base + h * direction
        above = scalar.value()
        tensor[...] = base - h * direction
        below = scalar.value()
        tensor[...] = base
        numeric = (above - below) / (2 * h)
        disagreement = abs(analytic - numeric)
        allowed = max(abs(analytic), abs(numeric)) + scalar.noise / RELATIVE_TOLERANCE
        error = disagreement / allowed if np.isfinite(disagreement) else np.inf
        best = min(best, (error, numeric))
        if error <= RELATIVE_TOLERANCE:
            return best
        if step == STEPS[-1] and abs(above - 2 * middle + below) > h * disagreement / 2:
            raise _KinkError
    return best


def _moved(subject: Subject, x: Array, rng: np.random.Generator) -> tuple[Subject, Array]:
    """Return a copy of the subject and of `x`, every number shifted by about a thousandth."""
    model, loss = _parts(subject)
    for parameter in model.parameters():
        parameter.data += 1e-3 * rng.standard_normal(parameter.shape)
    moved_x = x + 1e-3 * rng.standard_normal(x.shape)
    return (model if loss is None else (model, loss)), moved_x
