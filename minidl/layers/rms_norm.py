"""RMSNorm: the features of each sample divided by their root mean square, then times what is learned."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, DTypeLike
from minidl._validation import size
from minidl.layers._checks import check_grad, features
from minidl.layers._norm import Norm
from minidl.ops.normalization import mean_product, scale_below_one


class RMSNorm(Norm):
    """Divide the features of each sample by their root mean square: LayerNorm without the mean and the bias.

    Formula: `y = weight * h` with `h = x / sqrt(mean(x^2) + epsilon)`, the mean along the last axis.

    Shapes: `x` (batch, ..., features), result the same; `weight` (features,). Input of another precision is cast to
    the layer's.

    Arguments: `epsilon` above 0 keeps the division finite; `weight=False` leaves the weight out. The norm then has no
    precision of its own, but that of its input.

    Raises: ValueError for arguments out of these bounds, and for input that is not a floating (batch, ..., features).

    Source: Zhang and Sennrich, Root mean square layer normalization (2019).

    >>> RMSNorm(2)(np.array([[3.0, -3.0], [0.0, 2.0]], np.float32)).round(2).tolist()
    [[1.0, -1.0], [0.0, 1.409999966621399]]
    """

    def __init__(
        self, features: int, *, epsilon: float = 1e-5, weight: bool = True, dtype: DTypeLike = np.float32
    ) -> None:
        self.features = size(features, "RMSNorm features")
        super().__init__(self.features, epsilon, weight, False, dtype)

    def forward(self, x: Array) -> Array:
        """Return `x` with the last axis normalized."""
        x = features(self, x, self.features, self._own_dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            scale: Array | float = 1.0
            mean_square = mean_product(x, x)
            if not mean_square.max() < np.inf:  # infinite squares, or NaN
                scale = scale_below_one(x)
                scaled = x * scale
                mean_square = mean_product(scaled, scaled)
            # Where it is scaled the mean square is large, and what is left of epsilon may be rounded to 0 beside it.
            inverse = scale / np.sqrt(mean_square + self.epsilon * scale * scale)
            h = x * inverse
        self.save_for_backward(h, inverse)
        return self._scale_and_shift(h)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write the gradient of the weight, and return the one of the input.

        With `g = dL/dy` and `s = 1 / sqrt(mean(x^2) + epsilon)`, the weight serves all samples, hence

            dL/dweight = sum(g h)        dL/dh = g weight

        Each `x_i` moves its own `h_i = x_i s` and, through the mean, all others of its sample: `ds/dx_i = -s^3 x_i / n`
        makes `dh_j / dx_i = s ([i = j] - h_i h_j / n)`, so that, with the mean over the features,

            dL/dx = s (dL/dh - h mean(dL/dh h))
        """
        h, inverse = self.saved_for_backward()
        check_grad(self, grad_output, h.shape)
        grad_h = self._norm_gradients(grad_output, h)
        grad_input: Array = grad_h - h * mean_product(grad_h, h)
        grad_input *= inverse
        return grad_input

    def __repr__(self) -> str:
        return self._described(self.features, epsilon=self.epsilon)
