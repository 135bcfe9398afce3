"""Sums and values for each channel, by whole rows of pixels.

NumPy's loops run along the last axis: a row of pixels is long enough for them to be fast, a few channels are not.
"""

from __future__ import annotations

import numpy as np

from minidl._typing import Array


def pixel_rows(x: Array) -> Array:
    """Return (batch, height, width, channels) as (batch * height, width * channels), and (batch, features) as it is."""
    return x.reshape(-1, x.shape[-2] * x.shape[-1]) if x.ndim == 4 else x


def along(rows: Array, values: Array) -> Array:
    """Return `values`, one for each channel, repeated for every pixel of a row."""
    return np.tile(values, rows.shape[1] // len(values))


def by_channel(sums: Array, channels: int) -> Array:
    """Return the sum of each channel, from the sums of the columns of rows of pixels."""
    total: Array = sums.reshape(-1, channels).sum(axis=0)
    return total
