"""HardSwish: SiLU with a sigmoid of straight lines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import activate, multiply


class HardSwish(Module):
    """The input times a sigmoid of straight lines, which needs no exponential.

    Formula: `a = z h` with `h = (z + 3) / 6`, at least 0 and at most 1.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Howard et al., Searching for MobileNetV3 (2019).

    >>> HardSwish()(np.array([[-3.0, 0.0, 1.5, 3.0]])).tolist()
    [[-0.0, 0.0, 1.125, 3.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `x` times `(x + 3) / 6`, bounded by 0 and 1."""
        a, slope = activate(_hard_swish, floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative, which the forward pass has kept.

        `dh/dz` is 1/6 between -3 and 3 and 0 outside, so the product rule on `a = z h` gives `da/dz = h + z / 6`
        between them and h outside, which is 0 or 1. At -3 and 3 it is taken as outside.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)


def _hard_swish(z: Array) -> Iterator[Array]:
    h = np.clip((z + 3) / 6, 0, 1)
    yield z * h
    yield h + z / 6 * ((h > 0) & (h < 1))
