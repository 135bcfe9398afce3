"""Adagrad: steps divided by the root of the sum of all squared gradients so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from minidl._typing import Array
from minidl._validation import non_negative_number, within
from minidl.optimizers._checks import checked_epsilon
from minidl.optimizers.optimizer import Optimizer
from minidl.parameter import Parameter


class Adagrad(Optimizer):
    """Gradient descent whose steps shrink where gradients have been large, for features that are rarely seen.

    Formula, at step k = 1, 2, ... for each parameter w with the gradient g, remembering a sum s that starts at
    `initial_accumulator`:

        g <- g + weight_decay * w
        s <- s + g^2
        w <- w - learning_rate / (1 + (k - 1) learning_rate_decay) * g / (sqrt(s) + epsilon)

    Arguments: `parameters`, `learning_rate` and `max_gradient_norm` as for every `Optimizer`; `learning_rate_decay`
    and `initial_accumulator` of at least 0; `weight_decay` is the factor of an L2 penalty
    `weight_decay / 2 * sum(w^2)`; `epsilon` above 0, so large that the parameters' dtype holds its square.

    Raises: ValueError for arguments outside these ranges.

    Source: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization
    (2011), in the form of `torch.optim.Adagrad`.

    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([20.0])
    >>> Adagrad([w], learning_rate=0.25).step()
    >>> w.data.round(6).tolist()
    [0.75]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 0.01,
        learning_rate_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator: float = 0.0,
        epsilon: float = 1e-10,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.learning_rate_decay = non_negative_number(learning_rate_decay, "Adagrad learning_rate_decay")
        self.weight_decay = non_negative_number(weight_decay, "Adagrad weight_decay")
        self.initial_accumulator = non_negative_number(initial_accumulator, "Adagrad initial_accumulator")
        super().__init__(parameters, learning_rate, max_gradient_norm=max_gradient_norm)
        self.epsilon = checked_epsilon(epsilon, self.parameters, "Adagrad")

    elementwise = True

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Move `data` by the gradient over the root of the sum of its squares."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * data
        squares = state["squares"]
        squares += gradient * gradient
        rate = self._learning_rate / (1 + (self.steps - 1) * self.learning_rate_decay)
        data -= rate * (gradient / (np.sqrt(squares) + self.epsilon))

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return the sum of squares, `initial_accumulator`.

        Raises: ValueError for one that is too large for the parameter's dtype.
        """
        start = within(data.dtype, self.initial_accumulator, "Adagrad initial_accumulator")
        return {"squares": np.full_like(data, start)}
