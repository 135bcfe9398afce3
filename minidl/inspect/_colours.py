"""Numbers of either sign as pictures: around grey in three colours, or from blue over white to orange."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array

NEGATIVE, ZERO, POSITIVE = (31, 95, 174), (255, 255, 255), (184, 74, 11)  # told apart by the colour-blind, too


def in_colours(values: Array, largest: Array) -> Array:
    """Return pictures uint8 (..., 3) of numbers (..., 3) or (..., 1), `-largest` to `largest`, which broadcasts.

    Three numbers are red, green and blue, 0 being grey (128). One is a colour between blue for `-largest`, white for 0
    and orange for `largest`. Where `largest` is 0, so is every number.

    >>> in_colours(np.array([[[-2.0, 0.0, 2.0]]]), np.array(2.0)).tolist()
    [[[1, 128, 255]]]
    >>> in_colours(np.array([[[0.0]]]), np.array(0.0)).tolist()
    [[[255, 255, 255]]]
    """
    largest = np.asarray(largest, np.float64)
    with np.errstate(under="ignore"):
        shares = np.clip(values / np.where(largest > 0, largest, 1), -1, 1)
    if values.shape[-1] == 3:
        with np.errstate(under="ignore"):
            return np.rint(128 + 127 * shares).astype(np.uint8)
    ends = np.where(shares < 0, np.array(NEGATIVE, np.float64), np.array(POSITIVE, np.float64))
    white = np.array(ZERO, np.float64)
    with np.errstate(under="ignore"):
        return np.rint(white + (ends - white) * np.abs(shares)).astype(np.uint8)


def largest_of_each(values: Array, axes: int) -> Array:
    """Return the largest size among the last so many axes, which stay as axes of length 1.

    >>> largest_of_each(np.array([[1.0, -3.0], [2.0, 0.0]]), axes=1).tolist()
    [[3.0], [2.0]]
    """
    found: Array = np.abs(values).max(axis=tuple(range(-axes, 0)), keepdims=True)
    return found
