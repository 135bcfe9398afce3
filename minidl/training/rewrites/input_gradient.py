"""No input gradient: the gradient of the network's own input, a third of the article's arithmetic, is not computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl.containers import Sequential
from minidl.containers._parameters import backward_of_first, first_with_parameters
from minidl.module import Module
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import layers_of


def skip_input_gradient(problem: Problem) -> Problem:
    """Go back no further than to the parameters of the first layer that has some.

    Of that layer the gradients of the parameters are asked alone where it has a `backward_parameters` that belongs to
    its `backward`, as the containers have: each hands the question on to what stands first in it.
    """
    layers = layers_of(problem.model)
    first = first_with_parameters(layers)
    if first == len(layers) or (first == 0 and backward_of_first(layers[0]) == layers[0].backward):
        return problem  # nothing would be skipped
    return replace(problem, model=WithoutInputGradient(layers, first))


class WithoutInputGradient(Sequential):
    """Layers in a row, whose backward pass ends at the first one with parameters, number `first`."""

    def __init__(self, layers: Sequence[Module], first: int) -> None:
        self.layers, self.first = list(layers), first
        self.backward_of_first = backward_of_first(layers[first])

    @underflow_to_zero
    def backward(self, grad_output: Array) -> Array:
        """Write all gradients of parameters, and return nothing: an empty array, which the caller has no use for."""
        for layer in reversed(self.layers[self.first + 1 :]):
            grad_output = layer.backward(grad_output)
        self.backward_of_first(grad_output)
        for layer in self.layers[: self.first]:
            layer.forget()
        return np.empty(0, grad_output.dtype)
