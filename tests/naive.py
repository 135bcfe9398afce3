"""Convolution, pooling, normalization and recurrence as their formulas say, in loops: slow, and easy to believe."""

from __future__ import annotations

import itertools

import numpy as np

from minidl._typing import Array


def padded(x: Array, before: int, after: int, value: float = 0.0) -> Array:
    n, height, width, channels = x.shape
    result = np.full((n, before + height + after, before + width + after, channels), value, x.dtype)
    result[:, before : before + height, before : before + width] = x
    return result


def grid(x: Array, size: int, stride: int) -> tuple[int, int]:
    """Count the windows by walking: one more as long as it still fits."""
    rows = len([r for r in range(0, x.shape[1], stride) if r + size <= x.shape[1]])
    columns = len([c for c in range(0, x.shape[2], stride) if c + size <= x.shape[2]])
    return rows, columns


def convolution(x: Array, weight: Array, bias: Array | None, stride: int) -> Array:
    filters, size = weight.shape[:2]
    rows, columns = grid(x, size, stride)
    z = np.zeros((len(x), rows, columns, filters))
    for n, r, c, k in itertools.product(range(len(x)), range(rows), range(columns), range(filters)):
        window = x[n, r * stride : r * stride + size, c * stride : c * stride + size]
        z[n, r, c, k] = sum((window * weight[k]).ravel()) + (0.0 if bias is None else bias[k])
    return z


def convolution_gradients(x: Array, weight: Array, g: Array, stride: int) -> tuple[Array, Array, Array]:
    """Return dL/dx, dL/dW and dL/db: each output hands its gradient to all that it was computed from."""
    grad_x, grad_weight, grad_bias = np.zeros(x.shape), np.zeros(weight.shape), np.zeros(len(weight))
    size = weight.shape[1]
    for n, r, c, k in np.ndindex(*g.shape):
        rows, columns = slice(r * stride, r * stride + size), slice(c * stride, c * stride + size)
        grad_x[n, rows, columns] += g[n, r, c, k] * weight[k]
        grad_weight[k] += g[n, r, c, k] * x[n, rows, columns]
        grad_bias[k] += g[n, r, c, k]
    return grad_x, grad_weight, grad_bias


def max_pool(x: Array, size: int, stride: int) -> Array:
    rows, columns = grid(x, size, stride)
    y = np.zeros((len(x), rows, columns, x.shape[3]))
    for n, r, c, k in np.ndindex(*y.shape):
        y[n, r, c, k] = max(x[n, r * stride : r * stride + size, c * stride : c * stride + size, k].ravel())
    return y


def max_pool_gradient(x: Array, g: Array, size: int, stride: int) -> Array:
    """Return dL/dx: each window's gradient goes to its first maximum in reading order."""
    grad_x = np.zeros(x.shape)
    for n, r, c, k in np.ndindex(*g.shape):
        window = x[n, r * stride : r * stride + size, c * stride : c * stride + size, k].ravel().tolist()
        i, j = divmod(window.index(max(window)), size)
        grad_x[n, r * stride + i, c * stride + j, k] += g[n, r, c, k]
    return grad_x


def average_pool(x: Array, size: int, stride: int) -> Array:
    rows, columns = grid(x, size, stride)
    y = np.zeros((len(x), rows, columns, x.shape[3]))
    for n, r, c, k in np.ndindex(*y.shape):
        window = x[n, r * stride : r * stride + size, c * stride : c * stride + size, k]
        y[n, r, c, k] = sum(window.ravel()) / size**2
    return y


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
