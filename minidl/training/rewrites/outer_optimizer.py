"""OuterOptimizer: what stands around another optimizer and decides when and with which gradients that one steps."""

from __future__ import annotations

from minidl.optimizers import Optimizer


class OuterOptimizer(Optimizer):
    """Another optimizer, whose parameters, state, number of steps and learning rate are this one's; `own` is it.

    >>> import numpy as np
    >>> from minidl import SGD, Parameter
    >>> outer = OuterOptimizer(SGD([Parameter(np.zeros(1))], 0.5))
    >>> outer.steps, outer.learning_rate
    (0, 0.5)
    """

    def __init__(self, own: Optimizer) -> None:
        self.own = own
        self.max_gradient_norm = None  # the other one clips what it is given
        self.names, self.parameters, self.state = own.names, own.parameters, own.state
        self.frozen_steps = own.frozen_steps

    @property
    def steps(self) -> int:
        """How many steps the other optimizer has taken."""
        return self.own.steps

    @steps.setter
    def steps(self, value: int) -> None:
        self.own.steps = value

    @property
    def learning_rate(self) -> float:
        """The other optimizer's learning rate."""
        return self.own.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.own.learning_rate = value
