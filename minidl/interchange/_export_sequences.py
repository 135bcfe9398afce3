"""Layers whose steps have a part in each other's output, as ONNX operators."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.interchange._export_activations import scalar
from minidl.interchange._export_rows import linear
from minidl.interchange._graph import Exporter, Graph, Value
from minidl.interchange._package import onnx_package
from minidl.layers._recurrent import Recurrent
from minidl.module import Module

WHOLE = np.dtype(np.int64)
AXIS = [np.array([axis], WHOLE) for axis in range(4)]
OPERATORS: dict[int, tuple[str, list[int], dict[str, int]]] = {
    4: ("LSTM", [0, 3, 1, 2], {}),
    3: ("GRU", [1, 0, 2], {"linear_before_reset": 1}),
}
"""The operator for a layer of so many gates, where its gates stand here (i, o, f, c of i, f, g, o; z, r, h of r, z, n),
and what else makes it the same."""


def _time(graph: Graph, x: Value) -> Value:
    """Return the number of steps of (batch, time, ...), as an array of one number."""
    return graph.outputs("Shape", 1, x, start=1, end=2)[0].like(x, 1, WHOLE)


def _steps(graph: Graph, x: Value) -> Value:
    """Return the numbers 0, 1, 2, ... of the steps of (batch, time, ...)."""
    one = onnx_package().numpy_helper.from_array(np.array([1], WHOLE))
    ones = graph.add("ConstantOfShape", _time(graph, x), value=one)
    return graph.add("CumSum", ones, np.array(0, WHOLE), exclusive=1)


def _positional(graph: Graph, layer: layers.PositionalEmbedding, x: Value) -> Value:
    x = x if layer.weight is None else graph.cast(x, layer.dtype)
    table = layer._sinusoids(0, layer.length).astype(x.dtype) if layer.weight is None else layer.weight.data
    # Rows by number, not a slice: a sequence that is too long is then an error.
    return graph.add("Add", x, graph.add("Gather", graph.weight(table, "weight"), _steps(graph, x), axis=0))


def _attention(graph: Graph, layer: layers.SelfAttention, x: Value) -> Value:
    x = graph.cast(x, layer.dtype)
    qkv = linear(graph, x, layer.in_proj_weight.data, layer.in_proj_bias, "in_proj_")
    q, k, v = (part.like(x) for part in graph.outputs("Split", 3, qkv, axis=2))
    width = layer.features // layer.heads

    def heads(part: Value, *axes: int) -> Value:
        return graph.transpose(graph.reshape(part, 0, 0, layer.heads, width), *axes)

    q = graph.add("Mul", heads(q, 0, 2, 1, 3), scalar(1 / math.sqrt(width), x))
    scores = graph.add("MatMul", q, heads(k, 0, 2, 3, 1))
    weights = _softmax(graph, scores, _seen(graph, layer, x))
    joined = graph.transpose(graph.add("MatMul", weights, heads(v, 0, 2, 1, 3)), 0, 2, 1, 3)
    return graph.module(layer.out_proj, graph.reshape(joined, 0, 0, -1), "out_proj")


def _seen(graph: Graph, layer: layers.SelfAttention, x: Value) -> Value | None:
    """Return which steps each one sees, as truth values like the scores; None where it sees all."""
    real = None if graph.mask is None else graph.add("Unsqueeze", graph.mask, np.array([1, 2], WHOLE))
    if not layer.causal:
        return real
    steps = _steps(graph, x)
    columns, rows = (graph.add("Unsqueeze", steps, AXIS[axis]) for axis in (0, 1))
    earlier = Value(graph.add("LessOrEqual", columns, rows).name, 2, np.dtype(bool))
    return earlier if real is None else graph.add("And", real, earlier)


def _softmax(graph: Graph, scores: Value, seen: Value | None) -> Value:
    if seen is None:
        return graph.add("Softmax", scores, axis=-1)
    lowest = np.array(np.finfo(scores.dtype).min, scores.dtype)
    hidden = Value(graph.add("Where", seen, scores, lowest).name, scores.rank, scores.dtype)
    # A step that sees nothing gets 0, as here, not the mean of all.
    return graph.add("Mul", graph.add("Softmax", hidden, axis=-1), graph.cast(seen, scores.dtype))


def _recurrent(graph: Graph, layer: Recurrent, x: Value) -> Value:
    x = graph.cast(x, layer.dtype)
    real = None if graph.mask is None else _real_steps(graph, graph.mask, x)
    rows = x if real is None else graph.add("GatherND", x, real.order, batch_dims=1)
    directions = ["", "_reverse"] if layer.bidirectional else [""]
    operator, blocks, own = OPERATORS[layer.gate_count]
    sequence, last = graph.outputs(
        operator,
        2,
        graph.transpose(rows, 1, 0, 2),
        *_weights(graph, layer, directions, blocks),
        None if real is None else real.lengths,
        hidden_size=layer.units,
        direction="bidirectional" if layer.bidirectional else "forward",
        **own,
    )
    if not layer.return_sequence:
        return graph.reshape(graph.transpose(last.like(x), 1, 0, 2), 0, -1)
    y = graph.reshape(graph.transpose(sequence.like(x, 4), 2, 0, 1, 3), 0, 0, -1)
    if real is None:
        return y
    return graph.add("Mul", graph.add("GatherND", y, real.places, batch_dims=1), real.is_real)


def _weights(graph: Graph, layer: Recurrent, directions: list[str], blocks: list[int]) -> list[Value]:
    """Return W, R and B of ONNX, of which B are both biases in a row."""

    def gates(array: Array) -> Array:
        return np.concatenate([np.split(array, layer.gate_count)[block] for block in blocks])

    def stacked(name: str) -> Array:
        return np.stack([gates(getattr(layer, name + direction).data) for direction in directions])

    biases = np.concatenate([stacked("bias_ih_l0"), stacked("bias_hh_l0")], axis=1)
    arrays = {"weight_ih_l0": stacked("weight_ih_l0"), "weight_hh_l0": stacked("weight_hh_l0"), "bias_l0": biases}
    return [graph.weight(array, name) for name, array in arrays.items()]


@dataclass(frozen=True)
class _RealSteps:
    """Where real steps are, which operators of ONNX want to have before all padding."""

    order: Value
    """(batch, time, 1) of the steps' numbers, the real ones first."""
    lengths: Value
    """(batch,) of how many are real."""
    places: Value
    """(batch, time, 1) of where each real step has gone."""
    is_real: Value
    """(batch, time, 1) of ones, and of zeros for padding."""


def _real_steps(graph: Graph, mask: Value, x: Value) -> _RealSteps:
    whole = graph.cast(mask, WHOLE)
    time, steps = _time(graph, mask), _steps(graph, mask)
    # Numbers that fall from step to step, and are larger for real ones.
    keys = graph.add("Sub", graph.add("Mul", whole, time), steps)
    _, order = graph.outputs("TopK", 2, keys, time, axis=1)
    before = graph.add("Sub", graph.add("CumSum", whole, np.array(1, WHOLE)), np.array(1, WHOLE))
    places = graph.add("Max", before, np.array(0, WHOLE))
    return _RealSteps(
        order=graph.add("Unsqueeze", order.like(whole), AXIS[2]),
        lengths=graph.cast(graph.add("ReduceSum", whole, AXIS[1], keepdims=0), np.dtype(np.int32)),
        places=graph.add("Unsqueeze", places, AXIS[2]),
        is_real=graph.add("Unsqueeze", graph.cast(mask, x.dtype), AXIS[2]),
    )


EXPORTERS: dict[type[Module], Exporter] = {
    layers.PositionalEmbedding: _positional,
    layers.SelfAttention: _attention,
    layers.LSTM: _recurrent,
    layers.GRU: _recurrent,
}
