"""Operators on rows of features as layers: products, norms, and numbers that are added or multiplied."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.interchange._import_activations import Importer, per_feature
from minidl.interchange._reading import Flow, Node, Reading, Unsupported
from minidl.layers._norm import Norm
from minidl.parameter import Buffer, Parameter


def dense(weight: Array, bias: Array | None) -> layers.Dense:
    """Return a Dense with this weight (out, in)."""
    layer = layers.Dense(
        weight.shape[1], weight.shape[0], bias=bias is not None, weight_init=_given(weight), dtype=weight.dtype
    )
    if layer.bias is not None:
        layer.bias.data = np.array(bias, weight.dtype)
    return layer


def _given(array: Array) -> Any:
    return lambda _shape, _rng: np.array(array, order="C")


def _gemm(reading: Reading, node: Node) -> None:
    node.usual(transA=0)
    flow, weight = reading.flow(node[0]), reading.constant(node[1], "the second factor")
    reading.require_last(flow, 1)
    dtype = weight.dtype
    weight = dtype.type(node.attributes.get("alpha", 1.0)) * (weight if node.attributes.get("transB") else weight.T)
    bias = None
    if node[2]:
        given = reading.constant(node[2], "what is added")
        if given.size != 1 and not given.size == len(weight) == given.shape[-1]:
            raise Unsupported(f"what is added has shape {given.shape}; only one number for each feature is supported")
        bias = np.full(len(weight), dtype.type(node.attributes.get("beta", 1.0)) * given.reshape(-1))
    reading.put(node.outputs[0], flow, dense(flow.features(weight), bias), flow.axes)


def _matmul(reading: Reading, node: Node) -> None:
    flow, weight = reading.flow(node[0]), reading.constant(node[1], "the second factor")
    rank = len(reading.shape(node[0]))
    if weight.ndim != 2 or rank < 2:
        raise Unsupported(f"the second factor has shape {weight.shape}; only a matrix is supported")
    reading.require_last(flow, rank - 1)
    reading.put(node.outputs[0], flow, dense(flow.features(weight.T), None), flow.axes)


def add_constant(reading: Reading, name: str, given: str, constant: Array, sign: int = 1) -> None:
    """Make the array `name` of `given` plus a constant, in the module before it if that has no bias yet."""
    flow, layer = reading.flow(given), _without_bias(reading, given)
    if constant.size == 1 and (layer is None or reading.features_of(given) > 1):
        number = sign * constant.item()
        rescale = reading.last_module(given, layers.Rescale)
        if rescale is not None and not rescale.offset:
            return replaced(reading, name, given, layers.Rescale(rescale.scale, number, dtype=rescale.dtype))
        return reading.put(name, flow, layers.Rescale(1.0, number, dtype=constant.dtype))
    shape = reading.shape(given)
    if (
        sign == 1
        and constant.size > 1
        and flow.axes == (0, 1, 2)
        and constant.size == shape[1] * shape[2]
        and constant.shape[-2:] == shape[1:]
    ):
        positions = layers.PositionalEmbedding(shape[1], shape[2], dtype=constant.dtype)
        positions.weight = Parameter(constant.reshape(shape[1:]))
        return reading.put(name, flow, positions)
    numbers = sign * flow.features(per_feature(reading, given, constant))
    if layer is not None:
        layer.bias = Parameter(numbers)
        return reading.again(name, flow)
    return reading.put(name, flow, _normalize(-numbers, np.ones_like(numbers)))


def _without_bias(reading: Reading, name: str) -> Any:
    """Return the layer that has just made an array, if it may be given a bias, or None."""
    kinds = layers.Dense, layers.Conv1D, layers.Conv2D, layers.ConvTranspose2D
    found = [layer for layer in (reading.last_module(name, kind) for kind in kinds) if layer is not None]
    return found[0] if found and found[0].bias is None else None


def multiply_constant(reading: Reading, name: str, given: str, constant: Array, *, divide: bool = False) -> None:
    """Make the array `name` of `given` times a constant, or divided by it."""
    flow = reading.flow(given)
    with np.errstate(all="ignore"):
        is_safe = np.isfinite(constant).all() and np.isfinite(1 / constant).all()
    if not is_safe:
        raise Unsupported("it multiplies or divides by a constant that is 0, too small, or not finite")
    if constant.size == 1:
        number = 1 / constant.item() if divide else constant.item()
        rescale = reading.last_module(given, layers.Rescale)
        if rescale is not None and not rescale.offset:
            return replaced(reading, name, given, layers.Rescale(rescale.scale * number, dtype=rescale.dtype))
        return reading.put(name, flow, layers.Rescale(number, dtype=constant.dtype))
    numbers = flow.features(per_feature(reading, given, constant))
    scale = numbers if divide else 1 / numbers
    before = reading.last_module(given, layers.Normalize)
    if before is not None and (before.scale.data == 1).all():
        return replaced(reading, name, given, _normalize(before.mean.data, scale))
    return reading.put(name, flow, _normalize(np.zeros_like(scale), scale))


def replaced(reading: Reading, name: str, given: str, module: Any) -> None:
    """Put a module in the place of the last one, which made `given`."""
    flow = reading.flows[given]
    before = reading.steps[flow.step].inputs[0]
    reading.put(name, Flow(before, flow.axes, flow.order), module)


def _normalize(mean: Array, scale: Array) -> layers.Normalize:
    layer = layers.Normalize(len(mean), dtype=mean.dtype)
    layer.mean.data, layer.scale.data = mean.copy(), scale.copy()
    return layer


def _batch_norm(reading: Reading, node: Node) -> None:
    node.usual(training_mode=0, spatial=1)
    if len(node.outputs) > 1:  # as before version 14
        raise Unsupported("only its output in evaluation is supported, not the statistics of the batch")
    flow = reading.flow(node[0])
    reading.require_last(flow, 1)
    arrays = [flow.features(reading.constant(name, "a parameter")) for name in node.inputs[1:5]]
    weight, bias, mean, variance = arrays
    layer = layers.BatchNorm(
        len(mean),
        epsilon=node.attributes.get("epsilon", 1e-5),
        momentum=1 - node.attributes.get("momentum", 0.9),
        dtype=mean.dtype,
    )
    layer.running_mean.data, layer.running_variance.data = mean.copy(), variance.copy()
    reading.put(node.outputs[0], flow, _with(layer, weight, bias))


def _layer_norm(reading: Reading, node: Node) -> None:
    node.usual(stash_type=1)
    flow, rank = reading.flow(node[0]), len(reading.shape(node[0]))
    weight = reading.constant(node[1], "the scale")
    bias = reading.constant(node[2], "the bias") if node[2] else None
    axis = node.attributes.get("axis", -1) % rank
    reading.require_last(flow, axis)
    if axis != rank - 1 or weight.size != reading.features_of(node[0]) or len(flow.axes) < 2:
        raise Unsupported(f"it normalizes from axis {axis} of {rank} on; only the last one is supported")
    kind: Any = layers.LayerNorm if node.operator == "LayerNormalization" else layers.RMSNorm
    more = {"bias": bias is not None} if kind is layers.LayerNorm else {}
    layer = kind(weight.size, epsilon=node.attributes.get("epsilon", 1e-5), dtype=weight.dtype, **more)
    reading.put(
        node.outputs[0],
        flow,
        _with(layer, *(None if array is None else flow.features(array.reshape(-1)) for array in (weight, bias))),
    )


def _group_norm(reading: Reading, node: Node) -> None:
    flow, (weight, bias) = reading.flow(node[0]), (reading.constant(name, "a parameter") for name in node.inputs[1:3])
    reading.require(flow, 0, 2, 3, 1)
    channels = reading.features_of(node[0])
    groups = node.attributes.get("num_groups", channels)
    if len(weight) == groups != channels:  # as version 18 had it
        weight, bias = (np.repeat(array, channels // groups) for array in (weight, bias))
    layer = layers.GroupNorm(groups, channels, epsilon=node.attributes.get("epsilon", 1e-5), dtype=weight.dtype)
    reading.put(node.outputs[0], flow, _with(layer, weight, bias))


def _with(layer: Norm, weight: Array | None, bias: Array | None) -> Norm:
    pairs: list[tuple[Buffer | None, Array | None]] = [(layer.weight, weight), (layer.bias, bias)]
    for buffer, array in pairs:
        if buffer is not None and array is not None:
            buffer.data = np.array(array, layer.dtype)
    return layer


def embedding(reading: Reading, node: Node) -> None:
    """Make an Embedding of a constant table, whose rows the input numbers."""
    node.usual(axis=0)
    weight = reading.constant(node[0], "the table")
    if weight.ndim != 2 or node[1] not in reading.flows or weight.dtype.kind != "f":
        raise Unsupported("only rows of a table, by numbers of the input, are supported")
    flow = reading.flows[node[1]]
    if flow.axes != tuple(range(len(flow.axes))):
        raise Unsupported(f"the numbers' axes are in the order {flow.axes}")
    layer = layers.Embedding(*weight.shape, weight_init=_given(weight), dtype=weight.dtype)
    reading.put(node.outputs[0], flow, layer, (*flow.axes, len(flow.axes)))


IMPORTERS: dict[str, Importer] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _group_norm,
}
