"""The layers of a network that is a row of them, which is what rewrites look at."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

from minidl.containers import Masked, Sequential
from minidl.module import Module

M = TypeVar("M", bound=Module)


def computes_as(module: Module, kind: type[M]) -> TypeGuard[M]:
    """Return whether `module` is of this kind and no subclass has changed what its passes compute.

    >>> computes_as(Sequential(), Sequential)
    True
    """
    return isinstance(module, kind) and type(module).forward is kind.forward and type(module).backward is kind.backward


def layers_of(model: Module) -> list[Module]:
    """Return the layers of a Sequential in their order, those of nested ones among them; else the model alone.

    >>> from minidl import ReLU, Sigmoid
    >>> layers_of(Sequential(ReLU(), Sequential(Sigmoid())))
    [ReLU(), Sigmoid()]
    """
    if not computes_as(model, Sequential):
        return [model]
    return [layer for child in model for layer in layers_of(child)]


def last_layer(model: Module) -> Module:
    """Return the layer that a network ends in, also inside a `Masked`, or a model that is no row of layers itself.

    >>> from minidl import mlp
    >>> last_layer(mlp([2, 1]))
    Sigmoid()
    """
    layers = layers_of(model)
    last = layers[-1] if layers else model
    return last_layer(Sequential(*last)) if type(last) is Masked and len(last) else last
