"""Operators of ONNX that join several arrays or a constant and an array, and those that are recurrent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.interchange._import_activations import Importer
from minidl.interchange._import_network import ErrorFunction
from minidl.interchange._import_rows import add_constant, multiply_constant
from minidl.interchange._reading import Flow, Node, Reading, Step, Unsupported


def _arithmetic(reading: Reading, node: Node) -> None:
    """Read an Add, Sub, Mul or Div of two arrays, or a Sum or Mean of any number."""
    name, first, second = node.outputs[0], node[0], node[1]
    if len(node.inputs) == 1:
        return reading.again(name, reading.flow(first))
    if len(node.inputs) == 2 and (first in reading.constants) != (second in reading.constants):
        return _with_constant(reading, node, name, first, second)
    if node.operator == "Div":
        raise Unsupported("only division by a constant is supported")
    if node.operator == "Sub":
        return join(reading, name, [first, _negative(reading, name, second)], "sum")
    merges = {"Add": "sum", "Sum": "sum", "Mean": "mean", "Mul": "multiply"}
    return join(reading, name, node.inputs, merges[node.operator])


def _negative(reading: Reading, name: str, given: str) -> str:
    """Add a module for the negative of an array, which the array `name` alone is made of; return what it is called."""
    negative = f"{name}, negative"
    reading.put(negative, reading.flow(given), layers.Rescale(-1.0))
    reading.shapes[negative], reading.uses[negative] = reading.shape(given), 1
    return negative


def _with_constant(reading: Reading, node: Node, name: str, first: str, second: str) -> None:
    given, other = (second, first) if first in reading.constants else (first, second)
    constant = reading.constant(other, "it")
    if constant.ndim > len(reading.shape(given)):
        raise Unsupported(
            f"a constant of shape {constant.shape} has more axes than the array {reading.shape_text(given)}"
        )
    if node.operator in ("Add", "Sum"):
        return add_constant(reading, name, given, constant)
    if node.operator == "Mul":
        return multiply_constant(reading, name, given, constant)
    if node.operator == "Sub" and given == second:
        return add_constant(reading, name, _negative(reading, name, given), constant)
    if given == second or node.operator == "Mean":
        raise Unsupported("a constant before the array is not supported")
    if node.operator == "Sub":
        return add_constant(reading, name, given, constant, sign=-1)
    return multiply_constant(reading, name, given, constant, divide=True)


def _error_function(reading: Reading, node: Node) -> None:
    reading.put(node.outputs[0], reading.flow(node[0]), ErrorFunction())


def _concat(reading: Reading, node: Node) -> None:
    flows = [reading.flow(name) for name in node.inputs]
    axis = node.attributes["axis"] % len(reading.shape(node[0]))
    for flow in flows:
        reading.require_last(flow, axis)
    if len(flows[0].axes) < 2:
        raise Unsupported("the axis of samples is not supported")
    if len(flows) == 1:
        return reading.again(node.outputs[0], flows[0])
    orders, start = [], 0
    for name, flow in zip(node.inputs, flows, strict=True):
        width = reading.features_of(name)
        orders.append(start + (np.arange(width) if flow.order is None else flow.order))
        start += width
    order = None if all(flow.order is None for flow in flows) else np.concatenate(orders)
    return join(reading, node.outputs[0], node.inputs, "concatenate", order)


def join(reading: Reading, name: str, given: Sequence[str], merge: str, order: Array | None = None) -> None:
    """Add a step that merges several arrays of one shape; for a concatenation, their features have an `order`."""
    flows = [reading.flow(one) for one in given]
    first = flows[0]
    shapes = [reading.shape(one) for one in given]
    if merge != "concatenate":
        order = first.order
        if len(set(shapes)) > 1:
            raise Unsupported(
                f"arrays of the shapes {', '.join(map(reading.shape_text, given))} are not supported together"
            )
        if any(not np.array_equal(_or_none(flow.order), _or_none(order)) for flow in flows):
            raise Unsupported("its inputs have their features in different orders")
    if any(flow.axes != first.axes for flow in flows):
        raise Unsupported("its inputs have their axes in different orders")
    reading.steps.append(Step(tuple(flow.step for flow in flows), merge=merge))
    reading.flows[name] = Flow(len(reading.steps) - 1, first.axes, order)


def _or_none(order: Array | None) -> Array:
    return np.zeros(0) if order is None else order


def _recurrent(reading: Reading, node: Node) -> None:
    gates, blocks, kind = {"LSTM": (4, [0, 2, 3, 1], layers.LSTM), "GRU": (3, [1, 0, 2], layers.GRU)}[node.operator]
    _check_recurrent(reading, node)
    used = [i for i, name in enumerate(node.outputs) if reading.uses.get(name, 0)]
    if len(used) != 1 or used[0] > 1:
        raise Unsupported("only its states after all steps, or the last one, are supported, not several outputs")
    flow, batch_first = reading.flow(node[0]), bool(node.attributes.get("layout", 0))
    reading.require(flow, *((0, 1, 2) if batch_first else (1, 0, 2)))
    w, r = (reading.constant(name, "a weight") for name in node.inputs[1:3])
    biases = reading.constant(node[3], "the bias") if node[3] else np.zeros((len(w), 2 * w.shape[1]), w.dtype)
    is_both, returns_all = len(w) == 2, used[0] == 0
    layer: Any = kind(w.shape[2], r.shape[2], return_sequence=returns_all, bidirectional=is_both, rng=0, dtype=w.dtype)
    for i, direction in enumerate(["", "_reverse"][: len(w)]):
        arrays = {"weight_ih": w[i], "weight_hh": r[i]}
        arrays["bias_ih"], arrays["bias_hh"] = np.split(biases[i], 2)
        for name, array in arrays.items():
            parts = np.split(array, gates)
            getattr(layer, f"{name}_l0{direction}").data = np.concatenate([parts[block] for block in blocks])
    axes = ((0, 1, 3) if batch_first else (2, 0, 3)) if returns_all else ((0, 2) if batch_first else (1, 2))
    name = node.outputs[used[0]]
    reading.put(name, flow, layer, axes)
    if is_both:  # its axis is the one that is left
        (axis,) = set(range(len(axes) + 1)) - set(axes)
        reading.again(name, reading.flows[name], directions=axis)


def _check_recurrent(reading: Reading, node: Node) -> None:
    """Raise Unsupported for what the layers do not have: other directions, activations, states and lengths."""
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}[node.operator]
    if node.attributes.get("direction") == "bidirectional":
        node.usual(activations=usual * 2)
    else:
        node.usual(direction="forward", activations=usual)
    node.usual(clip=0.0, input_forget=0)
    if node.operator == "GRU" and not node.attributes.get("linear_before_reset"):
        raise Unsupported("linear_before_reset is 0; only 1 is supported")
    for i, what in ((4, "sequence_lens"), (5, "initial_h"), (6, "initial_c"), (7, "P")):
        if node[i] and (i == 4 or reading.constant(node[i], what).any()):
            raise Unsupported(f"{what} is not supported")


IMPORTERS: dict[str, Importer] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum", "Mean"), _arithmetic),
    **dict.fromkeys(("LSTM", "GRU"), _recurrent),
    "Concat": _concat,
    "Erf": _error_function,
}
