"""Convolution, pooling, normalization and recurrence as their formulas say, in loops: slow, and easy to believe."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from minidl._typing import Array

Pair = tuple[int, int]


def padded(x: Array, vertical: Pair, horizontal: Pair, value: float = 0.0) -> Array:
    (top, bottom), (left, right) = vertical, horizontal
    n, height, width, channels = x.shape
    result = np.full((n, top + height + bottom, left + width + right, channels), value, x.dtype)
    result[:, top : top + height, left : left + width] = x
    return result


def inside(x: Array, vertical: Pair, horizontal: Pair) -> Array:
    """Return what `padded` has put a border around."""
    return x[:, vertical[0] : x.shape[1] - vertical[1], horizontal[0] : x.shape[2] - horizontal[1]]


def grid(x: Array, size: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Count the windows by walking: one more as long as its last pixel is still there."""
    rows, columns = (
        len([i for i in range(0, x.shape[1 + axis], stride[axis])
             if i + dilation[axis] * (size[axis] - 1) < x.shape[1 + axis]])
        for axis in range(2)
    )  # fmt: skip
    return rows, columns


def window(r: int, c: int, size: Pair, stride: Pair, dilation: Pair = (1, 1)) -> list[tuple[int, int, int, int]]:
    """Return the places (i, j) of a window in reading order, each with the row and column of its pixel."""
    return [
        (i, j, r * stride[0] + i * dilation[0], c * stride[1] + j * dilation[1])
        for i, j in itertools.product(range(size[0]), range(size[1]))
    ]


def taps(
    weight: Array, groups: int, grid: Pair, stride: Pair, dilation: Pair
) -> Iterator[tuple[int, int, int, tuple[int, int, int], tuple[int, int, int, int]]]:
    """Yield each product of the sum: row, column and channel of the output, those of the input, place in the weight."""
    filters, *size, width = weight.shape
    for r, c, k in itertools.product(*map(range, grid), range(filters)):
        first = k // (filters // groups) * width  # channel of the group
        for i, j, row, column in window(r, c, (size[0], size[1]), stride, dilation):
            for m in range(width):
                yield r, c, k, (row, column, first + m), (k, i, j, m)


def convolution(x: Array, weight: Array, bias: Array | None, stride: Pair, dilation: Pair, groups: int) -> Array:
    shape = grid(x, weight.shape[1:3], stride, dilation)
    z = np.zeros((len(x), *shape, len(weight))) + (0.0 if bias is None else bias)
    for r, c, k, (row, column, channel), place in taps(weight, groups, shape, stride, dilation):
        z[:, r, c, k] += weight[place] * x[:, row, column, channel]
    return z


def convolution_gradients(
    x: Array, weight: Array, g: Array, stride: Pair, dilation: Pair, groups: int
) -> tuple[Array, Array, Array]:
    """Return dL/dx, dL/dW and dL/db: each output hands its gradient to all that it was computed from."""
    grad_x, grad_weight, grad_bias = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(len(weight))
    for r, c, k, (row, column, channel), place in taps(weight, groups, g.shape[1:3], stride, dilation):
        grad_x[:, row, column, channel] += g[:, r, c, k] * weight[place]
        grad_weight[place] += sum(g[:, r, c, k] * x[:, row, column, channel])
    for k in range(len(weight)):
        grad_bias[k] = sum(g[..., k].ravel())
    return grad_x, grad_weight, grad_bias


def max_pool(x: Array, size: Pair, stride: Pair) -> Array:
    y = np.zeros((len(x), *grid(x, size, stride), x.shape[3]))
    for n, r, c, k in np.ndindex(*y.shape):
        y[n, r, c, k] = max(x[n, row, column, k] for _, _, row, column in window(r, c, size, stride))
    return y


def max_pool_gradient(x: Array, g: Array, size: Pair, stride: Pair) -> Array:
    """Return dL/dx: each window's gradient goes to its first maximum in reading order."""
    grad_x = np.zeros(x.shape)
    for n, r, c, k in np.ndindex(*g.shape):
        pixels = [(row, column) for _, _, row, column in window(r, c, size, stride)]
        values = [x[n, row, column, k] for row, column in pixels]
        row, column = pixels[values.index(max(values))]
        grad_x[n, row, column, k] += g[n, r, c, k]
    return grad_x


def average_pool(x: Array, counted: Array, g: Array | None, size: Pair, stride: Pair) -> Array:
    """Return the mean of each window's pixels that count, or dL/dx for a gradient g."""
    y = np.zeros((len(x), *grid(x, size, stride), x.shape[3]))
    grad_x = np.zeros(x.shape)
    for n, r, c, k in np.ndindex(*y.shape):
        pixels = [(row, column) for _, _, row, column in window(r, c, size, stride) if counted[0, row, column, 0]]
        for row, column in pixels:
            y[n, r, c, k] += x[n, row, column, k] / len(pixels)
            grad_x[n, row, column, k] += 0.0 if g is None else g[n, r, c, k] / len(pixels)
    return y if g is None else grad_x


def lstm_step(z: Array, cell: float) -> tuple[float, float]:
    """Return the state and the cell of one unit, from the arguments of its gates i, f, g, o."""
    i, f, o = (1 / (1 + np.exp(-z[k])) for k in (0, 1, 3))
    cell = f * cell + i * np.tanh(z[2])
    return o * np.tanh(cell), cell


def recurrent(x: Array, mask: Array, weights: list[Array], *, gru: bool, backwards: bool) -> tuple[Array, Array]:
    """Return the outputs (batch, time, units) and the last states of an LSTM or a GRU, unit by unit."""
    w_ih, w_hh, b_ih, b_hh = weights
    (n, time, _), units = x.shape, w_hh.shape[1]
    y, last = np.zeros((n, time, units)), np.zeros((n, units))
    for row in range(n):
        h, cells = np.zeros(units), np.zeros(units)
        for t in reversed(range(time)) if backwards else range(time):
            if not mask[row, t]:
                continue
            a, m = w_ih @ x[row, t] + b_ih, w_hh @ h + b_hh
            before = h.copy()
            for k in range(units):
                of_k = slice(k, None, units)
                if gru:
                    r, z = (1 / (1 + np.exp(-(a[k + gate * units] + m[k + gate * units]))) for gate in (0, 1))
                    candidate = np.tanh(a[k + 2 * units] + r * m[k + 2 * units])
                    h[k] = (1 - z) * candidate + z * before[k]
                else:
                    h[k], cells[k] = lstm_step((a + m)[of_k], cells[k])
            y[row, t] = h
        last[row] = h
    return y, last


def normalized(values: Array, epsilon: float) -> Array:
    """Normalize one list of numbers."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return np.array([(value - mean) / (variance + epsilon) ** 0.5 for value in values])
