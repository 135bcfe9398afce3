"""SGD: gradient descent, plain or with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from minidl._typing import Array
from minidl._validation import flag, fraction, non_negative_number
from minidl.optimizers.optimizer import Optimizer
from minidl.parameter import Parameter


class SGD(Optimizer):
    """Gradient descent; stochastic when the batches are drawn at random, the article's when the batch is the whole set.

    Formula, for each parameter w with the gradient g, remembering a velocity v that starts at 0:

        g <- g + weight_decay * w
        v <- momentum * v + g
        w <- w - learning_rate * v                       or, with nesterov, learning_rate * (g + momentum * v)

    which without momentum and weight decay is `w <- w - learning_rate * g`, and then nothing is remembered.

    Arguments: `parameters`, `learning_rate` and `max_gradient_norm` as for every `Optimizer`; `momentum` in [0, 1);
    `nesterov` takes the gradient as if the velocity had been followed once more; `weight_decay` is the factor of an
    L2 penalty `weight_decay / 2 * sum(w^2)`.

    Raises: ValueError for arguments outside these ranges, and for nesterov without momentum.

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning (2013), in the form
    of `torch.optim.SGD`.

    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([2.0])
    >>> SGD([w], learning_rate=0.25).step()
    >>> w.data.tolist()
    [0.5]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.momentum = fraction(momentum, "SGD momentum")
        self.nesterov = flag(nesterov, "SGD nesterov")
        self.weight_decay = non_negative_number(weight_decay, "SGD weight_decay")
        if self.nesterov and not self.momentum:
            raise ValueError(f"SGD nesterov: expected a momentum above 0 with it, received {momentum!r}")
        super().__init__(parameters, learning_rate, max_gradient_norm=max_gradient_norm)

    elementwise = True

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Subtract `learning_rate` times the gradient, or the velocity, from `data`.

        `step()` calls it for each parameter: `data` is `parameter.data`, `gradient` is `parameter.grad`.
        """
        if self.weight_decay:
            gradient = gradient + self.weight_decay * data
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        data -= self._learning_rate * gradient

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return the velocity, 0, where there is momentum."""
        return {"velocity": np.zeros_like(data)} if self.momentum else {}
