"""Gradient clipping: a bound on the length of all gradients taken together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from minidl._typing import Array
from minidl._validation import positive_number
from minidl.parameter import Parameter


def gradient_norm(gradients: Iterable[Array]) -> float:
    """Return the Euclidean length of all gradients taken as one long vector.

    Formula: `sqrt(sum of g_k^2 over every entry of every gradient)`.

    >>> gradient_norm([np.array([3.0, 0.0]), np.array([[4.0]])])
    5.0
    """
    return math.sqrt(sum(_squared_norm(gradient) for gradient in gradients))


def clipped(gradients: Sequence[Array], max_norm: float) -> tuple[Sequence[Array], float]:
    """Return the gradients, as new arrays where they are too long together, and the norm that they had.

    A norm that is not finite scales nothing: the gradient is broken, not long, and should be seen as it is.
    """
    norm = gradient_norm(gradients)
    if not max_norm < norm < math.inf:
        return gradients, norm
    return [gradient * (max_norm / norm) for gradient in gradients], norm


def clip_gradient_norm(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients down together until their norm is at most `max_norm`, and return the norm they had.

    Formula: `g <- g * min(1, max_norm / norm)` with `norm = sqrt(sum of g^2)` over all parameters.

    Each `parameter.grad` becomes a new array; the arrays that backward wrote stay as they are. Parameters without a
    gradient are passed over. Gradients that hold NaN or infinity are left unscaled. An optimizer clips by itself,
    without a change to `parameter.grad`, when it is made with `max_gradient_norm`.

    Raises: ValueError for a `max_norm` that is not a finite number above 0.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks (2013), section 3.2.

    >>> w = Parameter(np.zeros(2))
    >>> w.grad = np.array([3.0, 4.0])
    >>> clip_gradient_norm([w], max_norm=1.0), w.grad.round(3).tolist()
    (5.0, [0.6, 0.8])
    """
    max_norm = positive_number(max_norm, "clip_gradient_norm max_norm")
    with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
    gradients, norm = clipped([p.grad for p in with_gradient if p.grad is not None], max_norm)
    for parameter, gradient in zip(with_gradient, gradients, strict=True):
        parameter.grad = gradient
    return norm


def _squared_norm(gradient: Array) -> float:
    with np.errstate(over="ignore"):
        squared = float(np.vdot(gradient, gradient))
    if math.isinf(squared):  # float32 squares overflow from 1.8e19, which is when clipping is wanted most
        squared = float(np.square(gradient, dtype=np.float64).sum())
    return squared
