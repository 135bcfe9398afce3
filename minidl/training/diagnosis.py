"""Saying why training does not work: numbers that are not finite, and a cost that does not move."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from minidl._calls import calling
from minidl._samples import each, leaves
from minidl._state import own_buffers
from minidl._typing import Array
from minidl._validation import is_finite
from minidl.errors import NonFiniteError, StuckWarning
from minidl.layers import Embedding, ReLU, ReLU6
from minidl.module import Module
from minidl.training.problem import Problem

STUCK_EPOCHS = 100  # over which a cost must not have moved to be called stuck
FLAT = 1e-4  # the largest movement, relative to the cost, that still counts as none
NEAR = 1e-2  # how near the cost must be to the baseline loss, relative to it
LARGE_INPUT = 20.0  # inputs beyond this size are probably pixels that were not scaled
LARGE_TARGET = 1e6  # targets beyond this size make costs that a small learning rate does not mend


class LayerOutput(NamedTuple):
    """What one layer was given and has returned, and its place in words."""

    place: str
    layer: Module
    x: Any
    output: Array


def non_finite_error(model: Module, x: Any, y: Array, epoch: int, what: str, learning_rate: float) -> NonFiniteError:
    """Return the error that names the epoch, the first layer whose output is not finite, and a likely cause."""
    outputs = layer_outputs(model, x)
    broken = next((entry.place for entry in outputs if not is_finite(entry.output)), None)
    where = "every layer's output is still finite"
    if broken is not None:
        where = f"the first layer whose output is not finite is {broken}"
    ranges = [(name, *_range([part])) for name, part in network_inputs(outputs, x)]
    inputs, low, high = max(ranges, key=lambda entry: max(-entry[1], entry[2]), default=("", 0.0, 0.0))
    lowest, highest = _range([y])
    if max(-low, high) > LARGE_INPUT:
        hint = f"{inputs} range from {low:g} to {high:g}: scale them, pixels with Rescale()"
    elif max(-lowest, highest) > LARGE_TARGET:
        hint = f"the targets range from {lowest:g} to {highest:g}: scale them"
    else:
        hint = f"try a learning rate below {learning_rate:g}"
    return NonFiniteError(f"epoch {epoch}: {what}; {where}; {hint}. The weights of the last completed epoch are kept")


def baseline_loss(problem: Problem) -> float | None:
    """Return the loss's baseline over all targets, None where these are not known before an epoch ends."""
    if not problem.batches.is_counted:
        return None
    return problem.loss.baseline_loss(each(np.asarray, problem.batches.y[:]))


def is_stuck(losses: list[float], baseline_loss: float) -> bool:
    """Return whether the last costs neither moved nor left the baseline loss.

    For a classifier that is the entropy of the classes' frequencies, 0.693 for two even classes.
    """
    recent = losses[-STUCK_EPOCHS:]
    is_flat = len(recent) == STUCK_EPOCHS and max(recent) - min(recent) <= FLAT * baseline_loss
    return is_flat and abs(recent[-1] - baseline_loss) <= NEAR * baseline_loss


def warn_of_being_stuck(loss: float, baseline_loss: float, model: Module, x: Any) -> None:
    """Warn with what shows why: the share of dead units, the norms of the gradients, the range of the inputs."""
    outputs = layer_outputs(model, x)
    dead = [
        f"{entry.place} {np.mean(entry.output.max(axis=0) <= 0):.0%}"
        for entry in outputs
        if isinstance(entry.layer, (ReLU, ReLU6))
    ]
    gradients = [(name, parameter.grad) for name, parameter in model.named_parameters() if not parameter.frozen]
    norms = [f"{name} {np.linalg.norm(grad):.2g}" for name, grad in gradients if grad is not None]
    inputs = [part for _, part in network_inputs(outputs, x)]
    reach = " Inputs from {:g} to {:g}".format(*_range(inputs)) if inputs else ""
    warnings.warn(
        f"the cost has stayed at {loss:.4f} for {STUCK_EPOCHS} epochs, that of the best answer that is the same for "
        f"every sample ({baseline_loss:.4f}). Units that are 0 for every sample: {', '.join(dead) or 'no ReLU'}. "
        f"Gradient norms: {', '.join(norms)}.{reach}",
        StuckWarning,
        stacklevel=7,  # where `fit` was called
    )


def layer_outputs(model: Module, x: Any) -> list[LayerOutput]:
    """Return all layers in the order in which their calls end, in evaluation mode: a container after what it holds."""
    paths = {id(module): path for path, module in model.named_modules()}
    outputs: list[LayerOutput] = []

    def note(module: Module, x: Any, output: Array) -> None:
        path = paths.get(id(module))
        if path is not None:
            what = type(module).__name__ if any(module.named_children()) else repr(module)
            outputs.append(LayerOutput(f"layer {path}, {what}" if path else what, module, x, output))

    with calling(training=False, observer=note), np.errstate(all="ignore"):
        model(x)
    return outputs


def network_inputs(outputs: list[LayerOutput], x: Any) -> list[tuple[str, Array]]:
    """Return what the first layers with parameters are given, with names: those before which no other such layer is.

    Where none is found, as behind arithmetic of a user's own module, it is what the first of all is given, or else `x`.
    Tokens are left out, since the sizes of their numbers mean nothing.
    """
    untouched = {id(part) for part in leaves(x)}  # by parameters; `outputs` keeps the arrays, and so their numbers
    found: list[tuple[str, Array]] = []
    tokens_alone = False
    for entry in outputs:
        if all(id(part) in untouched for part in leaves(entry.x)):
            if isinstance(entry.layer, Embedding):
                tokens_alone = not found
            elif own_buffers(entry.layer):
                tokens_alone = False
                name = f"the inputs of {entry.place}" if isinstance(x, tuple) else "the network's inputs"
                found += [(name, part) for part in leaves(entry.x)]
            elif not entry.layer.parameters():
                untouched.add(id(entry.output))
    if tokens_alone:
        return []
    first = next((entry.x for entry in outputs if own_buffers(entry.layer)), x)
    return found or [("the network's inputs", part) for part in leaves(first)]


def _range(arrays: list[Array]) -> tuple[float, float]:
    return min(float(x.min()) for x in arrays), max(float(x.max()) for x in arrays)
