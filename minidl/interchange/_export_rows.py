"""Layers that treat each row of features by itself, norms among them, as ONNX operators."""

from __future__ import annotations

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.interchange._export_activations import scalar
from minidl.interchange._graph import Exporter, Graph, Value
from minidl.layers._norm import Norm
from minidl.module import Module
from minidl.parameter import Buffer


def linear(graph: Graph, x: Value, weight: Array, bias: Buffer | None, name: str = "") -> Value:
    """Return `x W.T + b`; the weights are named `name` and `weight` or `bias`."""
    if x.rank == 2:
        biases = [] if bias is None else [graph.weight(bias.data, f"{name}bias")]
        return graph.add("Gemm", x, graph.weight(weight, f"{name}weight"), *biases, transB=1)
    y = graph.add("MatMul", x, graph.weight(weight.T, f"{name}weight"))
    return y if bias is None else graph.add("Add", y, graph.weight(bias.data, f"{name}bias"))


def _dense(graph: Graph, layer: layers.Dense, x: Value) -> Value:
    return linear(graph, graph.cast(x, layer.dtype), layer.weight.data, layer.bias)


def _flatten(graph: Graph, _: layers.Flatten, x: Value) -> Value:
    return Value(graph.add("Flatten", x, axis=1).name, 2, x.dtype)


def _dropout(_graph: Graph, _: layers.Dropout, x: Value) -> Value:
    return x


def _rescale(graph: Graph, layer: layers.Rescale, x: Value) -> Value:
    x = x if x.dtype.kind == "f" else graph.cast(x, layer.dtype)
    y = graph.add("Mul", x, scalar(layer.scale, x))
    return graph.add("Add", y, scalar(layer.offset, x)) if layer.offset else y


def _normalize(graph: Graph, layer: layers.Normalize, x: Value) -> Value:
    centred = graph.add("Sub", graph.cast(x, layer.dtype), graph.weight(layer.mean.data, "mean"))
    return graph.add("Div", centred, graph.weight(layer.scale.data, "scale"))


def _embedding(graph: Graph, layer: layers.Embedding, x: Value) -> Value:
    rows = graph.add("Gather", graph.weight(layer.weight.data, "weight"), graph.cast(x, np.dtype(np.int64)), axis=0)
    return Value(rows.name, x.rank + 1, layer.dtype)


def _batch_norm(graph: Graph, layer: layers.BatchNorm, x: Value) -> Value:
    first = graph.channels_first(graph.cast(x, layer.dtype))
    statistics = (graph.weight(getattr(layer, name).data, name) for name in ("running_mean", "running_variance"))
    y = graph.add("BatchNormalization", first, *_scale_and_shift(graph, layer), *statistics, epsilon=layer.epsilon)
    return graph.channels_last(y)


def _layer_norm(graph: Graph, layer: layers.LayerNorm, x: Value) -> Value:
    x = _in_own_precision(graph, layer, x)
    scale, shift = _scale_and_shift(graph, layer, x)
    shifts = [] if layer.bias is None else [shift]
    return graph.add("LayerNormalization", x, scale, *shifts, axis=-1, epsilon=layer.epsilon)


def _rms_norm(graph: Graph, layer: layers.RMSNorm, x: Value) -> Value:
    x = _in_own_precision(graph, layer, x)
    h = _divided_by_root_mean_square(graph, x, layer.epsilon)
    return h if layer.weight is None else graph.add("Mul", h, graph.weight(layer.weight.data, "weight"))


def _group_norm(graph: Graph, layer: layers.GroupNorm, x: Value) -> Value:
    first = graph.channels_first(_in_own_precision(graph, layer, x))
    groups = graph.reshape(first, 0, layer.groups, -1)
    centred = graph.add("Sub", groups, graph.add("ReduceMean", groups, axes=[-1], keepdims=1))
    h = _divided_by_root_mean_square(graph, centred, layer.epsilon)
    shape = graph.outputs("Shape", 1, first)[0].like(first, 1, np.int64)
    y = graph.channels_last(Value(graph.add("Reshape", h, shape).name, first.rank, first.dtype))
    y = y if layer.weight is None else graph.add("Mul", y, graph.weight(layer.weight.data, "weight"))
    return y if layer.bias is None else graph.add("Add", y, graph.weight(layer.bias.data, "bias"))


def _divided_by_root_mean_square(graph: Graph, x: Value, epsilon: float) -> Value:
    mean_square = graph.add("ReduceMean", graph.add("Mul", x, x), axes=[-1], keepdims=1)
    return graph.add("Div", x, graph.add("Sqrt", graph.add("Add", mean_square, scalar(epsilon, x))))


def _in_own_precision(graph: Graph, layer: Norm, x: Value) -> Value:
    return x if layer.weight is None and layer.bias is None else graph.cast(x, layer.dtype)


def _scale_and_shift(graph: Graph, layer: layers.BatchNorm | layers.LayerNorm, x: Value | None = None) -> list[Value]:
    """Return weight and bias, which ONNX does not leave out, in the precision of the layer or of `x`."""
    dtype = layer.dtype if x is None else x.dtype
    weight = np.ones(layer.features, dtype) if layer.weight is None else layer.weight.data
    bias = np.zeros(layer.features, dtype) if layer.bias is None else layer.bias.data
    return [graph.weight(weight, "weight"), graph.weight(bias, "bias")]


EXPORTERS: dict[type[Module], Exporter] = {
    layers.Dense: _dense,
    layers.Flatten: _flatten,
    layers.Dropout: _dropout,
    layers.Rescale: _rescale,
    layers.Normalize: _normalize,
    layers.Embedding: _embedding,
    layers.BatchNorm: _batch_norm,
    layers.LayerNorm: _layer_norm,
    layers.RMSNorm: _rms_norm,
    layers.GroupNorm: _group_norm,
}
