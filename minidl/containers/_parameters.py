"""Going back to parameters alone, at the beginning of a network, where nothing needs the gradient of the input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minidl._overrides import promises
from minidl._state import own_buffers
from minidl._typing import Array
from minidl.module import Module
from minidl.parameter import Parameter


def backward_to_parameters(layers: Sequence[Module], grad_output: Array) -> None:
    """Go back through layers in a row, no further than to the parameters of the first layer that has some.

    Those before it are not gone through, and forget what they have saved.
    """
    first = first_with_parameters(layers)
    for layer in layers[:first]:
        layer.forget()
    if first < len(layers):
        for layer in reversed(layers[first + 1 :]):
            grad_output = layer.backward(grad_output)
        backward_of_first(layers[first])(grad_output)


def first_with_parameters(layers: Sequence[Module]) -> int:
    """Return the number of the first layer with parameters, of its own or below it; where none has, their count.

    >>> from minidl import Dense, ReLU, Sequential
    >>> first_with_parameters([ReLU(), Sequential(ReLU()), Sequential(Dense(1, 1))])
    2
    """
    return next((i for i, layer in enumerate(layers) if _has_parameters(layer)), len(layers))


def backward_of_first(layer: Module) -> Callable[[Array], Any]:
    """Return the backward pass of a layer whose input's gradient nothing needs.

    It is `backward_parameters` where that belongs to the layer's `backward`: a subclass that overrides `backward` alone
    is used as it is.
    """
    first: Any = layer
    is_enough = promises(type(layer), "backward_parameters", about="backward")
    backward: Callable[[Array], Any] = first.backward_parameters if is_enough else first.backward
    return backward


def _has_parameters(layer: Module) -> bool:
    buffers = (buffer for _, module in layer.named_modules() for buffer in own_buffers(module))
    return any(isinstance(buffer, Parameter) for buffer in buffers)
