"""Numbers along the last axis brought to mean 0 and variance 1, or divided by their root mean square."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty


def mean_product(a: Array, b: Array) -> Array:
    """Return the mean of `a * b` along the last axis, which stays, without the product as an array.

    >>> mean_product(np.array([[1.0, 3.0]]), np.array([[5.0, 1.0]])).tolist()
    [[4.0]]
    """
    mean: Array = (a[..., None, :] @ b[..., :, None])[..., 0] / a.dtype.type(a.shape[-1])
    return mean


def scale_below_one(x: Array) -> Array:
    """Return the power of 2 that brings the numbers of the last axis below 1 in size, at most 1, so that squares fit.

    >>> scale_below_one(np.array([[3.0, -5.0], [0.1, 0.2]])).tolist()
    [[0.125], [1.0]]
    """
    _, exponent = np.frexp(np.abs(x).max(axis=-1, keepdims=True))
    scale: Array = np.ldexp(x.dtype.type(1), np.minimum(-exponent, 0))
    return scale


def normalized(x: Array, epsilon: float) -> tuple[Array, Array]:
    """Return `h = (x - mean) * s` and `s = 1 / sqrt(variance + epsilon)`, mean and variance of the last axis.

    >>> normalized(np.array([[1.0, 5.0]]), 1e-9)[0].round(6).tolist()
    [[-1.0, 1.0]]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        h, inverse_deviation = _normalized(x, epsilon)
        if not inverse_deviation.min() > 0:  # infinite squares, or NaN from infinite sums
            scale = np.where(inverse_deviation > 0, x.dtype.type(1), scale_below_one(x))
            h, inverse_deviation = _normalized(x * scale, np.maximum(epsilon * scale * scale, np.finfo(x.dtype).tiny))
            inverse_deviation *= scale
    return h, inverse_deviation


def normalized_grad(grad_h: Array, h: Array, inverse_deviation: Array) -> Array:
    """Return the gradient of x from that of h, `s (dL/dh - mean(dL/dh) - h mean(dL/dh h))`.

    >>> normalized_grad(np.array([[1.0, 1.0]]), np.array([[-1.0, 1.0]]), np.array([[0.5]])).tolist()
    [[0.0, 0.0]]
    """
    grad_input: Array = grad_h - grad_h.mean(axis=-1, keepdims=True)
    grad_input -= h * mean_product(grad_h, h)
    grad_input *= inverse_deviation
    return grad_input


def _normalized(x: Array, epsilon: float | Array) -> tuple[Array, Array]:
    # Less one of the numbers first: what is left of nearly equal ones is exact, and so is then its mean.
    h = np.subtract(x, x[..., :1], out=empty(x.shape, x.dtype))
    h -= h.mean(axis=-1, keepdims=True)
    inverse_deviation = 1 / np.sqrt(mean_product(h, h) + epsilon)
    h *= inverse_deviation
    return h, inverse_deviation
