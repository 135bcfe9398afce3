"""WrappedOptimizer: what stands around another optimizer and decides when and with which gradients that one steps."""

from __future__ import annotations

from minidl.optimizers import Optimizer


class WrappedOptimizer(Optimizer):
    """Another optimizer, whose parameters, state, number of steps and learning rate are this one's; `inner` is it.

    >>> import numpy as np
    >>> from minidl import SGD, Parameter
    >>> outer = WrappedOptimizer(SGD([Parameter(np.zeros(1))], 0.5))
    >>> outer.steps, outer.learning_rate
    (0, 0.5)
    """

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        self.max_gradient_norm = None  # the other one clips what it is given
        self.names, self.parameters, self.state = inner.names, inner.parameters, inner.state
        self.frozen_steps = inner.frozen_steps

    @property
    def steps(self) -> int:
        """How many steps the other optimizer has taken."""
        return self.inner.steps

    @steps.setter
    def steps(self, value: int) -> None:
        self.inner.steps = value

    @property
    def learning_rate(self) -> float:
        """The other optimizer's learning rate."""
        return self.inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.inner.learning_rate = value
