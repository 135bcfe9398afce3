"""Products of wide samples with a narrow layer, which wait for memory.

The article's 1,321 photographs are 260 MB of numbers, multiplied with 20 rows only. What takes time is to fetch them;
OpenBLAS copies them once more on the way, to where a large product would use them again. Small products take them as
they come, in one pass over the memory, on all cores. A few photographs are in the cache, but OpenBLAS copies them and
the weight all the same: small products take a half to a quarter of the time, and wake no threads of OpenBLAS.
"""

from __future__ import annotations

import math

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning
from minidl.ops.parallel import in_blocks

ALIGNMENT = 16  # numbers of a cache line: a tile begins with one
WEIGHT_GRAD_BLOCKS = 8  # at most: each block keeps a result of its own


def is_wide(x: Array, outputs: int) -> bool:
    """Return whether products of samples `x` with so many rows are the ones of this file.

    >>> is_wide(np.zeros((3, 4)), 20)
    False
    """
    if x.size < tuning.TUNING.wide_samples:
        return False
    least, most = tuning.TUNING.wide_outputs
    return x.shape[1] >= tuning.TUNING.wide_features and least <= outputs <= most and x.flags.c_contiguous


def is_thin_and_wide(x: Array, outputs: int) -> bool:
    """Return whether the forward pass of so few samples `x` is the one of this file.

    >>> is_thin_and_wide(np.zeros((3, 4)), 20)
    False
    """
    rows = min(len(x), tuning.TUNING.wide_forward_rows)
    if len(x) > tuning.TUNING.thin_batch or rows * outputs > tuning.TUNING.thin_wide:
        return False
    return x.size * outputs > tuning.TUNING.small_product and x.flags.c_contiguous


def wide_forward(x: Array, weight: Array, out: Array) -> None:
    """Write `x @ weight.T` into `out`, as a sum over runs of features.

    >>> wide_forward(np.ones((1, 2)), np.ones((3, 2)), out := np.empty((1, 3)))
    >>> out.tolist()
    [[2.0, 2.0, 2.0]]
    """
    n, d = weight.shape
    rows = min(len(x), tuning.TUNING.wide_forward_rows)
    tile = tuning.TUNING.small_product // (rows * n) // ALIGNMENT * ALIGNMENT
    whole = d - d % tile
    tiles = weight[:, :whole].reshape(n, -1, tile).transpose(1, 2, 0)

    def multiply(block: slice) -> None:
        part = x[block]
        parts = part[:, :whole].reshape(len(part), -1, tile).transpose(1, 0, 2)
        np.matmul(parts, tiles).sum(axis=0, out=out[block])
        if whole < d:
            out[block] += np.matmul(part[:, whole:], weight[:, whole:].T)

    in_blocks(multiply, len(x), x.size, at_most=math.ceil(len(x) / rows))


def wide_weight_grad(grad_output: Array, x: Array, out: Array) -> None:
    """Write `grad_output.T @ x` into `out`, run by run of features, each as a sum over runs of samples.

    >>> wide_weight_grad(np.ones((1, 3)), np.ones((1, 2)), out := np.empty((3, 2)))
    >>> out.tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    n, d = grad_output.shape[1], x.shape[1]
    tile, rows = tuning.TUNING.wide_backward_features, tuning.TUNING.wide_backward_rows
    whole = d - d % tile
    runs = [slice(start, start + rows) for start in range(0, len(x), rows)]
    left = [np.ascontiguousarray(grad_output[run].T) for run in runs]
    tiles = x[:, :whole].reshape(len(x), -1, tile).transpose(1, 0, 2)
    results = out[:, :whole].reshape(n, -1, tile)

    def total(part: Array) -> Array:
        """Return the sum for some tiles (tiles, batch, features), in one piece of memory, tile by tile."""
        result: Array = np.matmul(left[0], part[:, runs[0]])
        product = np.empty_like(result)
        for factor, run in zip(left[1:], runs[1:], strict=True):
            result += np.matmul(factor, part[:, run], out=product)
        return result

    def multiply(block: slice) -> None:
        results[:, block] = total(tiles[block]).transpose(1, 0, 2)

    if whole:
        in_blocks(multiply, len(tiles), x.size, at_most=WEIGHT_GRAD_BLOCKS)
    if whole < d:
        out[:, whole:] = total(x[None, :, whole:])[0]
