"""Convolutions and poolings as ONNX operators, whose arrays are (batch, channels, height, width)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.interchange._graph import Exporter, Graph, Value
from minidl.layers._convolution import Convolution
from minidl.module import Module
from minidl.ops.windows import Windows


def attributes_of(windows: Windows, axes: int, *, dilated: bool = True) -> dict[str, Any]:
    """Return the attributes of ONNX for windows over pictures, or over sequences for one axis.

    >>> attributes_of(Windows((1, 3), padding=((0, 0), (2, 0))), axes=1)
    {'kernel_shape': [3], 'strides': [1], 'pads': [2, 0], 'dilations': [1]}
    """
    before, after = zip(*windows.padding[-axes:], strict=True)
    attributes = {
        "kernel_shape": list(windows.size[-axes:]),
        "strides": list(windows.stride[-axes:]),
        "pads": [*before, *after],
    }
    return attributes | ({"dilations": list(windows.dilation[-axes:])} if dilated else {})


def _convolution(graph: Graph, layer: layers.Conv1D | layers.Conv2D, x: Value) -> Value:
    x = graph.cast(x, layer.dtype)
    if graph.mask is not None and layer.axes == 1:
        x = _real_steps(graph, layer, x, graph.mask)
    first, windows = graph.channels_first(x), layer.windows
    if layer.padding == "same_upper":
        if max(windows.stride) == 1:  # no padding then depends on the size of the input
            windows = windows.same_upper(*windows.extent)
        else:
            first = _padded_same_upper(graph, first, windows, layer.axes)
    return _convolved(graph, "Conv", layer, first, attributes_of(windows, layer.axes))


def _padded_same_upper(graph: Graph, first: Value, windows: Windows, axes: int) -> Value:
    """Return (batch, channels, ...) with the padding of "same_upper", as `Windows.same_upper` computes it.

    The attribute `auto_pad` of ONNX says the same, but not all runtimes take it for dilated convolutions.
    """

    def whole(*numbers: int) -> Array:
        return np.array(numbers, np.int64)

    step, extent = whole(*windows.stride[-axes:]), whole(*windows.extent[-axes:])
    sides = graph.outputs("Shape", 1, first, start=2)[0].like(first, 1, np.int64)
    last = graph.add("Mul", graph.add("Div", graph.add("Sub", sides, whole(1)), step), step)
    missing = graph.add("Max", graph.add("Sub", graph.add("Add", last, extent), sides), whole(0))
    before = graph.add("Div", missing, whole(2))
    pads = graph.add("Concat", whole(0, 0), before, whole(0, 0), graph.add("Sub", missing, before), axis=0)
    return graph.add("Pad", first, pads)


def _transposed(graph: Graph, layer: layers.ConvTranspose2D, x: Value) -> Value:
    added = layer.output_padding
    sides = list(added) if isinstance(added, tuple) else [added, added]
    attributes = {**attributes_of(layer.windows, 2), "output_padding": sides}
    return _convolved(graph, "ConvTranspose", layer, graph.channels_first(graph.cast(x, layer.dtype)), attributes)


def _convolved(graph: Graph, operator: str, layer: Convolution, first: Value, attributes: dict[str, Any]) -> Value:
    weight = graph.weight(np.moveaxis(layer.weight.data, -1, 1), "weight")
    biases = [] if layer.bias is None else [graph.weight(layer.bias.data, "bias")]
    return graph.channels_last(graph.add(operator, first, weight, *biases, group=layer.groups, **attributes))


def _real_steps(graph: Graph, layer: Any, x: Value, mask: Value) -> Value:
    """Return sequences whose padding is 0, for a convolution that keeps the number of steps."""
    windows = layer.windows
    keeps = layer.padding == "same_upper" or windows.border[1] == windows.extent[1] - 1
    if windows.stride[1] != 1 or not keeps:
        raise graph.refuse(layer, "changes the number of steps inside a Masked, which ONNX cannot check for padding")
    return graph.add("Mul", x, graph.add("Unsqueeze", graph.cast(mask, x.dtype), np.array([2], np.int64)))


def _pooling(graph: Graph, layer: Any, x: Value) -> Value:
    axes = x.rank - 2
    if graph.mask is not None and axes == 1:
        raise graph.refuse(layer, "divides the time inside a Masked, which ONNX cannot check for padding")
    is_mean = isinstance(layer, (layers.AveragePool1D, layers.AveragePool2D))
    operator, own = ("AveragePool", {"count_include_pad": int(layer.count_padding)}) if is_mean else ("MaxPool", {})
    attributes = {**attributes_of(layer.windows, axes, dilated=False), **own}
    return graph.channels_last(graph.add(operator, graph.channels_first(x), **attributes))


def _over_pixels(operator: str) -> Exporter:
    def export(graph: Graph, _: Module, x: Value) -> Value:
        return Value(graph.add(operator, x, axes=[1, 2], keepdims=0).name, 2, x.dtype)

    return export


def _mean_over_time(graph: Graph, _: Module, x: Value) -> Value:
    if graph.mask is None:
        return Value(graph.add("ReduceMean", x, axes=[1], keepdims=0).name, 2, x.dtype)
    is_real = graph.add("Unsqueeze", graph.cast(graph.mask, x.dtype), np.array([2], np.int64))
    steps = np.array([1], np.int64)
    total = graph.add("ReduceSum", graph.add("Mul", x, is_real), steps, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", is_real, steps, keepdims=0))
    return Value(mean.name, 2, x.dtype)


def _max_over_time(graph: Graph, _: Module, x: Value) -> Value:
    if graph.mask is not None:
        is_real = graph.add("Unsqueeze", graph.mask, np.array([2], np.int64))
        x = Value(graph.add("Where", is_real, x, np.array(np.finfo(x.dtype).min, x.dtype)).name, 3, x.dtype)
    return Value(graph.add("ReduceMax", x, axes=[1], keepdims=0).name, 2, x.dtype)


def _up_sample(graph: Graph, layer: layers.UpSample2D, x: Value) -> Value:
    scales = np.array([1, 1, layer.factor, layer.factor], np.float32)
    modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.channels_last(graph.add("Resize", graph.channels_first(x), None, scales, **modes))


EXPORTERS: dict[type[Module], Exporter] = {
    layers.Conv1D: _convolution,
    layers.Conv2D: _convolution,
    layers.ConvTranspose2D: _transposed,
    layers.MaxPool1D: _pooling,
    layers.MaxPool2D: _pooling,
    layers.AveragePool1D: _pooling,
    layers.AveragePool2D: _pooling,
    layers.GlobalAveragePool2D: _over_pixels("ReduceMean"),
    layers.GlobalMaxPool2D: _over_pixels("ReduceMax"),
    layers.GlobalAveragePool1D: _mean_over_time,
    layers.GlobalMaxPool1D: _max_over_time,
    layers.UpSample2D: _up_sample,
}
