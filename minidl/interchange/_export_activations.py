"""Activations as ONNX operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import layers
from minidl.interchange._graph import Exporter, Graph, Value
from minidl.layers.gelu import CUBIC, SCALE
from minidl.module import Module


def scalar(number: float, x: Value) -> Any:
    """Return a number in the type of `x`."""
    return np.array(number, x.dtype)


def _operator(name: str) -> Exporter:
    """Return the exporter of an activation that is one operator of ONNX."""
    return lambda graph, _, x: graph.pointwise(name, x)


def _silu(graph: Graph, _: layers.SiLU, x: Value) -> Value:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _relu6(graph: Graph, _: layers.ReLU6, x: Value) -> Value:
    return graph.pointwise("Clip", x, scalar(0, x), scalar(6, x))


def _prelu(graph: Graph, layer: layers.PReLU, x: Value) -> Value:
    return graph.add("PRelu", graph.cast(x, layer.dtype), graph.weight(layer.weight.data, "weight"))


def _gelu(graph: Graph, layer: layers.GELU, x: Value) -> Value:
    if layer.approximate == "none":
        inside = graph.add("Erf", graph.add("Mul", x, scalar(math.sqrt(0.5), x)))
    else:
        square = graph.add("Mul", x, x)
        slope = graph.add("Add", graph.add("Mul", square, scalar(SCALE * CUBIC, x)), scalar(SCALE, x))
        inside = graph.add("Tanh", graph.add("Mul", x, slope))
    doubled = graph.add("Mul", x, graph.add("Add", inside, scalar(1, x)))
    return graph.add("Mul", doubled, scalar(0.5, x))


EXPORTERS: dict[type[Module], Exporter] = {
    layers.ReLU: _operator("Relu"),
    layers.Sigmoid: _operator("Sigmoid"),
    layers.Tanh: _operator("Tanh"),
    layers.Softplus: _operator("Softplus"),
    layers.SELU: _operator("Selu"),
    layers.HardSwish: _operator("HardSwish"),
    layers.Softmax: lambda graph, _, x: graph.add("Softmax", x, axis=-1),
    layers.LogSoftmax: lambda graph, _, x: graph.add("LogSoftmax", x, axis=-1),
    layers.LeakyReLU: lambda graph, layer, x: graph.pointwise("LeakyRelu", x, alpha=layer.negative_slope),
    layers.ELU: lambda graph, layer, x: graph.pointwise("Elu", x, alpha=layer.alpha),
    layers.PReLU: _prelu,
    layers.ReLU6: _relu6,
    layers.SiLU: _silu,
    layers.GELU: _gelu,
}
