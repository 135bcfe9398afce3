"""No input gradient: the gradient of the network's own input, a third of the article's arithmetic, is not computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from minidl._overrides import promises
from minidl._state import own_buffers
from minidl._typing import Array
from minidl._underflow import underflow_to_zero
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
    return replace(problem, model=WithoutInputGradient(layers, first))


def _has_parameters(layer: Module) -> bool:
    buffers = (buffer for _, module in layer.named_modules() for buffer in own_buffers(module))
    return any(isinstance(buffer, Parameter) for buffer in buffers)


class WithoutInputGradient(Sequential):
    """Layers in a row, whose backward pass ends at the first one with parameters, number `first`."""

    def __init__(self, layers: Sequence[Module], first: int) -> None:
        self.layers, self.first = list(layers), first

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Write all gradients of parameters, and return nothing: an empty array, which the caller has no use for."""
        for layer in reversed(self.layers[self.first + 1 :]):
            grad_output = layer.backward(grad_output)
        cast(Any, self.layers[self.first]).backward_parameters(grad_output)
        for layer in self.layers[: self.first]:
            layer.forget()
        return np.empty(0, grad_output.dtype)
