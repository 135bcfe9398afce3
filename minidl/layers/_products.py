"""Matrix products in the form that is fastest for their shape.

A BLAS is at its best with large square matrices. Long and narrow ones, as those of convolutions and small batches are,
it multiplies faster as stacks of small products that stay in a core's first cache, OpenBLAS by half. It also makes
these in the thread that asks: other threads may do the same with other samples (see `minidl._threads`), and what
comes next finds the result in its own cache.
"""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.layers._wide import SMALL, is_wide, transposed_times_wide, wide_times_transposed
from minidl.module import Module

KERNEL = 1 << 16  # numbers of a convolution's kernel up to which stacks are the faster way
LONG = 64  # rows that a sum of products should have at least: shorter ones leave too much to add up
THIN = 64  # samples in a batch, and
WEIGHT = 1 << 14, 1 << 17  # numbers of a Dense layer's weight, for which stacks are the faster way
RUN = 8  # rows of such a weight in one product


def times_transposed(x: Array, weight: Array, out: Array) -> None:
    """Write `x @ weight.T` into `out`, for `x` (batch, k) and `weight` (n, k).

    For a batch of few samples `weight @ x.T` takes OpenBLAS two thirds of the time, and is turned round at once.
    """
    if is_wide(x, len(weight)):
        wide_times_transposed(x, weight, out)
    elif len(x) > THIN or weight.size < WEIGHT[0]:
        np.matmul(x, weight.T, out=out)
    else:
        out.T[...] = np.matmul(_in_runs(weight), x.T).reshape(len(weight), len(x))


def times(g: Array, weight: Array, out: Array) -> None:
    """Write `g @ weight` into `out`, for `g` (batch, n) and `weight` (n, k)."""
    if len(weight) == 1:  # no sum: OpenBLAS would take three times as long
        np.multiply(g, weight, out=out)
    else:
        np.matmul(g, weight, out=out)


def transposed_times(g: Array, x: Array, out: Array) -> None:
    """Write `g.T @ x` into `out`, for `g` (batch, n) and `x` (batch, k)."""
    if is_wide(x, len(out)):
        transposed_times_wide(g, x, out)
    elif len(x) > THIN or out.size < WEIGHT[0]:
        np.matmul(g.T, x, out=out)
    else:
        np.matmul(_in_runs(g.T, out.size), x, out=_in_runs(out))


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
    most = min(k, max(1, SMALL // (LONG * n)))
    columns = _largest_divisor(k, most)
    if k * n > KERNEL or 2 * columns < most:
        return a.T @ b
    rows = _power_of_two(SMALL // (columns * n))
    stacked = len(a) - len(a) % rows
    left = a[:stacked].reshape(-1, rows, k // columns, columns).transpose(0, 2, 3, 1)
    right = b[:stacked].reshape(-1, 1, rows, n)
    products = layer.new_array((len(left), k // columns, columns, n), a.dtype)
    total: Array = np.matmul(left, right, out=products).sum(axis=0).reshape(k, n)
    if stacked < len(a):
        total += a[stacked:].T @ b[stacked:]
    return total


def _in_runs(weight: Array, size: int | None = None) -> Array:
    """Return a matrix as a stack of runs of its rows, or as it is where a product with it is better left in one."""
    fits = (size or weight.size) <= WEIGHT[1] and len(weight) % RUN == 0
    return weight.reshape(-1, RUN, weight.shape[1]) if fits else weight


def _power_of_two(number: int) -> int:
    """Return the largest power of two that is at most `number`, at least 1."""
    return 1 << max(0, number.bit_length() - 1)


def _largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` that is at most `limit`."""
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)
