"""Saying why training does not work: numbers that are not finite, and a cost that does not move."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from minidl._calls import calling
from minidl._state import own_buffers
from minidl._typing import Array
from minidl._validation import is_finite
from minidl.errors import NonFiniteError, StuckWarning
from minidl.layers import ReLU
from minidl.module import Module

STUCK_EPOCHS = 100  # over which a cost must not have moved to be called stuck
FLAT = 1e-4  # the largest movement, relative to the cost, that still counts as none
NEAR = 1e-2  # how near the cost must be to the baseline loss, relative to it
LARGE_INPUT = 20.0  # inputs beyond this size are probably pixels that were not scaled
LARGE_TARGET = 1e6  # targets beyond this size make costs that a small learning rate does not mend


class LayerOutput(NamedTuple):
    """What one layer was given and has returned, and its place in words."""

    place: str
    layer: Module
    x: Array
    output: Array


def non_finite_error(model: Module, x: Array, y: Array, epoch: int, what: str, learning_rate: float) -> NonFiniteError:
    """Return the error that names the epoch, the first layer whose output is not finite, and a likely cause."""
    outputs = layer_outputs(model, x)
    broken = next((entry.place for entry in outputs if not is_finite(entry.output)), None)
    where = "every layer's output is still finite"
    if broken is not None:
        where = f"the first layer whose output is not finite is {broken}"
    low, high = _range(network_input(outputs, x))
    lowest, highest = _range(y)
    if max(-low, high) > LARGE_INPUT:
        hint = f"the network's inputs range from {low:g} to {high:g}: scale them, pixels with Rescale()"
    elif max(-lowest, highest) > LARGE_TARGET:
        hint = f"the targets range from {lowest:g} to {highest:g}: scale them"
    else:
        hint = f"try a learning rate below {learning_rate:g}"
    return NonFiniteError(f"epoch {epoch}: {what}; {where}; {hint}. The weights of the last completed epoch are kept")


def is_stuck(losses: list[float], baseline_loss: float) -> bool:
    """Return whether the last costs neither moved nor left the baseline loss.

    For a classifier that is the entropy of the classes' frequencies, 0.693 for two even classes.
    """
    recent = losses[-STUCK_EPOCHS:]
    is_flat = len(recent) == STUCK_EPOCHS and max(recent) - min(recent) <= FLAT * baseline_loss
    return is_flat and abs(recent[-1] - baseline_loss) <= NEAR * baseline_loss


def warn_of_being_stuck(loss: float, baseline_loss: float, model: Module, x: Array) -> None:
    """Warn with what shows why: the share of dead units, the norms of the gradients, the range of the inputs."""
    outputs = layer_outputs(model, x)
    dead = [
        f"{entry.place} {np.mean(entry.output.max(axis=0) <= 0):.0%}"
        for entry in outputs
        if isinstance(entry.layer, ReLU)
    ]
    gradients = [(name, parameter.grad) for name, parameter in model.named_parameters()]
    norms = [f"{name} {np.linalg.norm(grad):.2g}" for name, grad in gradients if grad is not None]
    low, high = _range(network_input(outputs, x))
    warnings.warn(
        f"the cost has stayed at {loss:.4f} for {STUCK_EPOCHS} epochs, that of answering with the classes' frequencies "
        f"alone ({baseline_loss:.4f}). Units that are 0 for every sample: {', '.join(dead) or 'no ReLU'}. "
        f"Gradient norms: {', '.join(norms)}. Inputs from {low:g} to {high:g}",
        StuckWarning,
        stacklevel=7,  # where `fit` was called
    )


def layer_outputs(model: Module, x: Array) -> list[LayerOutput]:
    """Return the layers that hold no others in the order of their calls, in evaluation mode."""
    leaves = {id(module): path for path, module in model.named_modules() if not any(module.named_children())}
    outputs: list[LayerOutput] = []

    def note(module: Module, x: Array, output: Array) -> None:
        if id(module) in leaves:
            place = f"layer {leaves[id(module)]}, {module!r}" if leaves[id(module)] else repr(module)
            outputs.append(LayerOutput(place, module, x, output))

    with calling(training=False, observer=note), np.errstate(all="ignore"):
        model(x)
    return outputs


def network_input(outputs: list[LayerOutput], x: Array) -> Array:
    """Return what the first layer with parameters is given, `x` where there is none."""
    return next((entry.x for entry in outputs if own_buffers(entry.layer)), x)


def _range(x: Array) -> tuple[float, float]:
    return float(x.min()), float(x.max())
