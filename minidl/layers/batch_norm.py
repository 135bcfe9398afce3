"""BatchNorm: each feature brought to mean 0 and variance 1 over the batch, then to what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._underflow import underflow_to_zero
from minidl._validation import float_dtype, is_finite, largest_of, positive_within, size, unit_number
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.channels import batch_norm_input_grad, channel_statistics, channel_sums, scale_and_shift
from minidl.parameter import Buffer, Parameter


class BatchNorm(Module):
    """Normalize each feature over the batch; for pictures, each channel over the batch and all pixels.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`. In training, mean and variance
    are those of the batch and `running <- (1 - momentum) * running + momentum * batch` follows them; in evaluation
    the running ones are used. As in PyTorch the variance that normalizes divides by the count m, the one that the
    running variance takes in by m - 1.

    Shapes: `x` (batch, features) or (batch, height, width, features), result the same; `weight`, `bias`,
    `running_mean`, `running_variance` (features,). Input of another precision is cast to the layer's.

    Arguments: `momentum` in [0, 1] is the part of a new batch in the running statistics; `epsilon` above 0 keeps the
    division finite.

    Raises: ValueError for arguments out of these bounds, for input that is not of these shapes, and in training for a
    batch with a single value of each feature, whose variance says nothing, or of a variance that is too large.

    Source: Ioffe and Szegedy, Batch normalization (2015).

    >>> BatchNorm(1)(np.array([[1.0], [3.0]], np.float32)).round(2).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self, features: int, *, momentum: float = 0.1, epsilon: float = 1e-5, dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.features = size(features, "BatchNorm features")
        self.momentum = unit_number(momentum, "BatchNorm momentum")
        dtype = float_dtype(dtype, "BatchNorm dtype")
        self.epsilon = positive_within(dtype, epsilon, "BatchNorm epsilon")
        self.weight = Parameter(np.ones(self.features, dtype))
        self.bias = Parameter(np.zeros(self.features, dtype))
        self.running_mean = Buffer(np.zeros(self.features, dtype))
        self.running_variance = Buffer(np.ones(self.features, dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def forward(self, x: Array) -> Array:
        """Return `x` normalized, by its own statistics in training and by the running ones in evaluation."""
        x = self._checked(x)
        if self.training:
            mean, variance = channel_statistics(x)
            self._follow(x, mean, variance)
        else:
            mean, variance = self.running_mean.data, self.running_variance.data
        inverse_deviation = 1 / np.sqrt(variance + self.epsilon)
        self.save_for_backward(x, mean, inverse_deviation)
        return scale_and_shift(x, mean, self.weight.data * inverse_deviation, self.bias.data)

    @underflow_to_zero
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
        m, scale = x.size // self.features, self.weight.data * inverse_deviation
        slope = inverse_deviation * grad_weight / m
        return batch_norm_input_grad(x, mean, slope, grad_output, grad_bias / m, scale)

    @underflow_to_zero
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone."""
        x, mean, inverse_deviation = self.saved_for_backward()
        self._write_gradients(x, mean, inverse_deviation, grad_output)

    def _write_gradients(
        self, x: Array, mean: Array, inverse_deviation: Array, grad_output: Array
    ) -> tuple[Array, Array]:
        check_grad(self, grad_output, x.shape)
        of_products, grad_bias = channel_sums(x, mean, grad_output)
        self.weight.grad, self.bias.grad = of_products * inverse_deviation, grad_bias
        return self.weight.grad, self.bias.grad

    def _follow(self, x: Array, mean: Array, variance: Array) -> None:
        """Move the running statistics towards those of a batch.

        Raises: LayerInputError for finite numbers whose statistics are not; where the batch is not finite they follow.
        """
        count = x.size // self.features
        with np.errstate(over="ignore", invalid="ignore"):
            unbiased = variance * (count / (count - 1))
        if not (unbiased.max() < np.inf) and is_finite(x):
            raise LayerInputError(
                self,
                f"expected numbers whose variance {x.dtype} holds, received numbers up to {largest_of(x):g} in size, "
                "which are too large; scale the input, or lower the learning rate",
            )
        for running, new in ((self.running_mean, mean), (self.running_variance, unbiased)):
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

    def __repr__(self) -> str:
        return f"BatchNorm({self.features}, momentum={self.momentum:g}, epsilon={self.epsilon:g})"
