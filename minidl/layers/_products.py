"""Products of long and narrow matrices, as stacks of small ones.

A convolution multiplies matrices of many thousand rows and few columns by a kernel, which is mostly small. A BLAS is
faster with small matrices that stay in a core's first cache, OpenBLAS by half, and multiplies them in the thread that
asks, so that other threads do the same with other samples (see `minidl._threads`). A kernel that would fill that cache
is left to the BLAS and its own threads.
"""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.module import Module

SMALL = 1 << 18  # multiplications in one product: from here on OpenBLAS calls for its threads
KERNEL = 1 << 16  # numbers of a kernel up to which stacks are the faster way
LONG = 64  # rows that a sum of products should have at least: shorter ones leave too much to add up


def stacks_pay(kernel: Array) -> bool:
    """Tell whether products with a kernel are made as stacks, and therefore on one core each."""
    return kernel.size <= KERNEL


def row_products(a: Array, b: Array, out: Array) -> None:
    """Write `a @ b` into `out`, for `a` (rows, k) and `b` (k, n): a stack of runs of rows, each times `b`."""
    if not stacks_pay(b):
        np.matmul(a, b, out=out)
        return
    rows = _power_of_two(SMALL // b.size)
    stacked = len(a) - len(a) % rows
    np.matmul(a[:stacked].reshape(-1, rows, len(b)), b, out=out[:stacked].reshape(-1, rows, b.shape[1]))
    if stacked < len(a):
        np.matmul(a[stacked:], b, out=out[stacked:])


def column_products(layer: Module, a: Array, b: Array) -> Array:
    """Return `a.T @ b` (k, n), for `a` (rows, k) and `b` (rows, n), in work arrays of `layer`.

    It is the sum over runs of rows of `a.T @ b`, each run as a stack of products for some of a's columns.
    """
    k, n = a.shape[1], b.shape[1]
    if k * n > KERNEL:
        return a.T @ b
    columns = _largest_divisor(k, max(1, SMALL // (LONG * n)))
    rows = _power_of_two(SMALL // (columns * n))
    stacked = len(a) - len(a) % rows
    left = a[:stacked].reshape(-1, rows, k // columns, columns).transpose(0, 2, 3, 1)
    right = b[:stacked].reshape(-1, 1, rows, n)
    products = layer.new_array((len(left), k // columns, columns, n), a.dtype)
    total: Array = np.matmul(left, right, out=products).sum(axis=0).reshape(k, n)
    if stacked < len(a):
        total += a[stacked:].T @ b[stacked:]
    return total


def _power_of_two(number: int) -> int:
    """Return the largest power of two that is at most `number`, at least 1."""
    return 1 << max(0, number.bit_length() - 1)


def _largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` that is at most `limit`."""
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)
