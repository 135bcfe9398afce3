"""BatchNorm: each feature brought to mean 0 and variance 1 over the batch, then to what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._calls import current_batch_sums
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike
from minidl._validation import is_finite, largest_of, size, unit_number
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad, features
from minidl.layers._masks import mask_of
from minidl.layers._norm import Norm
from minidl.ops.channels import batch_norm_input_grad, channel_statistics, channel_sums, normalize_channels
from minidl.parameter import Buffer


class BatchNorm(Norm):
    """Normalize each feature over the batch; for pictures and sequences, over all pixels and points in time, too.

    Formula: `y = weight * h + bias` with `h = (x - mean) / sqrt(variance + epsilon)`. In training, mean and variance
    are those of the batch and `running <- (1 - momentum) * running + momentum * batch` follows them; in evaluation
    the running ones are used. As in PyTorch the variance that normalizes divides by the count m, the one that the
    running variance takes in by m - 1. In training the padding of sequences does not count, and comes out as 0.
    Frozen, the layer uses the running ones in training, as in evaluation, and leaves them as they are.

    Shapes: `x` (batch, ..., features), result the same; `weight`, `bias`, `running_mean`, `running_variance`
    (features,). Input of another precision is cast to the layer's.

    Arguments: `momentum` in [0, 1] is the part of a new batch in the running statistics; `epsilon` above 0 keeps the
    division finite; `weight=False` and `bias=False` leave these out.

    Raises: ValueError for arguments out of these bounds, for input that is not of these shapes, and in training for a
    batch with a single value of each feature, whose variance says nothing, or of a variance that is too large.

    Source: Ioffe and Szegedy, Batch normalization (2015).

    >>> BatchNorm(1)(np.array([[1.0], [3.0]], np.float32)).round(2).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        weight: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.features = size(features, "BatchNorm features")
        self.momentum = unit_number(momentum, "BatchNorm momentum")
        super().__init__(self.features, epsilon, weight, bias, dtype)
        self.running_mean = Buffer(np.zeros(self.features, self._dtype))
        self.running_variance = Buffer(np.ones(self.features, self._dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of weights and statistics."""
        return self.running_mean.data.dtype

    @property
    def has_fixed_statistics(self) -> bool:
        """Whether the running statistics are frozen, and so normalize in training, too."""
        return self.running_mean.frozen or self.running_variance.frozen

    def forward(self, x: Array) -> Array:
        """Return `x` normalized, by its own statistics in training and by the running ones in evaluation."""
        x = features(self, x, self.features, self.dtype)
        of_batch = self.training and not self.has_fixed_statistics
        mask = mask_of(self, x) if of_batch and x.ndim == 3 else None
        x = x if mask is None else x[mask]
        if of_batch:
            count, mean, variance = self._statistics(x)
        else:
            count, mean, variance = 0, self.running_mean.data, self.running_variance.data
        inverse_deviation = 1 / np.sqrt(variance + self.epsilon)
        self.save_for_backward(x, mean, inverse_deviation, mask, count)
        shift = None if self.bias is None else self.bias.data
        return _in_sequences(normalize_channels(x, mean, self._scale(inverse_deviation), shift), mask)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradients of weight and bias, and return the one of the input.

        With `g = dL/dy`, sums and means taken over the m values of a feature, and `s = 1 / sqrt(variance + epsilon)`,

            dL/dweight = sum(g h)        dL/dbias = sum(g)        dL/dh = g weight

        Each `x_i` moves its own `h_i = (x_i - mean) s` and, through mean and variance, all the others:
        `dh_j / dx_i = s ([i = j] - 1/m - h_i h_j / m)`, since `dmean/dx_i = 1/m` and `ds/dx_i = -s^2 h_i / m`. Hence

            dL/dx = weight s (g - mean(g) - h mean(g h))

        Of a frozen layer, mean and s are constants: `dL/dx = weight s g`. Where several processes share the batch,
        m and the sums in the last formula are those of all of it.
        """
        *saved, m = self.saved_for_backward()
        g, of_products, of_g = self._write_gradients(grad_output, *saved)
        x, mean, inverse_deviation, mask = saved
        scale, totals = self._scale(inverse_deviation), current_batch_sums.get()
        if not m:
            return g * scale
        if totals is not None:
            of_products, of_g = totals.gradient_sums(np.stack([of_products, of_g]))
        grad_x = batch_norm_input_grad(x, mean, inverse_deviation * of_products / m, g, of_g / m, scale)
        return _in_sequences(grad_x, mask)

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of weight and bias alone."""
        self._write_gradients(grad_output, *self.saved_for_backward()[:-1])

    def _write_gradients(
        self, grad_output: Array, x: Array, mean: Array, inverse_deviation: Array, mask: Array | None
    ) -> tuple[Array, Array, Array]:
        """Write the gradients of weight and bias, and return g of what counts, `sum(g h)` and `sum(g)`."""
        check_grad(self, grad_output, x.shape if mask is None else (*mask.shape, self.features))
        g = grad_output if mask is None else grad_output[mask]
        of_products, of_g = channel_sums(x, mean, g)
        of_products *= inverse_deviation
        if self.weight is not None:
            self.weight.grad = of_products
        if self.bias is not None:
            self.bias.grad = of_g
        return g, of_products, of_g

    def _scale(self, inverse_deviation: Array) -> Array:
        return inverse_deviation if self.weight is None else self.weight.data * inverse_deviation

    def _statistics(self, x: Array) -> tuple[int, Array, Array]:
        """Return count, mean and variance of a batch, and move the running ones towards them.

        Raises: LayerInputError for a single value of each feature, and for finite numbers whose statistics are not;
        where the batch is not finite the running ones follow.
        """
        count, (mean, variance) = x.size // self.features, channel_statistics(x)
        totals = current_batch_sums.get()
        if totals is not None:
            count, mean, variance = totals.statistics(count, mean, variance)
        if count == 1:
            raise LayerInputError(
                self,
                f"expected more than one value of each feature in training, received {x.shape}; use a larger batch",
            )
        with np.errstate(over="ignore", invalid="ignore"):
            unbiased = variance * (count / (count - 1))
        if not (unbiased.max() < np.inf) and totals is None and is_finite(x):  # of others nothing is known here
            raise LayerInputError(
                self,
                f"expected numbers whose variance {x.dtype} holds, received numbers up to {largest_of(x):g} in size, "
                "which are too large; scale the input, or lower the learning rate",
            )
        for running, new in ((self.running_mean, mean), (self.running_variance, unbiased)):
            running.data = (1 - self.momentum) * running.data + self.momentum * new
        return count, mean, variance

    def __repr__(self) -> str:
        return self._described(self.features, momentum=self.momentum, epsilon=self.epsilon)


def _in_sequences(rows: Array, mask: Array | None) -> Array:
    """Return the rows of real steps at their places in sequences (batch, time, features), and zeros at padding."""
    if mask is None:
        return rows
    sequences = np.zeros((*mask.shape, rows.shape[-1]), rows.dtype)
    sequences[mask] = rows
    return sequences
