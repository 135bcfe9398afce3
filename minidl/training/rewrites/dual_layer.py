"""The first Dense in its dual form, and the optimizer of its coefficients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl._typing import Array
from minidl.layers import Dense
from minidl.module import Module
from minidl.ops.buffers import empty
from minidl.ops.matmul import dense_bias_grad
from minidl.optimizers import SGD
from minidl.parameter import Parameter


def extra_inputs(dense: Dense) -> int:
    """Return how many numbers the input of the dual form has beside `X x`: those of `W(0) x` and `V(0) x`, and 1."""
    return 2 * dense.out_features + 1


class DualLayer(Module):
    """`Z = G C + s X W(0).T + r X V(0).T + b`; its input for a sample x is one row `[X x | W(0) x | V(0) x | 1]`.

    Its parameters are the coefficients C (n, h), the scales (s, r), and the bias of the Dense layer. For a mini-batch
    of the samples, the input is a pair: these rows, and the numbers of the samples.
    """

    takes_tuples = True

    def __init__(self, dense: Dense, samples: int) -> None:
        weight, h = dense.weight.data, dense.out_features
        self.extra_inputs = extra_inputs(dense)
        # One below the other C, s, r and b, the middle two as multiples of the identity: forward is one product.
        self._all = np.zeros((samples + self.extra_inputs, h), weight.dtype)
        self.coefficients = Parameter(self._all[:samples])
        self.coefficients.data = self._all[:samples]  # not the copy that a Parameter makes: the optimizer moves this
        self._diagonals = [self._all[start : start + h].reshape(-1)[:: h + 1] for start in (samples, samples + h)]
        self.scales = Parameter(np.array([1, 0], weight.dtype))
        self.bias = dense.bias
        self._is_frozen: Callable[[], bool] = lambda: dense.weight.frozen  # which a callback may change

    def forward(self, x: Array | tuple[Array, Array]) -> Array:
        """Return one product of the input with C, s, r and b."""
        x, numbers = x if isinstance(x, tuple) else (x, None)
        self.coefficients.frozen = self.scales.frozen = self._is_frozen()
        for diagonal, scale in zip(self._diagonals, self.scales.data, strict=True):
            diagonal[:] = scale
        if self.bias is not None:
            self._all[-1] = self.bias.data
        self.save_for_backward(numbers)
        return np.matmul(x, self._all, out=empty((len(x), self._all.shape[1]), self._all.dtype))

    def backward(self, grad_output: Array) -> Array:
        """Write `dC = dZ` and `db`, and return nothing: an empty array, since the input is the network's own.

        The gradient moves W along the batch's samples alone, so that of all other rows of C, and of the scales, is 0.
        """
        (numbers,) = self.saved_for_backward()
        if numbers is None:
            self.coefficients.grad = grad_output
        else:
            self.coefficients.grad = np.zeros_like(self.coefficients.data)
            self.coefficients.grad[numbers] = grad_output
        self.scales.grad = np.zeros_like(self.scales.data)
        if self.bias is not None:
            self.bias.grad = dense_bias_grad(grad_output)
        return np.empty(0, grad_output.dtype)


class DualSGD(SGD):
    """The descent of another SGD for C and the scales in place of W; what that one remembers of the rest is shared.

    Attributes: `own` is the other SGD, whose settings and number of steps are this one's; `weight` is W, and
    `weight_index` its place among the parameters of `own`.
    """

    def __init__(self, own: SGD, weight: Parameter, layer: DualLayer) -> None:
        self.own, self.weight = own, weight
        self.weight_index = next(i for i, parameter in enumerate(own.parameters) if parameter is weight)
        others = [i for i in range(len(own.parameters)) if i != self.weight_index]
        parameters = [layer.coefficients, layer.scales, *(own.parameters[i] for i in others)]
        steps = own.steps
        super().__init__(parameters, own.learning_rate, own.momentum, own.nesterov, own.weight_decay)
        self.state[2:] = [own.state[i] for i in others]
        self._places = (self.weight_index, self.weight_index, *others)  # of the parameters here among those of `own`
        self.groups = [own.groups[i] for i in self._places]
        self.frozen_steps = [own.frozen_steps[i] for i in self._places]
        self.steps = steps

    @property
    def steps(self) -> int:
        """How many steps the other SGD has taken."""
        return self.own.steps

    @steps.setter
    def steps(self, value: int) -> None:
        self.own.steps = value

    def step(self) -> None:
        """Move C, the scales and all other parameters once, with the other SGD's settings of this moment."""
        own = self.own
        self._learning_rate, self.momentum = own.learning_rate, own.momentum
        self.nesterov, self.weight_decay = own.nesterov, own.weight_decay
        super().step()
        if any(self.frozen_steps):
            self.count_frozen_steps()

    def count_frozen_steps(self) -> None:
        """Give the other SGD the numbers of steps in which its parameters were frozen."""
        for i, count in zip(self._places, self.frozen_steps, strict=True):
            self.own.frozen_steps[i] = count
