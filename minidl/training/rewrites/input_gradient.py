"""No input gradient: the gradient of the network's own input, a third of the article's arithmetic, is not computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from minidl._overrides import promises
from minidl._state import own_buffers
from minidl._typing import Array
from minidl.containers import Sequential
from minidl.module import Module
from minidl.parameter import Parameter
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import layers_of


def skip_input_gradient(problem: Problem) -> Problem:
    """Go back no further than to the parameters of the first layer that has some.

    It applies where that layer has a `backward_parameters` that belongs to its `backward`; a subclass that overrides
    `backward` alone is used as it is.
    """
    layers = layers_of(problem.model)
    first = next((i for i, layer in enumerate(layers) if _has_parameters(layer)), None)
    if first is None or not promises(type(layers[first]), "backward_parameters", about="backward"):
        return problem
    return replace(problem, model=Sequential(FirstLayers(layers[: first + 1]), *layers[first + 1 :]))


def _has_parameters(layer: Module) -> bool:
    buffers = (buffer for _, module in layer.named_modules() for buffer in own_buffers(module))
    return any(isinstance(buffer, Parameter) for buffer in buffers)


class FirstLayers(Module):
    """The layers up to the first one with parameters, whose backward pass ends there."""

    positional = "layers"

    def __init__(self, layers: Sequence[Module]) -> None:
        self.layers = list(layers)

    def forward(self, x: Array) -> Array:
        """Return the last layer's output."""
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """Write the last layer's gradients, and return nothing: an empty array, which the caller has no use for."""
        *before, last = self.layers
        cast(Any, last).backward_parameters(grad_output)
        for layer in before:
            layer.forget()
        return np.empty(0, grad_output.dtype)
