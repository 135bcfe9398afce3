"""Containers as ONNX operators: what joins the outputs of the modules in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import containers
from minidl._samples import leaves
from minidl.interchange._export_activations import scalar
from minidl.interchange._graph import Exporter, Graph, Value
from minidl.module import Module

OPERATORS = {"sum": "Add", "mean": "Add", "multiply": "Mul"}


def _row(graph: Graph, container: containers.Sequential, x: Any) -> Value:
    for i, layer in enumerate(container.layers):
        x = graph.module(layer, x, str(i))
    return x if isinstance(x, Value) else _refused_tuple(graph, container)


def _refused_tuple(graph: Graph, container: Module) -> Value:
    raise graph.refuse(container, "returns the tuple of its inputs, which is no output of a network")


def _residual(graph: Graph, container: containers.Residual, x: Any) -> Value:
    shortcut = x if container.shortcut is None else graph.module(container.shortcut, x, "shortcut")
    return graph.add("Add", *_of_one_precision(graph, [_row(graph, container, x), shortcut], x))


def _parallel(graph: Graph, container: containers.Parallel, x: Any) -> Value:
    inputs = x if isinstance(x, tuple) else [x] * len(container.branches)
    pairs = enumerate(zip(container.branches, inputs, strict=True))
    outputs = [graph.module(branch, one, str(i)) for i, (branch, one) in pairs]
    y, *others = _of_one_precision(graph, outputs, x)
    if container.merge == "concatenate":
        return graph.add("Concat", y, *others, axis=-1)
    for other in others:
        y = graph.add(OPERATORS[container.merge], y, other)
    return graph.add("Div", y, scalar(len(outputs), y)) if container.merge == "mean" else y


def _masked(graph: Graph, container: containers.Masked, x: Value) -> Value:
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)  # which holds token numbers and any padding
    number = np.array(container.padding, dtype)
    mask = Value(graph.add("Not", graph.add("Equal", graph.cast(x, dtype), number)).name, x.rank, np.dtype(bool))
    if x.rank == 3:
        any_feature = graph.add("ReduceMax", graph.cast(mask, np.dtype(np.int32)), axes=[2], keepdims=0)
        mask = graph.cast(Value(any_feature.name, 2, np.dtype(np.int32)), mask.dtype)
    with graph.masked(mask if graph.mask is None else graph.add("And", mask, graph.mask)):
        return _row(graph, container, x)


def _of_one_precision(graph: Graph, outputs: Sequence[Value], given: Any) -> list[Value]:
    """Return outputs in the lowest precision of those that are not just the input, as the containers do."""
    computed = [output for output in outputs if output not in leaves(given) and output.dtype.kind == "f"] or outputs
    dtype = min((output.dtype for output in computed), key=lambda dtype: dtype.itemsize)
    return [graph.cast(output, dtype) for output in outputs]


EXPORTERS: dict[type[Module], Exporter] = {
    containers.Sequential: _row,
    containers.TransformerBlock: _row,
    containers.Residual: _residual,
    containers.Parallel: _parallel,
    containers.Masked: _masked,
}
