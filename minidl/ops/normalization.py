"""What normalizations along the last axis share."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array


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
