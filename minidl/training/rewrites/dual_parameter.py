"""The class that the weight of the first Dense has while it is trained in the dual form."""

from __future__ import annotations

from typing import Any, Protocol

from minidl._typing import Array
from minidl.parameter import Parameter


class Computing(Protocol):
    """What computes a weight and its gradient when they are read."""

    def read(self) -> Array:
        """Return the weight as it is now."""

    def gradient(self) -> Array | None:
        """Return the gradient of the last step, or what has been written over it."""

    def write_gradient(self, grad: Array | None) -> None:
        """Keep a gradient that something else than a training step has written."""


class DualParameter(Parameter):
    """The class of W inside the block: its data and gradient are computed when they are read."""

    @property
    def data(self) -> Array:
        """The weight as it is now; assigning writes into it."""
        dual = self._dual
        array: Array = vars(self)["data"] if dual is None else dual.read()
        return array

    @data.setter
    def data(self, value: Array) -> None:
        self.data[...] = value

    @property
    def grad(self) -> Array | None:
        """The gradient of the last step, or what has been assigned since."""
        dual = self._dual
        grad: Array | None = vars(self)["grad"] if dual is None else dual.gradient()
        return grad

    @grad.setter
    def grad(self, value: Array | None) -> None:
        dual = self._dual
        if dual is None:
            vars(self)["grad"] = value
        else:
            dual.write_gradient(value)

    @property
    def _dual(self) -> Computing | None:
        """What computes them; None where another thread has just ended the block."""
        computing: Computing | None = vars(self).get("_dual_weights")
        return computing

    def __reduce__(self) -> tuple[Any, ...]:
        return _plain_parameter, (self.data, self.grad, self.frozen)


def _plain_parameter(data: Array, grad: Array | None, frozen: bool) -> Parameter:
    parameter = Parameter(data)
    parameter.grad, parameter.frozen = grad, frozen
    return parameter
