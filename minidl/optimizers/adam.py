"""Adam and AdamW: a step length of its own for every entry, from running means of the gradient and its square."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from minidl._typing import Array
from minidl._validation import non_negative_number
from minidl.optimizers._checks import checked_betas, checked_epsilon
from minidl.optimizers.optimizer import Optimizer
from minidl.parameter import Parameter


class Adam(Optimizer):
    """Adaptive moment estimation.

    Formula, at step k = 1, 2, ... for each parameter w with the gradient g, remembering m and v that start at 0:

        g <- g + weight_decay * w
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        w <- w - learning_rate * m' / (sqrt(v') + epsilon)       with m' = m / (1 - beta1^k), v' = v / (1 - beta2^k)

    The divisions by `1 - beta^k` undo the pull of the first values, 0, on the means.

    Arguments: `parameters`, `learning_rate` and `max_gradient_norm` as for every `Optimizer`; `betas`, both in [0, 1);
    `epsilon` above 0, so large that the parameters' dtype holds its square; `weight_decay` is the factor of an L2
    penalty `weight_decay / 2 * sum(w^2)`.

    Raises: ValueError for arguments outside these ranges.

    Source: Kingma and Ba, Adam: a method for stochastic optimization (2015), algorithm 1, computed in the order that
    the end of its section 2 gives.

    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([20.0])
    >>> Adam([w], learning_rate=0.25).step()
    >>> w.data.round(6).tolist()
    [0.75]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        name = type(self).__name__
        self.betas = checked_betas(betas, name)
        self.weight_decay = non_negative_number(weight_decay, f"{name} weight_decay")
        super().__init__(parameters, learning_rate, max_gradient_norm=max_gradient_norm)
        self.epsilon = checked_epsilon(epsilon, self.parameters, name)

    elementwise = True

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return both moments, 0."""
        return {"first_moment": np.zeros_like(data), "second_moment": np.zeros_like(data)}

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Move `data` by the first moment over the root of the second."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * data
        self._move(data, gradient, state)

    def _move(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        first, second = state["first_moment"], state["second_moment"]
        beta1, beta2 = self.betas
        first *= beta1
        first += (1 - beta1) * gradient
        second *= beta2
        second += (1 - beta2) * (gradient * gradient)
        # m' / (sqrt(v') + epsilon) with both corrections taken out of the arrays: with r = sqrt(1 - beta2^k) it is
        # r / (1 - beta1^k) * m / (sqrt(v) + r epsilon).
        root = math.sqrt(1 - beta2**self.steps)
        rate = self._learning_rate * root / (1 - beta1**self.steps)
        data -= rate * (first / (np.sqrt(second) + root * self.epsilon))


class AdamW(Adam):
    """Adam with decoupled weight decay: the weights shrink by themselves, not by way of the moments.

    Formula: `w <- w - learning_rate * weight_decay * w`, then Adam's step with the bare gradient g.

    Arguments: as for `Adam`.

    Raises: as `Adam` does.

    Source: Loshchilov and Hutter, Decoupled weight decay regularization (2019), in the form of `torch.optim.AdamW`.

    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([20.0])
    >>> AdamW([w], learning_rate=0.25, weight_decay=0.1).step()
    >>> w.data.round(6).tolist()
    [0.725]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        super().__init__(parameters, learning_rate, betas, epsilon, weight_decay, max_gradient_norm=max_gradient_norm)

    elementwise = True

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Shrink `data`, then move it by the first moment over the root of the second."""
        data *= 1 - self._learning_rate * self.weight_decay
        self._move(data, gradient, state)
