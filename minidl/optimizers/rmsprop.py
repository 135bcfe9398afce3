"""RMSProp: steps divided by the root of a running mean of the squared gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from minidl._typing import Array
from minidl._validation import flag, fraction, non_negative_number
from minidl.optimizers._checks import checked_epsilon
from minidl.optimizers.optimizer import Optimizer
from minidl.parameter import Parameter


class RMSProp(Optimizer):
    """Gradient descent in units of the gradient's recent size, entry by entry.

    Formula, for each parameter w with the gradient g, remembering v that starts at 0:

        g <- g + weight_decay * w
        v <- alpha v + (1 - alpha) g^2
        w <- w - learning_rate * g / (sqrt(v) + epsilon)

    With momentum a velocity u, 0 at first, takes the place of the quotient: `u <- momentum * u + g / (sqrt(v) +
    epsilon)`, then `w <- w - learning_rate * u`. Centered, v is the variance of the gradient in place of the mean of
    its square: with a running mean m that starts at 0,

        v <- alpha (v + (1 - alpha) (g - m)^2)
        m <- m + (1 - alpha) (g - m)

    which is the difference of the running means of g^2 and of g, squared, without its cancellation.

    Arguments: `parameters`, `learning_rate` and `max_gradient_norm` as for every `Optimizer`; `alpha` and `momentum`
    in [0, 1); `epsilon` above 0, so large that the parameters' dtype holds its square; `weight_decay` is the factor
    of an L2 penalty `weight_decay / 2 * sum(w^2)`; `centered` as above.

    Raises: ValueError for arguments outside these ranges.

    Source: Tieleman and Hinton, Neural networks for machine learning, lecture 6.5 (2012), in the form of
    `torch.optim.RMSprop`; centered: Graves, Generating sequences with recurrent neural networks (2013).

    >>> w = Parameter(np.array([1.0]))
    >>> w.grad = np.array([20.0])
    >>> RMSProp([w], learning_rate=0.25, alpha=0.75).step()
    >>> w.data.round(6).tolist()
    [0.5]
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float = 0.01,
        alpha: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.alpha = fraction(alpha, "RMSProp alpha")
        self.weight_decay = non_negative_number(weight_decay, "RMSProp weight_decay")
        self.momentum = fraction(momentum, "RMSProp momentum")
        self.centered = flag(centered, "RMSProp centered")
        super().__init__(parameters, learning_rate, max_gradient_norm=max_gradient_norm)
        self.epsilon = checked_epsilon(epsilon, self.parameters, "RMSProp")

    elementwise = True

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Move `data` by the gradient over the root of its running square."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * data
        square, share = state["square"], 1 - self.alpha
        if self.centered:
            deviation = gradient - state["mean"]
            square += share * (deviation * deviation)
            square *= self.alpha
            state["mean"] += share * deviation
        else:
            square *= self.alpha
            square += share * (gradient * gradient)
        step = gradient / (np.sqrt(square) + self.epsilon)
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += step
            step = velocity
        data -= self._learning_rate * step

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return the running square, and the mean and the velocity where there is one, 0."""
        names = ["square", *["mean"] * self.centered, *["velocity"] * (self.momentum > 0)]
        return {name: np.zeros_like(data) for name in names}
