"""The steps of a model as one nested network: rows of layers, and branches between two points of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from minidl import containers, functional, layers
from minidl._typing import Array
from minidl.errors import ModelFileError
from minidl.interchange._reading import Step
from minidl.module import Module

OUTSIDE = -1  # the step before all inputs


class ErrorFunction(Module):
    """The error function, which is no layer: only the formula of GELU has it."""

    def forward(self, x: Array) -> Array:
        """Return `erf(x)`."""
        return functional.erf(x)


def network_of(steps: Sequence[Step], last: int) -> Module:
    """Return the network that computes a step's output.

    Raises: ModelFileError where branches are not nested, or take several inputs in another order than the model's.
    """
    network = containers.Sequential(*_Rows(steps).row(last, _first(steps)))
    if any(isinstance(module, ErrorFunction) for _, module in network.named_modules()):
        raise ModelFileError("there is no layer for the operator Erf outside of GELU")
    return network


def _first(steps: Sequence[Step]) -> int:
    """Return the step that all others begin with: the one input, or what is before several."""
    inputs = [i for i, step in enumerate(steps) if not step.inputs]
    return inputs[0] if len(inputs) == 1 else OUTSIDE


class _Rows:
    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.before: list[int] = []
        """For each step, the last one through which all paths to it lead: its immediate dominator."""
        self.visited: set[int] = set()
        for step in steps:
            self.before.append(self._common(step.inputs) if step.inputs else OUTSIDE)

    def _common(self, inputs: Sequence[int]) -> int:
        common = inputs[0]
        for other in inputs[1:]:
            while common != other:  # a step stands behind all that lead to it
                if common > other:
                    common = self.before[common]
                else:
                    other = self.before[other]
        return common

    def row(self, last: int, first: int) -> list[Module]:
        """Return the modules from the output of one step to the output of another."""
        modules: list[Module] = []
        while last != first:
            step = self.steps[last]
            if step.inputs and last in self.visited:
                raise ModelFileError(
                    f"{step.module or step.merge!r} is used in branches that are not nested; only rows of layers, "
                    "shortcuts and parallel branches are supported"
                )
            self.visited.add(last)
            if step.merge:
                modules += self._joined(step, self.before[last])[::-1]
            elif step.module is not None:
                modules.append(step.module)
            last = self.before[last]
        return _without_scales(modules[::-1])

    def _joined(self, step: Step, first: int) -> list[Module]:
        branches = [self.row(one, first) for one in step.inputs]
        if first == OUTSIDE:
            self._check_inputs(step)
        elif len(branches) == 2 and [] in branches and branches != [[], []]:
            others = branches[0] or branches[1]
            if step.merge == "sum":
                return [containers.Residual(*others)]
            if step.merge == "multiply" and len(others) == 1 and isinstance(others[0], layers.Sigmoid):
                return [layers.SiLU()]
        merge: Any = step.merge
        joined = containers.Parallel(*(_one(branch) for branch in branches), merge=merge)
        return _gelu(joined) or [joined]

    def _check_inputs(self, step: Step) -> None:
        """Raise a ModelFileError unless branch i begins with input i, and there is one for each."""
        found = []
        for one in step.inputs:
            while self.before[one] != OUTSIDE:
                one = self.before[one]
            found.append(one)
        expected = [i for i, step in enumerate(self.steps) if not step.inputs]
        if found != expected:
            raise ModelFileError("its inputs are not joined once, one branch each in the order of the inputs")


def _one(modules: list[Module]) -> Module:
    return modules[0] if len(modules) == 1 else containers.Sequential(*modules)


def _gelu(module: Module) -> list[Module]:
    """Return a GELU and a Rescale for branches that compute it times a number, nothing for all others."""
    inside = [one for _, one in module.named_modules() if not any(one.named_children())]
    kinds = (ErrorFunction, layers.Tanh, layers.Rescale, containers.Sequential)
    if not any(isinstance(one, kinds[:2]) for one in inside) or not all(isinstance(one, kinds) for one in inside):
        return []
    z = np.linspace(-4, 4, 41)[:, None]
    y = module.predict(z)
    forms: tuple[Literal["none", "tanh"], ...] = ("none", "tanh")
    for gelu in map(layers.GELU, forms):
        expected = gelu.predict(z)
        scale = float(y[-1, 0] / expected[-1, 0])
        if np.allclose(y, scale * expected, rtol=0, atol=1e-5 * abs(scale)):
            return [gelu, layers.Rescale(scale)]
    return []


def _without_scales(modules: list[Module]) -> list[Module]:
    """Return a row in which a GELU is not followed by numbers that multiply to 1."""
    result: list[Module] = []
    for module in modules:
        if isinstance(module, layers.Rescale) and not module.offset and result:
            last = result[-1]
            if isinstance(last, layers.Rescale) and isinstance(([None, *result])[-2], layers.GELU):
                result[-1] = layers.Rescale(last.scale * module.scale, dtype=last.dtype)
                continue
        result.append(module)
    pairs = zip([None, *result], result, strict=False)
    return [module for before, module in pairs if not (isinstance(before, layers.GELU) and _is_one(module))]


def _is_one(module: Module) -> bool:
    return isinstance(module, layers.Rescale) and not module.offset and abs(module.scale - 1) < 1e-5
