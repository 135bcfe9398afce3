"""BatchNorm: each feature brought to mean 0 and variance 1 over the batch, then to what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._validation import LayerInputError, float_dtype, positive_int, positive_number, unit_number
from minidl.layers._checks import floating
from minidl.module import Module
from minidl.parameter import Buffer, Parameter


class BatchNorm(Module):
    """Normalize each feature over the batch; for pictures, each channel over the batch and all pixels.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`. In training, mean and variance
    are those of the batch and `running <- (1 - momentum) * running + momentum * batch` follows them; in evaluation
    the running ones are used. As in PyTorch the variance that normalizes divides by the count m, the one that the
    running variance takes in by m - 1.

    Shapes: `x` (batch, features) or (batch, height, width, features), result the same; `weight`, `bias`,
    `running_mean`, `running_variance` (features,). Floating input of another precision is cast to the layer's.

    Arguments: `momentum` in [0, 1] is the part of a new batch in the running statistics; `epsilon` above 0 keeps the
    division finite.

    Raises: ValueError for arguments out of these bounds, for input that is not floating of these shapes, and in
    training for a batch with a single value of each feature, whose variance says nothing.

    Source: Ioffe and Szegedy, Batch normalization (2015).

    >>> BatchNorm(1)(np.array([[1.0], [3.0]], np.float32)).round(2).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self, features: int, *, momentum: float = 0.1, epsilon: float = 1e-5, dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.features = positive_int(features, "BatchNorm features")
        self.momentum = unit_number(momentum, "BatchNorm momentum")
        self.epsilon = positive_number(epsilon, "BatchNorm epsilon")
        dtype = float_dtype(dtype)
        self.weight = Parameter(np.ones(self.features, dtype))
        self.bias = Parameter(np.zeros(self.features, dtype))
        self.running_mean = Buffer(np.zeros(self.features, dtype))
        self.running_variance = Buffer(np.ones(self.features, dtype))

    def forward(self, x: Array) -> Array:
        """Return `x` normalized, by its own statistics in training and by the running ones in evaluation."""
        x = self._checked(x)
        rows = x.reshape(-1, x.shape[-1] * x.shape[-2]) if x.ndim == 4 else x
        count = x.size // self.features
        mean = self._sum(rows) / count if self.training else self.running_mean.data
        centred = np.subtract(rows, _along(rows, mean), out=self.new_array("centred", rows.shape, x.dtype))
        if self.training:
            variance = self._sum_of_products(centred, centred) / count
            self._follow(mean, variance, count)
        else:
            variance = self.running_variance.data
        inverse_deviation = 1 / np.sqrt(variance + self.epsilon)
        self.save_for_backward(centred, inverse_deviation)
        scale = _along(rows, self.weight.data * inverse_deviation)
        y = np.multiply(centred, scale, out=self.new_array("y", rows.shape, x.dtype))
        y += _along(rows, self.bias.data)
        return y.reshape(x.shape)

    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `g = dL/dy`, sums and means taken over the m values of a feature, and `s = 1 / sqrt(variance + epsilon)`,

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        Each `x_i` moves its own `h_i = (x_i - mean) s` and, through mean and variance, all the others:
        `dh_j / dx_i = s ([i = j] - 1/m - h_i h_j / m)`, since `dmean/dx_i = 1/m` and `ds/dx_i = -s^2 h_i / m`. Hence

            dL/dx = weight s (g - mean(g) - h mean(g h))
        """
        centred, inverse_deviation = self.saved_for_backward()
        g = grad_output.reshape(centred.shape)
        self._write_gradients(g, centred, inverse_deviation)
        count = g.size // self.features
        scale = self.weight.data * inverse_deviation
        grad_input = np.multiply(g, _along(g, scale), out=self.new_array("grad_input", g.shape, g.dtype))
        # The layer's own array is used up here.
        centred *= _along(g, scale * inverse_deviation * self.weight.grad / count)
        grad_input -= centred
        grad_input -= _along(g, scale * self.bias.grad / count)
        return grad_input.reshape(grad_output.shape)

    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias only."""
        centred, inverse_deviation = self.saved_for_backward()
        self._write_gradients(grad_output.reshape(centred.shape), centred, inverse_deviation)

    def _write_gradients(self, g: Array, centred: Array, inverse_deviation: Array) -> None:
        self.weight.grad = self._sum_of_products(g, centred) * inverse_deviation
        self.bias.grad = self._sum(g)

    def _sum(self, rows: Array) -> Array:
        """Return the sum of each feature."""
        total: Array = rows.sum(axis=0).reshape(-1, self.features).sum(axis=0)
        return total

    def _sum_of_products(self, first: Array, second: Array) -> Array:
        """Return the sum of `first * second` of each feature, without the product as an array."""
        total: Array = np.einsum("ij,ij->j", first, second).reshape(-1, self.features).sum(axis=0)
        return total

    def _follow(self, mean: Array, variance: Array, count: int) -> None:
        """Let the running statistics take in those of a batch."""
        for running, new in ((self.running_mean, mean), (self.running_variance, variance * (count / (count - 1)))):
            running.data = (1 - self.momentum) * running.data + self.momentum * new

    def _checked(self, x: Array) -> Array:
        n = self.features
        if x.ndim not in (2, 4) or x.shape[-1] != n:
            raise LayerInputError(self, f"expected (batch, {n}) or (batch, height, width, {n}), received {x.shape}")
        if x.size == 0:
            raise LayerInputError(self, f"expected at least one sample, received an empty batch {x.shape}")
        if self.training and x.size == n:
            raise LayerInputError(
                self,
                f"expected more than one value of each feature in training, received {x.shape}; use a larger batch",
            )
        return floating(self, x, self.weight.data.dtype)

    def config(self) -> dict[str, Any]:
        """Return the number of features, momentum, epsilon and the precision."""
        numbers = {"features": self.features, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**numbers, "dtype": self.weight.data.dtype.name}

    def __repr__(self) -> str:
        return f"BatchNorm({self.features}, momentum={self.momentum:g}, epsilon={self.epsilon:g})"


def _along(rows: Array, values: Array) -> Array:
    """Repeat one value for each feature along a row of pixels.

    NumPy's loops run along the last axis; a whole row of pixels is long enough to be fast, a few channels are not.
    """
    return np.tile(values, rows.shape[1] // len(values))
