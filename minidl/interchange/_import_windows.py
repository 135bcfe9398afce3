"""Convolutions and poolings of ONNX as layers, whose arrays have their channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.interchange._import_activations import Importer
from minidl.interchange._reading import Flow, Node, Reading, Unsupported

Sides = list[int]


def _channels_last(reading: Reading, name: str) -> tuple[Flow, int]:
    """Return a flow whose channels stand last, and how many axes lie between them and the batch: 1 or 2."""
    flow, rank = reading.flow(name), len(reading.shape(name))
    if rank not in (3, 4):
        raise Unsupported(f"its input has {rank} axes; only sequences and pictures are supported")
    reading.require(flow, 0, *range(2, rank), 1)
    return flow, rank - 2


def _windows(reading: Reading, node: Node, size: Sides) -> tuple[Sides, Sides, list[tuple[int, int]]]:
    """Return strides, dilations and the padding of each side, which may depend on the input's size."""
    axes, sides = len(size), reading.shape(node[0])[2:]
    strides: Sides = list(node.attributes.get("strides", [1] * axes))
    dilations: Sides = list(node.attributes.get("dilations", [1] * axes))
    pads: Sides = list(node.attributes.get("pads", [0] * 2 * axes))
    borders = list(zip(pads[:axes], pads[axes:], strict=True))
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if max(strides) > 1 and (node.operator, auto) != ("Conv", "SAME_UPPER"):
            reading.require_fixed(node[0], f"the padding that auto_pad={auto} stands for")
        extents = [dilation * (one - 1) + 1 for dilation, one in zip(dilations, size, strict=True)]
        missing = [
            max(0, (-(-side // stride) - 1) * stride + extent - side)
            for side, stride, extent in zip(sides, strides, extents, strict=True)
        ]
        up = auto == "SAME_UPPER"
        borders = [(one // 2, one - one // 2) if up else (one - one // 2, one // 2) for one in missing]
    elif auto not in ("NOTSET", "VALID"):
        raise Unsupported(f"auto_pad is {auto!r}")
    if min(map(min, borders)) < 0:
        raise Unsupported(f"the padding {pads} is negative")
    return strides, dilations, borders


def _spelled(values: Any, axes: int) -> Any:
    """Return sizes as a layer takes them: one for sequences, a tuple for pictures."""
    return values[0] if axes == 1 else tuple(values)


def _conv(reading: Reading, node: Node) -> None:
    flow, axes = _channels_last(reading, node[0])
    weight = reading.constant(node[1], "the weight")
    size = list(weight.shape[2:])
    strides, dilations, borders = _windows(reading, node, size)
    groups = node.attributes.get("group", 1)
    padding = _spelled(borders, axes)
    if node.attributes.get("auto_pad") == "SAME_UPPER":
        padding = "same_upper"
    kind: Any = layers.Conv1D if axes == 1 else layers.Conv2D
    layer = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        _spelled(size, axes),
        _spelled(strides, axes),
        padding,
        _spelled(dilations, axes),
        groups,
        bias=bool(node[2]),
        dtype=weight.dtype,
        weight_init="zeros",
    )
    _put(reading, node, flow, layer, weight)


def _put(reading: Reading, node: Node, flow: Flow, layer: Any, weight: Array) -> None:
    layer.weight.data = np.array(np.moveaxis(weight, 1, -1), order="C")
    if layer.bias is not None:
        layer.bias.data = np.array(reading.constant(node[2], "the bias"), weight.dtype)
    reading.put(node.outputs[0], flow, layer)


def _conv_transpose(reading: Reading, node: Node) -> None:
    flow, axes = _channels_last(reading, node[0])
    weight = reading.constant(node[1], "the weight")
    if axes == 1 or node.attributes.get("output_shape") or "SAME" in node.attributes.get("auto_pad", "NOTSET"):
        raise Unsupported("only pictures, and padding in numbers, are supported")
    size = list(weight.shape[2:])
    strides, dilations, borders = _windows(reading, node, size)
    groups = node.attributes.get("group", 1)
    layer = layers.ConvTranspose2D(
        weight.shape[0],
        weight.shape[1] * groups,
        _spelled(size, axes),
        _spelled(strides, axes),
        _spelled(borders, axes),
        tuple(node.attributes.get("output_padding", [0, 0])) if any(node.attributes.get("output_padding", [])) else 0,
        _spelled(dilations, axes),
        groups,
        bias=bool(node[2]),
        dtype=weight.dtype,
        weight_init="zeros",
    )
    _put(reading, node, flow, layer, weight)


def _pooling(reading: Reading, node: Node) -> None:
    if len(node.outputs) > 1:
        raise Unsupported("only the maxima are supported, not where they stand")
    flow, axes = _channels_last(reading, node[0])
    size = list(node.attributes["kernel_shape"])
    strides, dilations, borders = _windows(reading, node, size)
    if max(dilations) > 1:
        raise Unsupported(f"dilations are {dilations}; only 1 is supported")
    if node.attributes.get("ceil_mode") and max(strides) > 1:
        reading.require_fixed(node[0], "the size of the output by ceil_mode=1")
        sides = zip(reading.shape(node[0])[2:], size, strides, borders, strict=True)
        if any((side + before + after - one) % stride for side, one, stride, (before, after) in sides):
            raise Unsupported("ceil_mode is supported for sizes only that the windows divide without a rest")
    if any(max(both) >= one for both, one in zip(borders, size, strict=True)):
        raise Unsupported(f"the padding {borders} is a window or more")
    arguments = _spelled(size, axes), _spelled(strides, axes), _spelled(borders, axes)
    if node.operator == "MaxPool":
        kind: Any = layers.MaxPool1D if axes == 1 else layers.MaxPool2D
        reading.put(node.outputs[0], flow, kind(*arguments))
    else:
        kind = layers.AveragePool1D if axes == 1 else layers.AveragePool2D
        counts = bool(node.attributes.get("count_include_pad", 0))
        reading.put(node.outputs[0], flow, kind(*arguments, count_padding=counts or not any(map(any, borders))))


def _global(operator: str, axes: int) -> Any:
    kinds: dict[tuple[str, int], Any] = {
        ("mean", 1): layers.GlobalAveragePool1D,
        ("mean", 2): layers.GlobalAveragePool2D,
        ("max", 1): layers.GlobalMaxPool1D,
        ("max", 2): layers.GlobalMaxPool2D,
    }
    return kinds[operator, axes]()


def _global_pooling(reading: Reading, node: Node) -> None:
    flow, axes = _channels_last(reading, node[0])
    reading.put(node.outputs[0], flow, _global("mean" if "Average" in node.operator else "max", axes), (0, 1))


def _reduce(reading: Reading, node: Node) -> None:
    flow, rank = reading.flow(node[0]), len(reading.shape(node[0]))
    given = reading.constant(node[1], "the axes").tolist() if node[1] else node.attributes.get("axes") or range(rank)
    axes = {axis % rank for axis in given}
    if len(flow.axes) not in (3, 4) or axes != set(flow.axes[1:-1]) or flow.order is not None:
        raise Unsupported(f"only all axes between batch and features are supported, not {sorted(axes)} of {rank}")
    kept = flow.axes[0], flow.axes[-1]
    if not node.attributes.get("keepdims", 1):
        kept = tuple(axis - sum(removed < axis for removed in axes) for axis in kept)
    module = _global("mean" if node.operator == "ReduceMean" else "max", len(flow.axes) - 2)
    reading.put(node.outputs[0], flow, module, kept)


def _resize(reading: Reading, node: Node) -> None:
    flow, axes = _channels_last(reading, node[0])
    before, after = reading.shape(node[0]), reading.shape(node.outputs[0])
    how = (
        node.attributes.get("coordinate_transformation_mode", "half_pixel"),
        node.attributes.get("nearest_mode", "round_prefer_floor"),
    )
    factor = after[2] // before[2]
    is_whole = axes == 2 and after == (*before[:2], factor * before[2], factor * before[3])
    is_repeating = how in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")) or node.operator == "Upsample"
    scales = reading.constants.get(
        node[2] if len(node.inputs) > 2 else node[1], node.attributes.get("scales", [factor])
    )
    is_whole = is_whole and bool(np.all(np.asarray(scales)[-2:] == factor))
    if node.attributes.get("mode", "nearest") != "nearest" or not is_whole or not is_repeating:
        raise Unsupported("only pictures enlarged by a whole number, each pixel repeated, are supported")
    reading.put(node.outputs[0], flow, layers.UpSample2D(factor))


IMPORTERS: dict[str, Importer] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "GlobalAveragePool": _global_pooling,
    "GlobalMaxPool": _global_pooling,
    "ReduceMean": _reduce,
    "ReduceMax": _reduce,
    "Resize": _resize,
    "Upsample": _resize,
}
