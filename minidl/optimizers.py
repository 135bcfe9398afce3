"""Optimizers: how parameters move along their gradients."""

from __future__ import annotations

from collections.abc import Iterable

from minidl._validation import positive_number
from minidl.module import Parameter


class Optimizer:
    """The base of every optimizer: the parameters it moves, in order, and the learning rate.

    A new optimizer defines `step()`.

    Raises: ValueError for no parameters, one given twice, or a learning rate that is not a finite number above 0;
    TypeError for something that is not a Parameter.
    """

    def __init__(self, parameters: Iterable[Parameter], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        if not self.parameters:
            raise ValueError(f"{type(self).__name__} parameters: expected at least one, received none")
        for i, parameter in enumerate(self.parameters):
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"{type(self).__name__} parameters[{i}]: expected a Parameter, as in model.parameters(), "
                    f"received {parameter!r}"
                )
            if any(parameter is earlier for earlier in self.parameters[:i]):
                raise ValueError(f"{type(self).__name__} parameters[{i}]: {parameter!r} is given twice")

    @property
    def learning_rate(self) -> float:
        """The length of a step for a gradient of 1; it may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = positive_number(value, f"{type(self).__name__} learning_rate")

    def step(self) -> None:
        """Move every parameter once, along the gradient that the last backward pass wrote."""
        raise NotImplementedError(f"{type(self).__name__} does not define step()")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g})"


class SGD(Optimizer):
    """Gradient descent; stochastic when the batches are drawn at random, the article's when the batch is the whole set.

    Formula: `w <- w - learning_rate * dL/dw`.

    Raises: RuntimeError by `step()` when a parameter has no gradient yet.

    >>> import numpy as np
    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([2.0])
    >>> SGD([w], learning_rate=0.25).step()
    >>> w.data.tolist()
    [0.5]
    """

    def __init__(self, parameters: Iterable[Parameter], learning_rate: float = 0.01) -> None:
        super().__init__(parameters, learning_rate)

    def step(self) -> None:
        """Subtract `learning_rate * grad` from every parameter."""
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                raise RuntimeError(f"SGD parameters[{i}]: {parameter!r} has no gradient; call backward before step")
            parameter.data -= self._learning_rate * parameter.grad
