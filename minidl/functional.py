"""Numerically stable elementary functions: arrays in, arrays out, no state."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array


@without_false_alarms
def sigmoid(z: Array) -> Array:
    """Return the logistic function of each element, without overflow at any input.

    Formula: `sigmoid(z) = 1 / (1 + exp(-z))`, computed as `exp(min(z, 0)) / (1 + exp(-|z|))`, so that no exponential
    grows; the one above is that below for z < 0, and 1 for z >= 0.

    Shapes: any; the result has the shape and dtype of `z`.

    >>> sigmoid(np.array([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    e = np.exp(-np.abs(z))
    result: Array = np.maximum(e, z >= 0) / (1 + e)  # e is at most 1
    return result


@without_false_alarms
def softplus(z: Array) -> Array:
    """Return the smooth ramp of each element, without overflow at any input.

    Formula: `softplus(z) = log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))`; its derivative is `sigmoid(z)`.

    Shapes: any; the result has the shape and dtype of `z`.

    >>> softplus(np.array([-1e4, 1e4])).tolist()
    [0.0, 10000.0]
    """
    result: Array = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return result


@without_false_alarms
def logsumexp(z: Array) -> Array:
    """Return the logarithm of the sum of exponentials of the last axis, without overflow at any finite input.

    Formula: `log(sum_k exp(z_k)) = m + log(sum_k exp(z_k - m))` with `m = max_k z_k`: no exponent is above 0, one is 0.

    Shapes: `z` (..., classes), result (...), in the dtype of `z`.

    >>> logsumexp(np.array([[1e4, 1e4], [0.0, -1e4]])).round(3).tolist()
    [10000.693, 0.0]
    """
    largest = z.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):  # exp(-infinity) is the right 0
        result: Array = largest[..., 0] + np.log(np.exp(np.subtract(z, largest, order="C")).sum(axis=-1))
    return result


@without_false_alarms
def softmax(z: Array) -> Array:
    """Return the exponentials of the last axis divided by their sum, without overflow at any finite input.

    Formula: `exp(z_j) / sum_k exp(z_k)`, computed from `z - max_k z_k`, which leaves the quotient as it is.

    Shapes: `z` (..., classes); the result has the shape and dtype of `z`.

    >>> softmax(np.array([1e4, 1e4])).tolist()
    [0.5, 0.5]
    """
    with np.errstate(over="ignore"):  # exp(-infinity) is the right 0
        e = np.exp(np.subtract(z, z.max(axis=-1, keepdims=True), order="C"))
    result: Array = e / e.sum(axis=-1, keepdims=True)
    return result


@without_false_alarms
def log_softmax(z: Array) -> Array:
    """Return the logarithm of the softmax of the last axis, also where the softmax is 0 in this precision.

    Formula: `z_j - log(sum_k exp(z_k))`, computed from `z - max_k z_k`, which leaves it as it is.

    Shapes: `z` (..., classes); the result has the shape and dtype of `z`.

    >>> log_softmax(np.array([1e4, 1e4, 0.0])).round(3).tolist()
    [-0.693, -0.693, -10000.693]
    """
    below: Array = np.subtract(z, z.max(axis=-1, keepdims=True), order="C")
    below -= np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return below


def erf(z: Array) -> Array:
    """Return the error function of each element, within 3 units in the last place in float64 and 5 in float32.

    Formula: `erf(z) = 2 / sqrt(pi) * (integral of exp(-t^2) from 0 to z)`, computed as `tanh(z r(z^2))` with a rational
    function r: `atanh(erf(z)) / z` is smooth and even, and where erf comes near to 1 the tanh damps the error of r.

    Shapes: any; the result has the shape and dtype of `z`.

    >>> erf(np.array([-1e4, 0.0, 0.5])).round(6).tolist()
    [-1.0, 0.0, 0.5205]
    """
    end, numerator, denominator = _ERF_FLOAT32 if z.dtype.itemsize <= 4 else _ERF_FLOAT64
    z = np.clip(z, -end, end)
    square = z * z
    ratio = _polynomial(numerator, square)
    ratio /= _polynomial(denominator, square)
    ratio *= z
    result: Array = np.tanh(ratio)
    return result


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Return `c_0 + c_1 x + c_2 x^2 + ...` (Horner's scheme)."""
    total: Array = coefficients[-1] * x
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= x
    total += coefficients[0]
    return total


# Beyond where erf rounds to 1, and the coefficients of both polynomials, from the constant on: a minimax fit of
# `atanh(erf(z)) / z` in 60 digits, weighted by what an error in it changes of erf. It is off by 3e-9 of erf for float32
# and by 1e-18 for float64. All coefficients are above 0, so that nothing cancels.
_ERF_FLOAT32 = (
    4.5,
    (1.1283791707572932, 0.27979098739558295, 0.04263653666883236, 0.0021772305175828547),
    (1.0, 0.15687853892721282, 0.02368231505291709, 0.00032470162731520965),
)
_ERF_FLOAT64 = (
    6.5,
    (
        1.1283791670955126,
        0.5355134123869282,
        0.16108330084160094,
        0.03072246779078954,
        0.004273520001098629,
        0.00042453798436768866,
        3.134292591418665e-05,
        1.6788921436795448e-06,
        6.318741366088644e-08,
        1.2866836474859831e-09,
        5.988878841040767e-12,
    ),
    (
        1.0,
        0.38350655675332823,
        0.1080120333794592,
        0.017983441290438072,
        0.0023127936573125317,
        0.0002003906493963242,
        1.3484020190913177e-05,
        6.157798419533151e-07,
        1.955912450150079e-08,
        2.2388579818416285e-10,
        2.882566028336121e-13,
    ),
)
