"""Lion: steps of one length, of which the gradient gives the sign alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from minidl._typing import Array
from minidl._validation import non_negative_number
from minidl.optimizers._checks import checked_betas
from minidl.optimizers.optimizer import Optimizer
from minidl.parameter import Parameter


class Lion(Optimizer):
    """Sign descent with momentum: every entry moves by `learning_rate`, up or down; half of Adam's memory.

    Formula, for each parameter w with the gradient g, remembering m that starts at 0:

        c = beta1 m + (1 - beta1) g
        w <- w - learning_rate * (sign(c) + weight_decay * w)
        m <- beta2 m + (1 - beta2) g

    Arguments: `parameters`, `learning_rate` and `max_gradient_norm` as for every `Optimizer`, the learning rate some
    3 to 10 times smaller than Adam's; `betas`, both in [0, 1); `weight_decay` shrinks the weights by themselves, as
    that of `AdamW`.

    Raises: ValueError for arguments outside these ranges.

    Source: Chen et al., Symbolic discovery of optimization algorithms (2023), algorithm 2.

    >>> w = Parameter(np.array([1.0, 1.0]))
    >>> w.grad = np.array([20.0, -0.1])
    >>> Lion([w], learning_rate=0.25).step()
    >>> w.data.tolist()
    [0.75, 1.25]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.betas = checked_betas(betas, "Lion")
        self.weight_decay = non_negative_number(weight_decay, "Lion weight_decay")
        super().__init__(parameters, learning_rate, max_gradient_norm=max_gradient_norm)

    elementwise = True

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Move `data` by the sign of the mean of the momentum and the gradient."""
        momentum = state["momentum"]
        beta1, beta2 = self.betas
        data *= 1 - self._learning_rate * self.weight_decay
        data -= self._learning_rate * np.sign(beta1 * momentum + (1 - beta1) * gradient)
        momentum *= beta2
        momentum += (1 - beta2) * gradient

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return the momentum, 0."""
        return {"momentum": np.zeros_like(data)}
