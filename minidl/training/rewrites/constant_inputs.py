"""Constant inputs: Rescale, Normalize and Flatten at the beginning of a network are applied to a full batch once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from minidl._calls import calling
from minidl.containers import Sequential
from minidl.data.batches import Batches
from minidl.layers import Flatten, Normalize, Rescale
from minidl.module import Module
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import layers_of


def apply_constant_layers(problem: Problem) -> Problem:
    """Give a network its full batch as the first layer behind Rescale, Normalize and Flatten sees it.

    It does not apply to mini-batches, whose samples may be outside memory, and to augmented samples.
    """
    layers, batches = layers_of(problem.model), problem.batches
    constant = constant_layers(layers)
    if not constant or batches.batch_size is not None or batches.augment is not None:
        return problem
    apply, validation = Sequential(*constant), problem.validation
    with calling(training=False):
        if validation is not None:
            validation = (apply(validation[0]), validation[1])
        applied = Batches(apply(batches.x), batches.y)
    return replace(problem, model=Sequential(*layers[len(constant) :]), batches=applied, validation=validation)


def constant_layers(layers: Sequence[Module]) -> list[Module]:
    """Return the first layers, as far as their output is a fixed function of the sample.

    >>> from minidl import ReLU
    >>> constant_layers([Flatten(), ReLU(), Flatten()])
    [Flatten()]
    """
    return list(takewhile(lambda layer: type(layer) in (Rescale, Normalize, Flatten), layers))
