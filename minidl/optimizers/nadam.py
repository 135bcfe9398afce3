"""NAdam: Adam that looks one step ahead, as Nesterov's momentum does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from minidl._typing import Array
from minidl._validation import non_negative_number
from minidl.optimizers.adam import Adam
from minidl.parameter import Parameter


class NAdam(Adam):
    """Adam with Nesterov's momentum, which grows over the first steps.

    Formula, at step k = 1, 2, ... for each parameter w with the gradient g, remembering m and v that start at 0, with
    `mu_k = beta1 (1 - 0.96^(k momentum_decay) / 2)` and `M_k = mu_1 mu_2 ... mu_k`:

        g <- g + weight_decay * w
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        n = (1 - mu_k) / (1 - M_k) g + mu_(k+1) / (1 - M_(k+1)) m
        w <- w - learning_rate * n / (sqrt(v') + epsilon)                with v' = v / (1 - beta2^k)

    Arguments: as for `Adam`; `momentum_decay` of at least 0.

    Raises: ValueError for arguments outside their ranges.

    Source: Dozat, Incorporating Nesterov momentum into Adam (2016), in the form of `torch.optim.NAdam`.

    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([20.0])
    >>> NAdam([w], learning_rate=0.25, betas=(0.0, 0.999)).step()
    >>> w.data.round(6).tolist()
    [0.75]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.momentum_decay = non_negative_number(momentum_decay, "NAdam momentum_decay")
        self._products = {0: 1.0}  # M_k by k, which is not the same for a parameter that was frozen
        super().__init__(parameters, learning_rate, betas, epsilon, weight_decay, max_gradient_norm=max_gradient_norm)

    elementwise = True

    def _move(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        first, second = state["first_moment"], state["second_moment"]
        beta1, beta2 = self.betas
        first *= beta1
        first += (1 - beta1) * gradient
        second *= beta2
        second += (1 - beta2) * (gradient * gradient)
        product, now, ahead = self._product_of_momenta(), self._momentum(self.steps), self._momentum(self.steps + 1)
        direction = (1 - now) / (1 - product) * gradient + ahead / (1 - product * ahead) * first
        # The correction of v is taken out of the array, as in Adam.
        root = math.sqrt(1 - beta2**self.steps)
        data -= self._learning_rate * root * (direction / (np.sqrt(second) + root * self.epsilon))

    def _momentum(self, k: int) -> float:
        return self.betas[0] * (1 - 0.5 * math.pow(0.96, k * self.momentum_decay))

    def _product_of_momenta(self) -> float:
        """Return M_k of the present step, from that of the last step or, where steps were set, from the first one."""
        k = max(k for k in self._products if k <= self.steps)
        product = self._products[k]
        for step in range(k + 1, self.steps + 1):
            product *= self._momentum(step)
        if 0 < k < self.steps:
            del self._products[k]
        self._products[self.steps] = product
        return product
