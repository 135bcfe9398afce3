"""BatchNorm: each feature brought to mean 0 and variance 1 over the batch, then to what is learned."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._threads import in_blocks
from minidl._typing import Array
from minidl._validation import LayerInputError, float_dtype, positive_int, positive_number, unit_number
from minidl.layers._channels import along, by_channel, pixel_rows
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
        rows, count = pixel_rows(x), x.size // self.features
        if self.training:
            mean, variance = self._statistics(rows)
            self._follow(mean, variance, count)
        else:
            mean, variance = self.running_mean.data, self.running_variance.data
        inverse_deviation = 1 / np.sqrt(variance + self.epsilon)
        self.save_for_backward(x, mean, inverse_deviation)
        y = self.new_array(x.shape, x.dtype)
        y_rows, values = pixel_rows(y), (mean, self.weight.data * inverse_deviation, self.bias.data)
        centre, scale, shift = (along(rows, value) for value in values)

        def normalize(block: slice) -> None:
            out = np.subtract(rows[block], centre, out=y_rows[block])
            out *= scale
            out += shift

        in_blocks(normalize, len(rows), rows.size)
        return y

    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `g = dL/dy`, sums and means taken over the m values of a feature, and `s = 1 / sqrt(variance + epsilon)`,

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        Each `x_i` moves its own `h_i = (x_i - mean) s` and, through mean and variance, all the others:
        `dh_j / dx_i = s ([i = j] - 1/m - h_i h_j / m)`, since `dmean/dx_i = 1/m` and `ds/dx_i = -s^2 h_i / m`. Hence

            dL/dx = weight s (g - mean(g) - h mean(g h))
        """
        x, mean, inverse_deviation = self.saved_for_backward()
        grad_weight, grad_bias = self._write_gradients(x, mean, inverse_deviation, grad_output)
        grad_input = self.new_array(x.shape, grad_output.dtype)
        rows, g, result = pixel_rows(x), pixel_rows(grad_output), pixel_rows(grad_input)
        count = x.size // self.features
        centre, scale = along(rows, mean), along(rows, self.weight.data * inverse_deviation)
        slope, shift = along(rows, inverse_deviation * grad_weight / count), along(rows, grad_bias / count)

        def differentiate(block: slice) -> None:
            out = np.subtract(centre, rows[block], out=result[block])
            out *= slope
            out += g[block]
            out -= shift
            out *= scale

        in_blocks(differentiate, len(rows), rows.size)
        return grad_input

    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias only."""
        x, mean, inverse_deviation = self.saved_for_backward()
        self._write_gradients(x, mean, inverse_deviation, grad_output)

    def _write_gradients(
        self, x: Array, mean: Array, inverse_deviation: Array, grad_output: Array
    ) -> tuple[Array, Array]:
        """Write and return the gradients of weight and bias."""
        rows, g = pixel_rows(x), pixel_rows(grad_output)
        centre = along(rows, mean)

        def sums(block: slice) -> Array:
            centred = np.subtract(rows[block], centre, out=self.new_array(rows[block].shape, rows.dtype))
            return np.stack([_sum_of_products(g[block], centred), g[block].sum(axis=0)])

        of_products, of_g = reduce(np.add, in_blocks(sums, len(rows), rows.size))
        self.weight.grad = grad_weight = by_channel(of_products, self.features) * inverse_deviation
        self.bias.grad = grad_bias = by_channel(of_g, self.features)
        return grad_weight, grad_bias

    def _statistics(self, rows: Array) -> tuple[Array, Array]:
        """Return mean and variance of each feature, from those of each block while it is in the cache.

        With `d` the distance of a block's mean from the mean of all, the sum of squared distances from the latter is
        that from the former and `count * d^2` more.
        """

        def statistics(block: slice) -> tuple[int, Array, Array]:
            part = rows[block]
            count = part.size // self.features
            mean = by_channel(part.sum(axis=0), self.features) / count
            centred = np.subtract(part, along(part, mean), out=self.new_array(part.shape, part.dtype))
            return count, mean, by_channel(_sum_of_products(centred, centred), self.features)

        blocks = in_blocks(statistics, len(rows), rows.size)
        counts, means, squares = (np.array(values) for values in zip(*blocks, strict=True))
        counts = counts[:, None].astype(rows.dtype)
        mean = (counts * means).sum(axis=0) / counts.sum()
        variance = (squares + counts * (means - mean) ** 2).sum(axis=0) / counts.sum()
        return mean, variance

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


def _sum_of_products(first: Array, second: Array) -> Array:
    """Return the sum of `first * second` over each column, without the product as an array."""
    total: Array = np.einsum("ij,ij->j", first, second)
    return total
