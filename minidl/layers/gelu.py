"""GELU: the Gaussian error linear unit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import shown
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import activate, multiply

Approximate = Literal["none", "tanh"]

SCALE = math.sqrt(2 / math.pi)
CUBIC = 0.044715
SATURATED = 40.0  # from here on both forms are z or 0 in float64, while the square of z may overflow


class GELU(Module):
    """The Gaussian error linear unit, the input times the probability that a standard normal number is below it.

    Formula: `a = z P(z)` with `P(z) = (1 + erf(z / sqrt(2))) / 2`, the normal distribution; or in the tanh form
    `a = z (1 + tanh(u)) / 2` with `u = sqrt(2 / pi) (z + 0.044715 z^3)`, which differs from it by less than 5e-4.

    Shapes: any; the result has the shape and dtype of the input.

    Arguments: `approximate` is "none" for the exact function, as PyTorch's default is, or "tanh" for the other form,
    which GPT-2 and many networks after it were trained with.

    Raises: ValueError for another `approximate`, and for input that is not floating.

    Source: Hendrycks and Gimpel, Gaussian error linear units (2016).

    >>> GELU()(np.array([[-10.0, 0.0, 1.0, 10.0]])).round(4).tolist()
    [[-0.0, 0.0, 0.8413, 10.0]]
    >>> GELU(approximate="tanh")(np.array([[-10.0, 0.0, 1.0, 10.0]])).round(4).tolist()
    [[-0.0, 0.0, 0.8412, 10.0]]
    """

    def __init__(self, approximate: Approximate = "none") -> None:
        if not isinstance(approximate, str) or approximate not in get_args(Approximate):
            raise ValueError(f'GELU approximate: expected "none" or "tanh", received {shown(approximate)}')
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        """Return `x` times its probability, or times the approximation of it."""
        formula = _exact if self.approximate == "none" else _tanh_form
        a, slope = activate(formula, floating(self, x), with_slope=self.training)
        self.save_for_backward(slope)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` times the derivative, which the forward pass has kept.

        `dP/dz` is the density `exp(-z^2 / 2) / sqrt(2 pi)`, so the product rule on `a = z P(z)` gives

            da/dz = P(z) + z exp(-z^2 / 2) / sqrt(2 pi)

        In the tanh form, with `t = tanh(u)` and `dt/dz = (1 - t^2) du/dz`, that on `a = z (1 + t) / 2` gives

            da/dz = (1 + t) / 2 + z (1 - t^2) / 2 * du/dz        du/dz = sqrt(2 / pi) (1 + 3 * 0.044715 z^2)

        and `dZ = dA * da/dz`.
        """
        (slope,) = self.saved_for_backward()
        check_grad(self, grad_output, slope.shape)
        return multiply(grad_output, slope)

    def __repr__(self) -> str:
        return f"GELU(approximate={self.approximate!r})"


def _exact(z: Array) -> Iterator[Array]:
    p = 0.5 + 0.5 * functional.erf(math.sqrt(0.5) * z)
    yield z * p
    bounded = np.clip(z, -SATURATED, SATURATED)
    yield p + bounded * (SCALE / 2 * np.exp(-0.5 * bounded * bounded))


def _tanh_form(z: Array) -> Iterator[Array]:
    bounded = np.clip(z, -SATURATED, SATURATED)
    square = bounded * bounded
    t = np.tanh(bounded * (SCALE + SCALE * CUBIC * square))
    p = 0.5 + 0.5 * t
    yield z * p
    yield p + 0.5 * bounded * (1 - t * t) * (SCALE + 3 * SCALE * CUBIC * square)
