"""Flatten: each sample as one row."""

from __future__ import annotations

import math

from minidl._typing import Array
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad
from minidl.module import Module


class Flatten(Module):
    """Lay out each sample as one row.

    Formula: `y[i] = x[i].ravel()`; for (batch, height, width, 3) in the order row, column, colour.

    Shapes: `x` (batch, ...), result (batch, product of the rest), a view where that is possible.

    Raises: ValueError for an array without a batch axis.

    >>> Flatten()(np.zeros((5, 128, 128, 3))).shape
    (5, 49152)
    """

    def forward(self, x: Array) -> Array:
        """Return `x` as (batch, features)."""
        if x.ndim == 0:
            raise LayerInputError(self, "expected (batch, ...), received a single number")
        self.save_for_backward(x.shape)
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` in the input's shape: the elements are the same, only laid out anew."""
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, (shape[0], math.prod(shape[1:])))
        return grad_output.reshape(shape)
