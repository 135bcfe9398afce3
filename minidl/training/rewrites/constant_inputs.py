"""Constant inputs: Rescale, Normalize and Flatten at the beginning of a network are applied to a full batch once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np

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
        applied = BatchesBehind(constant, batches.with_samples(apply(batches.x)))
    return replace(problem, model=Sequential(*layers[len(constant) :]), batches=applied, validation=validation)


def constant_layers(layers: Sequence[Module]) -> list[Module]:
    """Return the first layers, as far as their output is a fixed function of the sample.

    >>> from minidl import ReLU
    >>> constant_layers([Flatten(), ReLU(), Flatten()])
    [Flatten()]
    """
    return list(takewhile(lambda layer: type(layer) in (Rescale, Normalize, Flatten), layers))


class BatchesBehind(Batches):
    """Batches of samples to which constant layers have been applied, for as long as these stay as they are."""

    def __init__(self, constant: Sequence[Module], own: Batches) -> None:
        vars(self).update(vars(own))
        self._own, self._buffers = own, [buffer for layer in constant for _, buffer in layer.named_state()]
        self._known = [buffer.data.copy() for buffer in self._buffers]

    def __iter__(self) -> Generator[tuple[Any, Any], None, None]:
        """Yield the batches of an epoch.

        Raises: RuntimeError where a layer has changed, as the samples were made with what it was.
        """
        if not all(
            np.array_equal(buffer.data, known) for buffer, known in zip(self._buffers, self._known, strict=True)
        ):
            raise RuntimeError(
                "a Normalize before the first trained layer has been changed while training, which had applied it "
                "beforehand; adapt it before fit, or train with dual=False with a batch_size"
            )
        yield from self._own
