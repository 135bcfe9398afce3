"""No input gradient: that of the network's own input, a third of the article's arithmetic, is not computed.

Nor is anything that only frozen layers at the beginning of the network would need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minidl._typing import Array
from minidl.containers import Sequential
from minidl.containers.to_parameters import Backward, backward_of_first, first_to_train, row_to_parameters
from minidl.module import Module
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import layers_of


def skip_input_gradient(problem: Problem) -> Problem:
    """Go back no further than to the parameters of the first layer to train, and of that one no further, either.

    Containers hand the question on to what stands first in them; of a layer with a `backward_parameters` that belongs
    to its `backward`, this is called.
    """
    layers = layers_of(problem.model)
    first = first_to_train(layers)
    if first == len(layers) or (first == 0 and backward_of_first(layers[0]) == layers[0].backward):
        return problem  # nothing would be skipped
    return replace(problem, model=WithoutInputGradient(layers))


class WithoutInputGradient(Sequential):
    """Layers in a row, whose backward pass ends at the parameters of the first one that is to train."""

    def __init__(self, layers: Sequence[Module]) -> None:
        self.layers, self.backward_to_parameters = list(layers), _following_what_is_frozen(layers)

    def backward(self, grad_output: Array) -> Array:
        """Write all gradients of parameters, and return nothing: an empty array, which the caller has no use for."""
        self.backward_to_parameters(grad_output)
        return np.empty(0, grad_output.dtype)


def _following_what_is_frozen(layers: Sequence[Module]) -> Backward:
    """Return the backward pass to parameters, found anew when a callback has frozen or unfrozen some of them."""
    parameters = Sequential(*layers).parameters()
    known, passes = [parameter.frozen for parameter in parameters], [row_to_parameters(layers)]

    def backward(grad_output: Array) -> None:
        frozen = [parameter.frozen for parameter in parameters]
        if frozen != known:
            known[:], passes[:] = frozen, [row_to_parameters(layers)]
        passes[0](grad_output)

    return backward
