"""The article's network as the article writes it: plain functions, samples in columns, nothing shared with minidl.

`A` of layer l is (units, samples); `W` (units, units before), `b` (units, 1). Layer numbers start at 1.
"""

from __future__ import annotations

import numpy as np

from minidl._typing import Array

Parameters = dict[str, Array]


def model_forward(x: Array, parameters: Parameters) -> tuple[Array, list[tuple[Array, Array]]]:
    """Return A of the last layer, and (A of the layer before, Z) of each layer."""
    caches = []
    a, layers = x, len(parameters) // 2
    for layer in range(1, layers + 1):
        z = np.dot(parameters[f"W{layer}"], a) + parameters[f"b{layer}"]
        caches.append((a, z))
        a = np.maximum(0, z) if layer < layers else 1 / (1 + np.exp(-z))
    return a, caches


def compute_cost(a_last: Array, y: Array) -> float:
    m = y.shape[1]
    return float(np.squeeze(-np.sum(y * np.log(a_last) + (1 - y) * np.log(1 - a_last)) / m))


def model_backward(a_last: Array, y: Array, caches: list[tuple[Array, Array]], parameters: Parameters) -> Parameters:
    gradients = {}
    m, layers = y.shape[1], len(caches)
    d_a = -(np.divide(y, a_last) - np.divide(1 - y, 1 - a_last))
    for layer in range(layers, 0, -1):
        a_before, z = caches[layer - 1]
        if layer == layers:
            s = 1 / (1 + np.exp(-z))
            d_z = d_a * s * (1 - s)
        else:
            d_z = np.array(d_a, copy=True)
            d_z[z <= 0] = 0
        gradients[f"W{layer}"] = np.dot(d_z, a_before.T) / m
        gradients[f"b{layer}"] = np.sum(d_z, axis=1, keepdims=True) / m
        d_a = np.dot(parameters[f"W{layer}"].T, d_z)
    return gradients


def train(x: Array, y: Array, parameters: Parameters, learning_rate: float, iterations: int) -> list[float]:
    """Run the article's loop, changing `parameters`, and return the cost before each update."""
    costs = []
    for _ in range(iterations):
        a_last, caches = model_forward(x, parameters)
        costs.append(compute_cost(a_last, y))
        gradients = model_backward(a_last, y, caches, parameters)
        for name, gradient in gradients.items():
            parameters[name] = parameters[name] - learning_rate * gradient
    return costs
