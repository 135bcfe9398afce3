"""Gradient clipping: a bound on the length of all gradients taken together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import is_finite, positive_number, shown
from minidl.errors import NonFiniteError
from minidl.parameter import Parameter

RUN = 1 << 12  # numbers whose squares are added up in their own precision
LEAST_SQUARES = 1e-25  # of a gradient: below it, single squares may have lost digits
LEAST_FACTOR = 1e-30  # below it, a factor may lose digits in float32


def gradient_norm(gradients: Iterable[Array]) -> float:
    """Return the Euclidean length of all gradients taken as one long vector.

    Formula: `sqrt(sum of g_k^2 over every entry of every gradient)`.

    >>> gradient_norm([np.array([3.0, 0.0]), np.array([[4.0]])])
    5.0
    """
    return math.hypot(*(_norm(gradient) for gradient in gradients))


def clipped(gradients: Sequence[Array], max_norm: float) -> tuple[Sequence[Array], float]:
    """Return the gradients, as new arrays where they are too long together, and the norm that they had.

    A norm that is not finite scales nothing: the gradient is broken, not long, and should be seen as it is.

    Raises: NonFiniteError for finite gradients with a norm beyond the range of float64.
    """
    norm = gradient_norm(gradients)
    if norm == math.inf and all(map(is_finite, gradients)):
        raise NonFiniteError("the gradients' norm is too large for float64")
    if not max_norm < norm < math.inf:
        return gradients, norm
    factor = max_norm / norm
    if factor > LEAST_FACTOR:
        return [gradient * factor for gradient in gradients], norm
    return [(np.divide(g, norm, dtype=np.float64) * max_norm).astype(g.dtype) for g in gradients], norm


@without_false_alarms
def clip_gradient_norm(parameters: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients down together until their norm is at most `max_norm`, and return the norm they had.

    Formula: `g <- g * min(1, max_norm / norm)` with `norm = sqrt(sum of g^2)` over all parameters that are not frozen.

    Each `parameter.grad` becomes a new array; the arrays that backward wrote stay as they are. Parameters without a
    gradient, and frozen ones, are passed over. Gradients that hold NaN or infinity are left unscaled. An optimizer
    clips by itself, without a change to `parameter.grad`, when it is made with `max_gradient_norm`.

    Raises: ValueError for a `max_norm` that is not a finite number above 0; TypeError for something that is not a
    Parameter.

    Source: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks (2013), section 3.2.

    >>> w = Parameter(np.zeros(2))
    >>> w.grad = np.array([3.0, 4.0])
    >>> clip_gradient_norm([w], max_norm=1.0), w.grad.round(3).tolist()
    (5.0, [0.6, 0.8])
    """
    max_norm = positive_number(max_norm, "clip_gradient_norm max_norm")
    where = "clip_gradient_norm parameters"
    with_gradient = []
    for i, parameter in enumerate(as_list(parameters, where)):
        if not isinstance(parameter, Parameter):
            raise TypeError(f"{where}[{i}]: expected a Parameter, received {shown(parameter)}")
        if parameter.grad is not None and not parameter.frozen:
            with_gradient.append(parameter)
    gradients, norm = clipped([p.grad for p in with_gradient if p.grad is not None], max_norm)
    for parameter, gradient in zip(with_gradient, gradients, strict=True):
        parameter.grad = gradient
    return norm


def as_list(parameters: Any, where: str) -> list[Any]:
    """Return some parameters as a list.

    Raises: TypeError for what is no collection, and for a model.
    """
    if not isinstance(parameters, Iterable) or isinstance(parameters, np.ndarray) or hasattr(parameters, "parameters"):
        raise TypeError(f"{where}: expected a list, as model.parameters() returns, received {shown(parameters)}")
    return list(parameters)


def _norm(gradient: Array) -> float:
    flat = gradient.reshape(-1)
    whole = flat.size - flat.size % RUN
    with np.errstate(over="ignore"):
        squares = float(np.vdot(flat[whole:], flat[whole:]))
        if whole:
            runs = flat[:whole].reshape(-1, 1, RUN)
            squares += float((runs @ runs.reshape(-1, RUN, 1)).sum(dtype=np.float64))
    if LEAST_SQUARES < squares < math.inf:
        return math.sqrt(squares)
    # The squares of float32 numbers overflow from 1.8e19 on, which is when clipping is wanted most.
    largest = float(np.abs(flat).max(initial=0))
    if not 0 < largest < math.inf:
        return largest
    shares = np.divide(flat, largest, dtype=np.float64)
    return largest * math.sqrt(shares @ shares)
