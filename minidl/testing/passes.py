"""What the passes of a layer must keep: their types, their modes, and that none depends on those before it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np

from minidl._attributes import members
from minidl._calls import calling
from minidl._samples import each
from minidl._typing import Array
from minidl.containers.to_parameters import backward_of_first
from minidl.errors import ContractError, LayerInputError
from minidl.losses import Loss
from minidl.module import Module
from minidl.testing._inputs import another, close, joined, named_gradients
from minidl.testing.gradcheck import gradcheck

Call: TypeAlias = Callable[[Module], None]

DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.float32), np.dtype(np.float64))


def check_types(layer: Module, x: Any, upstream: Array) -> None:
    """Require that outputs and gradients have the shapes of what they belong to, and the precision of `x`."""
    for name, backward in _backward_passes(layer):
        require_like(layer, "output", layer(x), upstream)
        for parameter in layer.parameters():
            parameter.grad = None
        gradient = backward(upstream)
        if name == "backward":
            like = each(lambda part: part if part.dtype.kind == "f" else np.zeros(part.shape, upstream.dtype), x)
            expected = named_gradients(like, x)
            for path, part in named_gradients(gradient, x).items():
                require_like(layer, f"gradient of the {path}", part, expected[path])
        for path, parameter in layer.named_parameters():
            require_like(layer, f"gradient of {path} by {name}", parameter.grad, parameter.data)
    with calling(training=False):
        require_like(layer, "output in evaluation", layer(x), upstream)


def check_modes(layer: Module, x: Any, upstream: Array) -> None:
    """Require one backward pass for each forward pass in training, and no effect of evaluation."""
    before = layer.state_dict()
    layer(x)
    layer.backward(upstream)
    for name, parameter in layer.named_parameters():
        unchanged = np.array_equal(parameter.data, before[name])
        require(unchanged, layer, f"a pass in training changes the parameter {name}, which only the optimizer may do")
    _require_no_backward(layer, upstream, "a second backward pass")
    _check_evaluation(layer, x, calling(training=False))
    kept = [name for name, module in layer.named_modules() if module._saved is not None]
    require(not kept, layer, "evaluation keeps arrays for a backward pass")
    layer(x)
    layer.eval()
    _check_evaluation(layer, x, nullcontext())
    _require_no_backward(layer, upstream, "a backward pass in evaluation mode")


def check_history(layer: Module, x: Any, upstream: Array) -> None:
    """Require of a pass what it would give on a new layer of the same state, whatever the layer has done before."""
    batch = x, upstream
    same_size = another(x), another(upstream)
    larger = joined(same_size[0], x), joined(same_size[1], upstream)
    for way, _ in _backward_passes(layer):
        for other, last in ((same_size, batch), (larger, batch), (batch, larger)):
            for when, before, between in _histories(other, way):
                used, new = copy.deepcopy(layer), copy.deepcopy(layer)
                before(used)
                _take_state(new, used)
                expected = _results(new, last, way, _nothing)
                try:
                    received = _results(used, last, way, between)
                except Exception as error:
                    raise ContractError(
                        f"{layer!r}: {when}, a pass ends in {error!r}, and not on a new layer"
                    ) from error
                for what, array in expected.items():
                    same = close(received[what], array)
                    require(same, layer, f"{when}, the {what} is another one than of a new layer")


def check_one_sample(layer: Module, x: Any, upstream: Array, rng: np.random.Generator) -> None:
    """Require the contract of a batch of one, which a layer may refuse by a LayerInputError in training only."""
    first = each(lambda part: part[:1], x)
    with calling(training=False):
        row, rows = layer(first), layer(x)
    require_like(layer, "output for a batch of one in evaluation", row, upstream[:1])
    require(close(row, rows[:1]), layer, "in evaluation, a sample alone has another output than in a batch")
    try:
        layer(first)
    except LayerInputError:
        return
    check_types(layer, first, upstream[:1])
    gradcheck(layer, first, rng=rng)


def check_other_gradients(layer: Module, x: Any, upstream: Array) -> None:
    """Require that no gradient of another shape than the output's is broadcast to it."""
    rows, last = (1 if len(x) > 1 else 2), (1 if upstream.shape[-1] > 1 else 2)
    for shape in ((rows, *upstream.shape[1:]), (*upstream.shape[:-1], last)):
        for name, backward in _backward_passes(layer):
            what = f"{name} with a gradient of shape {shape} for the output of shape {upstream.shape}"
            expected = "expected an error that names both shapes"
            layer(x)
            try:
                gradient = backward(np.ones(shape))
            except Exception as error:
                message = str(error).replace(" ", "")
                named = all(str(part).replace(" ", "") in message for part in (shape, upstream.shape))
                if not named:
                    raise ContractError(f"{layer!r}.{what}: {expected}, received {error!r}") from error
            else:
                is_broadcast = name != "backward" or each(np.shape, gradient) == each(np.shape, x)
                require(not is_broadcast, layer, f"{what}: {expected}, received none")


def require_like(subject: Module | Loss, what: str, array: Any, expected: Array) -> None:
    """Raise a ContractError for anything but an array of this shape and dtype."""
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", type(array).__name__)
    require(
        isinstance(array, np.ndarray) and (shape, dtype) == (expected.shape, expected.dtype),
        subject,
        f"{what}: expected {expected.dtype} {expected.shape}, received {dtype} {shape}",
    )


def require(condition: bool, subject: Module | Loss, problem: str) -> None:
    """Raise a ContractError that names the subject and its problem, unless the condition holds."""
    if not condition:
        raise ContractError(f"{subject!r}: {problem}")


def _check_evaluation(layer: Module, x: Any, mode: AbstractContextManager[None]) -> None:
    before = layer.state_dict()
    gradients = [parameter.grad for parameter in layer.parameters()]
    with mode:
        first, second = layer(x), layer(x)
    for name, array in layer.state_dict().items():
        require(np.array_equal(array, before[name]), layer, f"evaluation changes {name}")
    kept = all(parameter.grad is old for parameter, old in zip(layer.parameters(), gradients, strict=True))
    require(kept, layer, "evaluation writes gradients")
    require(np.array_equal(first, second), layer, "evaluation gives another output for the same input")


def _require_no_backward(layer: Module, upstream: Array, what: str) -> None:
    try:
        layer.backward(upstream)
    except RuntimeError:
        return
    raise ContractError(f"{layer!r}: {what} passed without a RuntimeError")


def _backward_passes(layer: Module) -> Iterator[tuple[str, Callable[[Array], Any]]]:
    """Yield the backward pass, and its parameters-only form where there is one, with their names."""
    yield "backward", layer.backward
    if backward_of_first(layer) != layer.backward:
        yield "backward_parameters", backward_of_first(layer)


def _histories(other: tuple[Any, Array], way: str) -> Iterator[tuple[str, Call, Call]]:
    """Yield what may happen to a layer before a pass, and between its two halves."""

    def forward(layer: Module) -> None:
        layer(other[0])

    def train(layer: Module) -> None:
        layer(other[0])
        dict(_backward_passes(layer))[way](other[1])

    def evaluate(layer: Module) -> None:
        with calling(training=False):
            layer(other[0])

    yield "after a training pass over another batch", train, _nothing
    yield "after a forward pass that no backward pass followed", forward, _nothing
    yield "after an evaluation of another batch", evaluate, _nothing
    yield "with an evaluation between forward and backward", _nothing, evaluate


def _nothing(layer: Module) -> None:
    """Do nothing."""


def _results(layer: Module, batch: tuple[Any, Array], way: str, between: Call) -> dict[str, Any]:
    """Return all that a training pass and an evaluation of one batch give."""
    results = {"output": layer(batch[0])}
    between(layer)
    gradient = dict(_backward_passes(layer))[way](batch[1])
    if way == "backward":
        results["gradient of the input"] = gradient
    results |= {f"gradient of {name}": np.asarray(parameter.grad) for name, parameter in layer.named_parameters()}
    with calling(training=False):
        return {**results, "output in evaluation": layer(batch[0])}


def _take_state(new: Module, used: Module) -> None:
    """Give a layer what may legitimately differ after a pass: buffers, and the states of random generators."""
    new.load_state_dict(used.state_dict())
    for (_, to), (_, of) in zip(new.named_modules(), used.named_modules(), strict=True):
        kinds = (np.random.Generator,)
        for (_, copied), (_, original) in zip(members(to, kinds), members(of, kinds), strict=True):
            copied.bit_generator.state = original.bit_generator.state
