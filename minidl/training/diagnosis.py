"""Saying why training does not work: numbers that are not finite, and a cost that does not move."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.layers.activations import ReLU
from minidl.module import Module
from minidl.sequential import Sequential

WINDOW = 100  # epochs over which a cost must not have moved to be called stuck
FLAT = 1e-4  # the largest movement, relative to the cost, that still counts as none
NEAR = 1e-2  # how near the cost must be to that of a constant answer, relative to it
LARGE_INPUT = 20.0  # inputs beyond this size are probably pixels that nobody scaled


class NonFiniteError(FloatingPointError):
    """The cost or a parameter became NaN or infinite; the weights of the last completed epoch are kept.

    >>> from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
    >>> model = mlp([1, 1], rng=0)
    >>> trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1e39))
    >>> try:
    ...     trainer.fit([[1.0], [2.0]], [0, 1], epochs=5, print_every=None)
    ... except NonFiniteError as error:
    ...     print("try a learning rate below 1e+39" in str(error))
    True
    """


class StuckWarning(UserWarning):
    """The cost has stayed for long where a network stands that has learnt nothing but how frequent the classes are.

    A run warns of it once, and goes on.

    >>> import warnings
    >>> warnings.simplefilter("ignore", StuckWarning)  # where it is expected
    """


def non_finite_error(model: Module, x: Array, epoch: int, what: str, learning_rate: float) -> NonFiniteError:
    """Return the error that names the epoch, the first layer whose output is not finite, and a likely cause."""
    where = "every layer's output is still finite"
    for place, _, output in _layer_outputs(model, x):
        if not is_finite(output):
            where = f"the first layer whose output is not finite is {place}"
            break
    low, high = _range(_network_input(model, x))
    if max(-low, high) > LARGE_INPUT:
        hint = f"the network's inputs range from {low:g} to {high:g}: scale them, pixels with Rescale()"
    else:
        hint = f"try a learning rate below {learning_rate:g}"
    return NonFiniteError(f"epoch {epoch}: {what}; {where}; {hint}. The weights of the last completed epoch are kept")


def is_stuck(losses: list[float], constant_answer: float) -> bool:
    """Tell whether the last costs neither moved nor left that of a constant answer.

    The constant answer's cost is the entropy of the classes' frequencies, 0.693 for two even classes.
    """
    recent = losses[-WINDOW:]
    is_flat = len(recent) == WINDOW and max(recent) - min(recent) <= FLAT * constant_answer
    return is_flat and abs(recent[-1] - constant_answer) <= NEAR * constant_answer


def warn_of_being_stuck(loss: float, constant_answer: float, model: Module, x: Array) -> None:
    """Warn with what tells why: the share of dead units, the norms of the gradients, the range of the inputs."""
    dead = [
        f"{place} {np.mean(output.max(axis=0) <= 0):.0%}"
        for place, layer, output in _layer_outputs(model, x)
        if isinstance(layer, ReLU)
    ]
    norms = [
        f"{name} {np.linalg.norm(parameter.grad):.2g}"
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    ]
    low, high = _range(_network_input(model, x))
    warnings.warn(
        f"the cost has stayed at {loss:.4f} for {WINDOW} epochs, that of answering with the classes' frequencies "
        f"alone ({constant_answer:.4f}). Units that are 0 for every sample: {', '.join(dead) or 'no ReLU'}. "
        f"Gradient norms: {', '.join(norms)}. Inputs from {low:g} to {high:g}",
        StuckWarning,
        stacklevel=5,
    )


def _layer_outputs(model: Module, x: Array) -> Iterator[tuple[str, Module, Array]]:
    """Yield place, layer and output of each layer in evaluation mode, as far as the model is a row of layers."""
    layers = list(model) if isinstance(model, Sequential) else [model]
    with model.mode(training=False), np.errstate(all="ignore"):
        for i, layer in enumerate(layers):
            x = layer.forward(x)
            yield f"layer {i}, {layer!r}", layer, x


def _network_input(model: Module, x: Array) -> Array:
    """Return what the first layer with parameters is given."""
    if isinstance(model, Sequential):
        for _, layer, output in _layer_outputs(model, x):
            if layer.parameters():
                return x
            x = output
    return x


def _range(x: Array) -> tuple[float, float]:
    return float(x.min()), float(x.max())
