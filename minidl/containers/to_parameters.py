"""Going back to parameters alone, at the beginning of a network, where nothing needs the gradient of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from minidl._overrides import promises
from minidl._state import own_buffers
from minidl._typing import Array
from minidl.module import Module
from minidl.parameter import Parameter

Backward: TypeAlias = Callable[[Array], Any]
"""A backward pass, whose result nothing needs."""


def row_to_parameters(layers: Sequence[Module]) -> Backward:
    """Return the backward pass of layers in a row that ends at the parameters of the first layer that is to train.

    Those before it, without parameters or frozen, are not gone through, and forget what they have saved. They are found
    once, not in each pass.
    """
    first = first_to_train(layers)
    skipped = [module for layer in layers[:first] for _, module in layer.named_modules()]
    passes: list[Backward] = [layer.backward for layer in reversed(layers[first + 1 :])]
    last = [backward_of_first(layer) for layer in layers[first : first + 1]]

    def backward(grad_output: Array) -> None:
        for module in skipped:
            module._saved = None  # as `forget` does, which would look for the modules in each pass
        for one in passes:
            grad_output = one(grad_output)
        for one in last:
            one(grad_output)

    return backward


def first_to_train(layers: Sequence[Module]) -> int:
    """Return the number of the first layer with parameters, of its own or below it, that are not frozen.

    Where none has, it is the number of layers.

    >>> from minidl import Dense, ReLU, Sequential
    >>> first_to_train([ReLU(), Sequential(ReLU()), Sequential(Dense(1, 1))])
    2
    >>> first_to_train([ReLU(), Dense(1, 1).freeze(), Dense(1, 1)])
    2
    """
    return next((i for i, layer in enumerate(layers) if _is_trained(layer)), len(layers))


def backward_of_first(layer: Module) -> Backward:
    """Return the backward pass of a layer whose input's gradient nothing needs.

    A container's is made by its `to_parameters`, another layer's is its `backward_parameters`, as far as these belong
    to its `backward`: a subclass that overrides `backward` alone is used as it is.
    """
    first: Any = layer
    if promises(type(layer), "to_parameters", about="backward"):
        made: Backward = first.to_parameters()
        return made
    is_enough = promises(type(layer), "backward_parameters", about="backward")
    backward: Backward = first.backward_parameters if is_enough else first.backward
    return backward


def _is_trained(layer: Module) -> bool:
    buffers = (buffer for _, module in layer.named_modules() for buffer in own_buffers(module))
    return any(isinstance(buffer, Parameter) and not buffer.frozen for buffer in buffers)
