"""Span: where gradient descent has moved a weight to, as a combination of the samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minidl._typing import Array


class Span(NamedTuple):
    """The first layer's weight after training, in the span of the samples that it was trained on.

    Formula: `W = scale W(0) + velocity_scale V(0) + coefficients.T X`, with the samples as rows of X as the layer sees
    them, W(0) the weight before training, and V(0) the velocity of a momentum that was not 0 then.

    Shapes: `coefficients` (samples, units).
    """

    coefficients: Array
    scale: float = 1.0
    velocity_scale: float = 0.0

    def after(self, weight: Span, velocity: Span) -> Span:
        """Return this span of two matrices W and V in terms of those that W and V are spans of themselves.

        >>> half = Span(np.ones((1, 1)), 0.5)
        >>> half.after(half, half)
        Span(coefficients=array([[1.5]]), scale=0.25, velocity_scale=0.0)
        """
        s, r = self.scale, self.velocity_scale
        return Span(
            self.coefficients + s * weight.coefficients + r * velocity.coefficients,
            s * weight.scale + r * velocity.scale,
            s * weight.velocity_scale + r * velocity.velocity_scale,
        )


def first_spans(shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> tuple[Span, Span]:
    """Return the spans of W(0) and V(0) themselves, for coefficients of this shape.

    >>> first_spans((1, 1), np.dtype(np.float32))[1].velocity_scale
    1.0
    """
    return Span(np.zeros(shape, dtype)), Span(np.zeros(shape, dtype), 0.0, 1.0)
