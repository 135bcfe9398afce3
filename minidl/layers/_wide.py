"""Products of a large set of wide samples with a narrow layer, which wait for memory.

The article's 1,321 photographs are 260 MB of numbers, multiplied with 20 rows only. What takes time is to fetch them;
OpenBLAS copies them once more on the way, to where a large product would use them again. Small products take them as
they come, in one pass over the memory, on all cores.
"""

from __future__ import annotations

import math

import numpy as np

from minidl._threads import in_blocks
from minidl._typing import Array

OUTPUTS = 8, 24  # of a layer, from the least to the most,
FEATURES = 1 << 14  # of a sample, and
NUMBERS = 1 << 25  # of all samples, for which this is the faster way
ROWS, LONG_ROWS = 32, 64  # samples in one product of a forward pass and of a backward pass
TILE = 128  # features in one product of a backward pass
SMALL = 1 << 18  # multiplications in one product: from here on OpenBLAS calls for its threads


def is_wide(x: Array, outputs: int) -> bool:
    """Tell whether products of samples `x` with so many rows are the ones of this file."""
    few = OUTPUTS[0] <= outputs <= OUTPUTS[1]
    return few and x.size >= NUMBERS and x.shape[1] >= FEATURES and x.flags.c_contiguous


def wide_times_transposed(x: Array, weight: Array, out: Array) -> None:
    """Write `x @ weight.T` into `out`, as a sum over runs of features."""
    n, d = weight.shape
    tile = SMALL // (ROWS * n) // 16 * 16
    whole = d - d % tile
    tiles = weight[:, :whole].reshape(n, -1, tile).transpose(1, 2, 0)

    def multiply(block: slice) -> None:
        part = x[block]
        parts = part[:, :whole].reshape(len(part), -1, tile).transpose(1, 0, 2)
        np.matmul(parts, tiles).sum(axis=0, out=out[block])
        if whole < d:
            out[block] += part[:, whole:] @ weight[:, whole:].T

    in_blocks(multiply, len(x), x.size, at_most=math.ceil(len(x) / ROWS))


def transposed_times_wide(g: Array, x: Array, out: Array) -> None:
    """Write `g.T @ x` into `out`, run by run of features, each as a sum over runs of samples."""
    n, d = g.shape[1], x.shape[1]
    whole = d - d % TILE
    runs = [slice(start, start + LONG_ROWS) for start in range(0, len(x), LONG_ROWS)]
    left = [np.ascontiguousarray(g[run].T) for run in runs]
    tiles = x[:, :whole].reshape(len(x), -1, TILE).transpose(1, 0, 2)
    results = out[:, :whole].reshape(n, -1, TILE)

    def total(part: Array) -> Array:
        """Return the sum for some tiles (tiles, batch, features), in one piece of memory, tile by tile."""
        result: Array = np.matmul(left[0], part[:, runs[0]])
        product = np.empty_like(result)
        for factor, run in zip(left[1:], runs[1:], strict=True):
            result += np.matmul(factor, part[:, run], out=product)
        return result

    def multiply(block: slice) -> None:
        results[:, block] = total(tiles[block]).transpose(1, 0, 2)

    in_blocks(multiply, len(tiles), x.size, at_most=8)
    if whole < d:
        out[:, whole:] = total(x[None, :, whole:])[0]
