"""Numerically stable elementary functions: arrays in, arrays out, no state."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl._underflow import underflow_to_zero


@underflow_to_zero
def sigmoid(z: Array) -> Array:
    """Return the logistic function of each element, without overflow at any input.

    Formula: `sigmoid(z) = 1 / (1 + exp(-z))`, computed from `q = exp(-|z|) / (1 + exp(-|z|))`, the value at
    `-|z|`: `q` itself for z < 0 and `1 - q` for z >= 0, so that the exponential never grows.

    Shapes: any; the result has the shape and dtype of `z`.

    >>> sigmoid(np.array([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    e = np.exp(-np.abs(z))
    q = e / (1 + e)
    result: Array = np.where(z >= 0, 1 - q, q)
    return result


@underflow_to_zero
def softplus(z: Array) -> Array:
    """Return the smooth ramp of each element, without overflow at any input.

    Formula: `softplus(z) = log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|))`; its derivative is `sigmoid(z)`.

    Shapes: any; the result has the shape and dtype of `z`.

    >>> softplus(np.array([-1e4, 1e4])).tolist()
    [0.0, 10000.0]
    """
    result: Array = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return result


@underflow_to_zero
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


@underflow_to_zero
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
