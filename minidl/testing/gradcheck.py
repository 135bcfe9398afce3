"""gradcheck: proves a backward pass right by comparing it with central differences of the forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from minidl._attributes import members
from minidl._overrides import promises
from minidl._typing import Array, Seed
from minidl._validation import as_generator, check_finite, positive_int
from minidl.containers import Sequential
from minidl.errors import GradientError
from minidl.losses import Loss
from minidl.module import Module

Subject: TypeAlias = Module | Loss | tuple[Module, Loss]

STEPS = (1e-5, 1e-6, 1e-7)  # the first balances truncation h^2 against rounding 1/h; the others step over kinks
RELATIVE_TOLERANCE = 1e-5  # a hundredth of the 0.1 % error that must never pass
NOISE = 1e-9  # rounding of a difference quotient, relative to the length of the output
MOVES = 4  # how often the point is moved, in case it lies on a kink, before its disagreement is believed
DIRECTIONS = 4  # random directions through each tensor too large to be checked whole
SAMPLES = 24  # single entries of such a tensor


def gradcheck(subject: Subject, x: Any, target: Any = None, *, rng: Seed = 0, max_entries: int = 100) -> float:
    """Check every gradient of a module, a loss, or a pair (model, loss), and return the largest relative error.

    Formula: with a random upstream gradient R and `f(v) = sum(R * forward(v))` (for losses `f` is the loss), each
    analytic `df/dv` is compared with `(f(v + h d) - f(v - h d)) / 2h`, in float64 on a copy of the subject: for
    tensors of up to `max_entries` entries along every entry, for larger ones along random directions and random
    entries. The tensors are the input `x` and every parameter. A kink in the very point (ReLU at 0) also makes the two
    disagree, and not always in a way that `f` shows: `relu(v) - relu(-v)` is as smooth as v. So a disagreement is
    looked at again at points about a thousandth away, where a kink is gone and a wrong gradient is still wrong.

    Arguments: `x` is a floating batch, for a loss the prediction, a little inside the loss's domain, since the steps
    go both ways from it; `target` goes to the loss. The copy is
    checked in training mode, the only one that has a backward pass.

    Raises: GradientError naming tensor, index, both values and the relative error; ValueError for a loss without the
    target it needs; TypeError for a subject of another kind.

    Source: central differences as in Baydin et al., Automatic differentiation in machine learning: a survey (2018).

    >>> from minidl import Dense
    >>> gradcheck(Dense(3, 2, rng=0), np.ones((4, 3))) < 1e-6
    True
    """
    generator = as_generator(rng)
    max_entries = positive_int(max_entries, "gradcheck max_entries")
    x = np.array(x, dtype=np.float64)
    check_finite(x, "gradcheck x")
    disagreements: list[GradientError] = []
    while len(disagreements) <= MOVES:
        function = _function(subject, x, target, generator)
        try:
            return max(_largest_error(function, name, generator, max_entries) for name in function.tensors)
        except GradientError as error:
            disagreements.append(error)
            subject, x = _moved(subject, x, generator)
    raise disagreements[0]


class _Function(NamedTuple):
    """The function f under check: its tensors, which may be changed in place, its terms and its gradients.

    The terms `R * forward(v)` are subtracted one by one before they are summed up, so that those which a step leaves
    alone add no rounding.
    """

    tensors: dict[str, Array]
    terms: Callable[[], Array]
    gradients: dict[str, Array]
    noise: float


def _function(subject: Subject, x: Array, target: Any, rng: np.random.Generator) -> _Function:
    model, loss = _parts(subject)
    if loss is not None and target is None:
        raise ValueError(f"gradcheck: expected a target for {loss!r}, received None")
    target = None if target is None else np.asarray(target)
    tensors = {"input": x.copy()} | {name: parameter.data for name, parameter in model.named_parameters()}
    pristine = copy.deepcopy(model)
    output = model(tensors["input"])
    # A module that draws random numbers must draw the same ones at each evaluation: it starts from a fresh copy.
    is_random = _keeps_a_generator(model) or not np.array_equal(model(tensors["input"]), output, equal_nan=True)
    upstream = rng.standard_normal(output.shape)

    def run(network: Module) -> Array:
        output = network(tensors["input"])
        return upstream * output if loss is None else np.array(loss(output, target))

    def terms() -> Array:
        if not is_random:
            return run(model)
        network = copy.deepcopy(pristine)
        for name, parameter in network.named_parameters():
            parameter.data = tensors[name]
        return run(network)

    def forward() -> tuple[Module, Array]:
        network = copy.deepcopy(pristine)
        output = network(tensors["input"])
        return network, upstream.copy() if loss is None else loss.gradient(
            output, loss.cast_target(target, output.dtype)
        )

    gradients = _analytic(forward, tensors)
    return _Function(tensors, terms, gradients, NOISE * max(float(np.linalg.norm(terms())), 1e-3))


def _keeps_a_generator(model: Module) -> bool:
    """Return whether outputs may be random although, for a small batch, two of them happened to be the same."""
    return any(any(members(module, (np.random.Generator,))) for _, module in model.named_modules())


def _parts(subject: Subject) -> tuple[Module, Loss | None]:
    """Return a float64 copy of the subject's module and of its loss; a loss alone stands behind an empty module."""
    if isinstance(subject, Loss):
        return Sequential(), copy.deepcopy(subject)
    model, loss = subject if isinstance(subject, tuple) else (subject, None)
    if not isinstance(model, Module) or not (loss is None or isinstance(loss, Loss)):
        raise TypeError(f"gradcheck: expected a Module, a Loss or a pair (Module, Loss), received {subject!r}")
    model = copy.deepcopy(model).train()
    for _, buffer in model.named_state():
        buffer.data = buffer.data.astype(np.float64)
    for parameter in model.parameters():
        parameter.grad = None
    return model, copy.deepcopy(loss)


def _analytic(forward: Callable[[], tuple[Module, Array]], tensors: dict[str, Array]) -> dict[str, Array]:
    """Run the backward pass, and its parameters-only form where there is one, and return checked gradients."""
    network, grad_output = forward()
    gradients = {"input": network.backward(grad_output)}
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            raise GradientError(f"gradcheck: {network!r} left the gradient of {name} unset")
        gradients[name] = parameter.grad
    if promises(type(network), "backward_parameters", about="backward"):
        twin, grad_output = forward()
        cast(Any, twin).backward_parameters(grad_output)
        for name, parameter in twin.named_parameters():
            if parameter.grad is None or not np.array_equal(parameter.grad, gradients[name], equal_nan=True):
                raise GradientError(f"gradcheck: backward and backward_parameters disagree on {name} of {network!r}")
    for name, gradient in gradients.items():
        shape = getattr(gradient, "shape", None)
        if shape != tensors[name].shape:
            raise GradientError(
                f"gradcheck: gradient of {name}: expected shape {tensors[name].shape}, received {shape}"
            )
    return gradients


def _largest_error(function: _Function, name: str, rng: np.random.Generator, max_entries: int) -> float:
    tensor, gradient = function.tensors[name], function.gradients[name]
    largest = 0.0
    for where, direction in _directions(tensor, rng, max_entries):
        analytic = float((gradient * direction).sum())
        error, numeric = _compare(function, tensor, direction, analytic)
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


def _compare(function: _Function, tensor: Array, direction: Array, analytic: float) -> tuple[float, float]:
    """Return the relative error and the difference quotient, of the step size where they agree best.

    A step that crosses a kink spoils the quotient; a smaller one then does not cross it.
    """
    base = tensor.copy()
    best = (np.inf, np.nan)
    for step in STEPS:
        h = step * max(1.0, float(np.abs(base * (direction != 0)).max()))
        tensor[...] = base + h * direction
        above = function.terms()
        tensor[...] = base - h * direction
        below = function.terms()
        tensor[...] = base
        numeric = float((above - below).sum()) / (2 * h)
        disagreement = abs(analytic - numeric)
        allowed = max(abs(analytic), abs(numeric)) + function.noise / RELATIVE_TOLERANCE
        best = min(best, (disagreement / allowed if np.isfinite(disagreement) else np.inf, numeric))
        if best[0] <= RELATIVE_TOLERANCE:
            break
    return best


def _moved(subject: Subject, x: Array, rng: np.random.Generator) -> tuple[Subject, Array]:
    """Return a copy of the subject and of `x`, every number shifted by about a thousandth."""
    model, loss = _parts(subject)
    for parameter in model.parameters():
        parameter.data += 1e-3 * rng.standard_normal(parameter.shape)
    moved_x = x + 1e-3 * rng.standard_normal(x.shape)
    return (model if loss is None else (model, loss)), moved_x
