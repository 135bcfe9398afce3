"""Matrix products in the form that is fastest for their shape.

A BLAS is at its best with large square matrices. Long and narrow ones, as those of convolutions and small batches are,
it multiplies faster as stacks of small products that stay in a core's first cache. It also makes small products in the
thread that asks, so that other threads may multiply other samples, and what comes next finds the result in its own
cache. Each function is a plain product in another order; `tests/test_products.py` holds it to `@`.
"""

from __future__ import annotations

import math

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning
from minidl.ops.buffers import empty
from minidl.ops.matrix_vector import matrix_vector
from minidl.ops.sums import row_sums
from minidl.ops.wide import is_thin_and_wide, is_wide, wide_forward, wide_weight_grad


def dense_forward(x: Array, weight: Array, bias: Array | None) -> Array:
    """Return `x @ weight.T + bias` for `x` (batch, ..., inputs), `weight` (outputs, inputs) and `bias` (outputs,).

    For a batch of few samples `weight @ x.T` is faster, and is transposed at once; where these are wide, tiles are.

    >>> dense_forward(np.ones((1, 2)), np.ones((3, 2)), np.ones(3)).tolist()
    [[3.0, 3.0, 3.0]]
    """
    if x.ndim > 2:
        return dense_forward(_rows(x), weight, bias).reshape(*x.shape[:-1], len(weight))
    z = empty((len(x), len(weight)), weight.dtype)
    if len(x) == 1:
        matrix_vector(weight, x.T, out=z.T)
    elif _is_small(weight.size):
        np.matmul(x, weight.T, out=z)
    elif is_wide(x, len(weight)) or is_thin_and_wide(x, len(weight)):
        wide_forward(x, weight, z)
    elif len(x) <= tuning.TUNING.few_samples:
        product = empty((len(weight), len(x)), z.dtype)
        row_products(weight, x.T, out=product)
        z.T[...] = product
    elif _is_thin(x):
        z.T[...] = np.matmul(_in_runs(weight, weight.size), x.T).reshape(len(weight), len(x))
    else:
        np.matmul(x, weight.T, out=z)
    if bias is not None:
        z += bias
    return z


def dense_input_grad(grad_output: Array, weight: Array) -> Array:
    """Return `grad_output @ weight` for `grad_output` (batch, ..., outputs) and `weight` (outputs, inputs).

    >>> dense_input_grad(np.ones((1, 3)), np.ones((3, 2))).tolist()
    [[3.0, 3.0]]
    """
    if grad_output.ndim > 2:
        return dense_input_grad(_rows(grad_output), weight).reshape(*grad_output.shape[:-1], weight.shape[1])
    grad_input = empty((len(grad_output), weight.shape[1]), weight.dtype)
    if len(weight) == 1:  # no sum: OpenBLAS would take three times as long
        np.multiply(grad_output, weight, out=grad_input)
    else:
        np.matmul(grad_output, weight, out=grad_input)
    return grad_input


def dense_weight_grad(grad_output: Array, x: Array) -> Array:
    """Return `grad_output.T @ x` for the rows of `grad_output` (batch, ..., outputs) and `x` (batch, ..., inputs).

    >>> dense_weight_grad(np.ones((1, 3)), np.ones((1, 2))).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    if x.ndim > 2:
        return dense_weight_grad(_rows(grad_output), _rows(x))
    shape = grad_output.shape[1], x.shape[1]
    if _is_small(math.prod(shape)):  # too small for the buffer pool to pay, too
        return np.matmul(grad_output.T, x, out=np.empty(shape, x.dtype))
    grad_weight = empty(shape, x.dtype)
    if is_wide(x, len(grad_weight)):
        wide_weight_grad(grad_output, x, grad_weight)
    elif _is_thin(x):
        size = grad_weight.size
        np.matmul(_in_runs(grad_output.T, size), x, out=_in_runs(grad_weight, size))
    else:
        np.matmul(grad_output.T, x, out=grad_weight)
    return grad_weight


def dense_bias_grad(grad_output: Array) -> Array:
    """Return the sum over the rows of `grad_output` (batch, ..., outputs).

    >>> dense_bias_grad(np.ones((4, 2))).tolist()
    [4.0, 4.0]
    """
    sums = row_sums(grad_output if grad_output.ndim == 2 else _rows(grad_output))
    return sums if sums.dtype == grad_output.dtype else sums.astype(grad_output.dtype)


def uses_stacks(kernel_size: int) -> bool:
    """Return whether products with a kernel of so many numbers are made as stacks, and therefore on one core each.

    >>> uses_stacks(27 * 16)
    True
    """
    return kernel_size <= tuning.TUNING.stacked_kernel


def row_products(a: Array, b: Array, out: Array) -> None:
    """Write `a @ b` into `out`, for `a` (rows, k) and `b` (k, n): a stack of runs of rows, each times `b`.

    >>> row_products(np.ones((3, 2)), np.ones((2, 1)), out := np.empty((3, 1)))
    >>> out.ravel().tolist()
    [2.0, 2.0, 2.0]
    """
    if not uses_stacks(b.size):
        np.matmul(a, b, out=out)
        return
    rows = _power_of_two(tuning.TUNING.small_product // b.size)
    stacked = len(a) - len(a) % rows
    np.matmul(a[:stacked].reshape(-1, rows, len(b)), b, out=out[:stacked].reshape(-1, rows, b.shape[1]))
    if stacked < len(a):
        np.matmul(a[stacked:], b, out=out[stacked:])


def column_products(a: Array, b: Array) -> Array:
    """Return `a.T @ b` (k, n), for `a` (rows, k) and `b` (rows, n).

    It is the sum over runs of rows of `a.T @ b`, each run as a stack of products for some of a's columns.

    >>> column_products(np.ones((3, 2)), np.ones((3, 1))).ravel().tolist()
    [3.0, 3.0]
    """
    k, n, small = a.shape[1], b.shape[1], tuning.TUNING.small_product
    most = min(k, max(1, small // (tuning.TUNING.stacked_rows * n)))
    columns = _largest_divisor(k, most)
    if not uses_stacks(k * n) or 2 * columns < most:
        return a.T @ b
    rows = _power_of_two(small // (columns * n))
    stacked = len(a) - len(a) % rows
    left = a[:stacked].reshape(-1, rows, k // columns, columns).transpose(0, 2, 3, 1)
    right = b[:stacked].reshape(-1, 1, rows, n)
    products = empty((len(left), k // columns, columns, n), a.dtype)
    total: Array = np.matmul(left, right, out=products).sum(axis=0).reshape(k, n)
    if stacked < len(a):
        total += a[stacked:].T @ b[stacked:]
    return total


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _is_small(numbers: int) -> bool:
    """Return whether a weight of so many numbers is too small for a product to be faster in another form."""
    return numbers < tuning.TUNING.thin_weight[0]


def _is_thin(x: Array) -> bool:
    return len(x) <= tuning.TUNING.thin_batch


def _in_runs(matrix: Array, weight_size: int) -> Array:
    """Return a matrix as a stack of runs of its rows, or as it is where one product is faster."""
    run = tuning.TUNING.thin_run
    fits = weight_size <= tuning.TUNING.thin_weight[1] and len(matrix) % run == 0
    return matrix.reshape(-1, run, matrix.shape[1]) if fits else matrix


def _power_of_two(number: int) -> int:
    """Return the largest power of two that is at most `number`, at least 1."""
    return 1 << max(0, number.bit_length() - 1)


def _largest_divisor(number: int, limit: int) -> int:
    """Return the largest divisor of `number` that is at most `limit`."""
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)
