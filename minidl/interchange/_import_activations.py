"""Activations of ONNX as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minidl import layers
from minidl.interchange._reading import Node, Reading, Unsupported
from minidl.layers.elu import SELU_ALPHA, SELU_SCALE
from minidl.module import Module

Importer: TypeAlias = Callable[[Reading, Node], None]
"""A function that makes modules of an operator, or raises Unsupported."""


def _pointwise(make: Callable[..., Module], **defaults: Any) -> Importer:
    """Return the importer of an activation whose attributes are arguments of its layer, in this order."""

    def read(reading: Reading, node: Node) -> None:
        arguments = (node.attributes.get(name, value) for name, value in defaults.items())
        reading.put(node.outputs[0], reading.flow(node[0]), make(*arguments))

    return read


def _along_features(make: Callable[[], Module]) -> Importer:
    def read(reading: Reading, node: Node) -> None:
        flow, rank = reading.flow(node[0]), len(reading.shape(node[0]))
        # Until version 13, everything from the axis on was one row.
        axis = node.attributes.get("axis", -1 if reading.opset >= 13 else 1) % rank
        reading.require_last(flow, axis)
        if len(flow.axes) < 2 or (reading.opset < 13 and axis != rank - 1):
            raise Unsupported(f"axis {axis} of {rank} axes is not supported")
        reading.put(node.outputs[0], flow, make())

    return read


def _selu(reading: Reading, node: Node) -> None:
    received = node.attributes.get("alpha", SELU_ALPHA), node.attributes.get("gamma", SELU_SCALE)
    if not np.allclose(received, (SELU_ALPHA, SELU_SCALE), rtol=1e-6):
        raise Unsupported(f"alpha and gamma are {received}; only those of self-normalizing networks are supported")
    reading.put(node.outputs[0], reading.flow(node[0]), layers.SELU())


def _clip(reading: Reading, node: Node) -> None:
    bounds = [node.attributes.get("min"), node.attributes.get("max")]
    for i in (0, 1):
        if node[i + 1]:
            bounds[i] = float(reading.constant(node[i + 1], "a bound").item())
    low, high = bounds
    if low != 0 or high not in (6, None):
        raise Unsupported(f"the bounds are {low} and {high}; only 0 and 6, and 0 alone, are supported")
    reading.put(node.outputs[0], reading.flow(node[0]), layers.ReLU() if high is None else layers.ReLU6())


def _prelu(reading: Reading, node: Node) -> None:
    flow, slope = reading.flow(node[0]), reading.constant(node[1], "the slope")
    if slope.size > 1:
        slope = flow.features(per_feature(reading, node[0], slope))
    layer = layers.PReLU(slope.size, dtype=slope.dtype)
    layer.weight.data = slope.reshape(-1).copy()
    reading.put(node.outputs[0], flow, layer)


def per_feature(reading: Reading, name: str, array: Any) -> Any:
    """Return a constant that is broadcast to an array of the file as one number for each feature.

    Raises: Unsupported where it is something else.
    """
    shape, axis = reading.shape(name), reading.flows[name].axes[-1]
    sides = (*[1] * (len(shape) - array.ndim), *array.shape)
    if len(shape) < 2 or len(sides) != len(shape) or array.size != shape[axis] or sides[axis] != array.size:
        raise Unsupported(
            f"a constant of shape {array.shape} is not one number for each feature of {reading.shape_text(name)}"
        )
    return array.reshape(-1)


def _swish(reading: Reading, node: Node) -> None:
    node.usual(alpha=1.0)
    reading.put(node.outputs[0], reading.flow(node[0]), layers.SiLU())


IMPORTERS: dict[str, Importer] = {
    "Relu": _pointwise(layers.ReLU),
    "Sigmoid": _pointwise(layers.Sigmoid),
    "Tanh": _pointwise(layers.Tanh),
    "Softplus": _pointwise(layers.Softplus),
    "HardSwish": _pointwise(layers.HardSwish),
    "Elu": _pointwise(layers.ELU, alpha=1.0),
    "LeakyRelu": _pointwise(layers.LeakyReLU, alpha=0.01),
    "Gelu": _pointwise(layers.GELU, approximate="none"),
    "Swish": _swish,
    "Selu": _selu,
    "Clip": _clip,
    "PRelu": _prelu,
    "Softmax": _along_features(layers.Softmax),
    "LogSoftmax": _along_features(layers.LogSoftmax),
}
