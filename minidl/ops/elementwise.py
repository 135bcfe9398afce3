"""Loops over the elements of large arrays, a cache-sized block at a time, on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning
from minidl.ops.buffers import empty
from minidl.ops.parallel import in_blocks
from minidl.ops.sums import product_sums, sum_of


def blockwise(function: Callable[..., Iterable[Array]], *arrays: Array, results: int = 1) -> list[Array]:
    """Return what `function` makes of arrays of one length, a block of their first axis at a time.

    Arguments: `function` takes the same block of each array and gives as many arrays as there are `results`, each in
    the shape of the first array's block and in its dtype. A generator that has more to give is not asked for it.

    >>> blockwise(lambda x, y: [x + y], np.ones(2), np.ones(2))
    [array([2., 2.])]
    """
    first = arrays[0]
    numbers = tuning.TUNING.formula_arrays * first.size
    if numbers <= tuning.TUNING.cache_block:
        return [result for _, result in zip(range(results), function(*arrays), strict=False)]
    outs = [empty(first.shape, first.dtype) for _ in range(results)]

    def compute(block: slice) -> None:
        for out, part in zip(outs, function(*(array[block] for array in arrays)), strict=False):
            out[block] = part

    in_blocks(compute, len(first), numbers)
    return outs


def activate(formula: Callable[[Array], Iterator[Array]], x: Array, *, with_slope: bool) -> tuple[Array, Array | None]:
    """Return what an elementwise formula makes of `x`, and its derivative there, if that is wanted.

    Arguments: `formula` yields the two for a block of numbers, the derivative second, so that it is only computed where
    it is wanted.

    >>> def square(z):
    ...     yield z * z
    ...     yield 2 * z
    >>> activate(square, np.array([[3.0]]), with_slope=True)
    (array([[9.]]), array([[6.]]))
    """
    a, *slope = blockwise(formula, x.reshape(-1), results=1 + with_slope)
    return a.reshape(x.shape), slope[0].reshape(x.shape) if with_slope else None


def rectify(x: Array, *, most: float | None = None, with_mask: bool) -> tuple[Array, Array | None]:
    """Return `max(x, 0)`, at most `most`, and where that is `x` between both as an array of booleans, if it is wanted.

    >>> rectify(np.array([-1.0, 2.0, 9.0]), most=6.0, with_mask=True)
    (array([0., 2., 6.]), array([False,  True, False]))
    """
    a = empty(x.shape, x.dtype)
    mask = empty(x.shape, np.dtype(np.bool_)) if with_mask else None
    zero = np.zeros((), x.dtype)  # 0 would be made an array by each call
    if most is None and x.size <= tuning.TUNING.cache_block:
        np.maximum(x, zero, out=a)
        return a, None if mask is None else np.greater(x, zero, out=mask)
    all_x, all_a = x.reshape(-1), a.reshape(-1)
    all_mask = None if mask is None else mask.reshape(-1)

    def rectify_block(block: slice) -> None:
        if most is None:
            np.maximum(all_x[block], zero, out=all_a[block])
        else:
            np.clip(all_x[block], zero, most, out=all_a[block])
        if all_mask is not None:
            np.greater(all_x[block], zero, out=all_mask[block])
            if most is not None:
                all_mask[block] &= all_x[block] < most

    in_blocks(rectify_block, x.size, x.size)
    return a, mask


def leak(x: Array, slope: Array) -> Array:
    """Return `x` where it is positive, else times the slope, one for all or one for each place along the last axis.

    >>> leak(np.array([[-1.0, -1.0], [1.0, -2.0]]), np.array([0.5, 0.25])).tolist()
    [[-0.5, -0.25], [1.0, -0.5]]
    """
    return rowwise(lambda z: np.where(z > 0, z, z * slope), x)


def leak_grads(x: Array, slope: Array, grad_output: Array) -> tuple[Array, Array]:
    """Return the gradients of `x` and of the slope from that of `leak(x, slope)`.

    >>> leak_grads(np.array([[-1.0], [2.0]]), np.array([0.5]), np.array([[3.0], [4.0]]))
    (array([[1.5],
           [4. ]]), array([-3.]))
    """
    x_rows, g_rows = rows_of(x), rows_of(grad_output)
    grad_input = empty(x_rows.shape, grad_output.dtype)

    def differentiate(block: slice) -> Array:
        z, g = x_rows[block], g_rows[block]
        np.multiply(g, np.where(z > 0, z.dtype.type(1), slope), out=grad_input[block])
        return product_sums(g, np.minimum(z, 0))

    numbers = tuning.TUNING.formula_arrays * x.size
    sums = sum_of(in_blocks(differentiate, len(x_rows), numbers))
    return grad_input.reshape(x.shape), sums if len(slope) > 1 else sums.sum(dtype=np.float64, keepdims=True)


def rowwise(function: Callable[..., Array], *arrays: Array) -> Array:
    """Return what `function` makes of arrays of one shape, given blocks of their rows along the last axis.

    >>> rowwise(lambda x: x - x[:, :1], np.array([[1.0, 2.0], [5.0, 7.0]])).tolist()
    [[0.0, 1.0], [0.0, 2.0]]
    """
    (result,) = blockwise(lambda *blocks: [function(*blocks)], *map(rows_of, arrays))
    return result.reshape(arrays[0].shape)


def rows_of(x: Array) -> Array:
    """Return an array as its rows along the last axis, (rows, columns).

    >>> rows_of(np.zeros((2, 3, 4))).shape
    (6, 4)
    """
    return x.reshape(math.prod(x.shape[:-1]), -1 if x.size else 0)


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
