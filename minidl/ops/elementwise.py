"""Loops over the elements of large arrays, a cache-sized block at a time, on all cores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning
from minidl.ops.buffers import empty
from minidl.ops.parallel import in_blocks


def rectify(x: Array, *, with_mask: bool) -> tuple[Array, Array | None]:
    """Return `max(x, 0)`, and where `x > 0` as an array of booleans, if that is wanted, in one pass.

    >>> rectify(np.array([-1.0, 2.0]), with_mask=True)
    (array([0., 2.]), array([False,  True]))
    """
    a = empty(x.shape, x.dtype)
    mask = empty(x.shape, np.dtype(np.bool_)) if with_mask else None
    zero = np.zeros((), x.dtype)  # 0 would be made an array by each call
    if x.size <= tuning.TUNING.cache_block:
        np.maximum(x, zero, out=a)
        return a, None if mask is None else np.greater(x, zero, out=mask)
    all_x, all_a = x.reshape(-1), a.reshape(-1)
    all_mask = None if mask is None else mask.reshape(-1)

    def rectify_block(block: slice) -> None:
        np.maximum(all_x[block], zero, out=all_a[block])
        if all_mask is not None:
            np.greater(all_x[block], zero, out=all_mask[block])

    in_blocks(rectify_block, x.size, x.size)
    return a, mask


def multiply(x: Array, factor: Array) -> Array:
    """Return `x * factor` for two arrays of one shape, in the dtype of `x`.

    >>> multiply(np.array([3.0, 4.0]), np.array([True, False])).tolist()
    [3.0, 0.0]
    """
    result = empty(x.shape, x.dtype)
    if x.size <= tuning.TUNING.cache_block:
        return np.multiply(x, factor, out=result)
    all_x, all_factor, all_result = x.reshape(-1), factor.reshape(-1), result.reshape(-1)

    def multiply_block(block: slice) -> None:
        np.multiply(all_x[block], all_factor[block], out=all_result[block])

    in_blocks(multiply_block, x.size, x.size)
    return result


def row_blocks(array: Array) -> Iterator[slice]:
    """Yield slices of rows that an elementwise optimizer moves at once, about `Tuning.update_block` numbers each.

    >>> list(row_blocks(np.zeros((3, 2))))
    [slice(0, 3, None)]
    """
    rows = max(1, tuning.TUNING.update_block * len(array) // max(1, array.size))
    for start in range(0, len(array), rows):
        yield slice(start, min(start + rows, len(array)))
