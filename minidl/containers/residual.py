"""Residual: layers in a row, and a shortcut past them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._samples import each
from minidl._typing import Array
from minidl._validation import shown
from minidl.containers._checks import distinct_modules, of_one_shape
from minidl.containers.sequential import Sequential
from minidl.containers.to_parameters import row_to_parameters
from minidl.layers._checks import check_grad
from minidl.module import Module


class Residual(Sequential):
    """Layers in a row whose input is added to their output.

    Formula: `y = f(x) + s(x)`, with f the layers in a row and s the identity, or a module `shortcut` whose output has
    the shape of `f(x)`.

    Shapes: `x` as the layers take it; their output has the shape of `x`, or of the shortcut's output.

    Raises: TypeError for something that is not a Module; ValueError for a layer given twice, and for outputs of
    different shapes.

    Source: He et al., Deep residual learning for image recognition (2016).

    >>> from minidl import Dense, ReLU
    >>> block = Residual(Dense(2, 3, rng=0), ReLU(), Dense(3, 2, rng=1))
    >>> block([[0.0, 1.0]]).shape
    (1, 2)
    >>> Residual(Dense(2, 3, rng=0), shortcut=Dense(2, 3, rng=1))([[0.0, 1.0]]).shape
    (1, 3)
    """

    def __init__(self, *layers: Module, shortcut: Module | None = None) -> None:
        super().__init__(*layers)
        if shortcut is not None:
            if not isinstance(shortcut, Module):
                raise TypeError(f"Residual shortcut: expected a Module, received {shown(shortcut)}")
            distinct_modules("Residual", (*layers, shortcut))
        self.shortcut = shortcut

    @property
    def takes_tuples(self) -> bool:
        """Whether both layers and shortcut may begin with a Parallel: no tuple can be added to an output."""
        return self.shortcut is not None and super().takes_tuples

    def forward(self, x: Array) -> Array:
        """Return `f(x) + s(x)`."""
        hint = "; give a shortcut that changes the shape as the layers do" if self.shortcut is None else ""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        output, shortcut = of_one_shape(self, (super().forward(x), shortcut), x, hint=hint)
        self.save_for_backward(output.shape)
        return output + shortcut

    @without_false_alarms
    def backward(self, grad_output: Array) -> Any:
        """Write all gradients and return the one of the input.

        With `g = dL/dy`, the gradient of both `f(x)` and `s(x)` is g, and x takes part in both:
        `dL/dx = g df/dx + g ds/dx`.
        """
        self._check(grad_output)
        grad_shortcut = grad_output if self.shortcut is None else self.shortcut.backward(grad_output)
        return each(np.add, super().backward(grad_output), grad_shortcut)

    def to_parameters(self) -> Callable[[Array], Any]:
        """Return a backward pass that writes the gradients of parameters alone, the layers' and the shortcut's."""
        layers = super().to_parameters()
        shortcut = row_to_parameters([] if self.shortcut is None else [self.shortcut])

        def backward(grad_output: Array) -> None:
            self._check(grad_output)
            shortcut(grad_output)
            layers(grad_output)

        return backward

    def _check(self, grad_output: Array) -> None:
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, shape)

    def __repr__(self) -> str:
        arguments = [repr(layer) for layer in self.layers]
        arguments += [] if self.shortcut is None else [f"shortcut={self.shortcut!r}"]
        return f"{type(self).__name__}({', '.join(arguments)})"
