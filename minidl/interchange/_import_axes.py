"""Operators of ONNX that move axes or change the type of numbers, which are layers only now and then."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minidl import layers
from minidl.interchange._import_activations import Importer
from minidl.interchange._import_rows import embedding
from minidl.interchange._reading import Flow, Node, Reading, Unsupported


def _identity(reading: Reading, node: Node) -> None:
    if node.operator == "Dropout" and (len(node.outputs) > 1 or (node[2] and reading.constant(node[2], "the mode"))):
        raise Unsupported("only its output in evaluation is supported")
    reading.again(node.outputs[0], reading.flows[node[0]])


def _cast(reading: Reading, node: Node) -> None:
    before, after = (reading.kinds.get(name, np.dtype(np.float32)) for name in (node[0], node.outputs[0]))
    flow = reading.flows[node[0]]
    if before.kind in "iu" and after.kind == "f":
        if flow.is_rounded:
            raise Unsupported("floating numbers are made whole before it, for which there is no layer")
        dtype = np.float64 if after.itemsize == 8 else np.float32
        return reading.put(node.outputs[0], flow, layers.Rescale(1.0, dtype=dtype))
    if after.kind == "b" or before.kind == "b":
        raise Unsupported("truth values are not supported")
    if after.kind in "iu" and after.itemsize < 4 and not np.can_cast(before, after):
        raise Unsupported(f"{before} becomes {after}, which does not hold all its numbers")
    is_rounded = flow.is_rounded or (before.kind == "f" and after.kind in "iu")
    return reading.again(node.outputs[0], flow, is_rounded=is_rounded)


def _transpose(reading: Reading, node: Node) -> None:
    flow = reading.flows[node[0]]
    axes = node.attributes.get("perm") or list(range(len(reading.shape(node[0]))))[::-1]
    directions = None if flow.directions is None else axes.index(flow.directions)
    reading.again(node.outputs[0], flow, axes=tuple(axes.index(axis) for axis in flow.axes), directions=directions)


def _reshape(reading: Reading, node: Node) -> None:
    flow, name = reading.flows[node[0]], node.outputs[0]
    before, after = reading.shape(node[0]), reading.shape(name)
    if flow.directions is not None:
        return _merge_directions(reading, name, flow, before, after)
    moved = _moved(before, after, flow)
    if moved is not None:
        return reading.again(name, flow, axes=moved)
    is_flat = (
        len(after) == 2 and before[:1] == after[:1] and flow.axes[0] == 0 and math.prod(before) == math.prod(after)
    )
    if not is_flat or flow.order is not None:
        shapes = f"{reading.shape_text(node[0])} and {reading.shape_text(name)}"
        raise Unsupported(f"of the shapes {shapes}, the second one does not have each sample as one row")
    reading.flow(node[0])
    here = [before[axis] for axis in flow.axes[1:]]
    numbers = np.arange(math.prod(here)).reshape(here)
    order = numbers.transpose(np.argsort(flow.axes[1:])).ravel()
    reading.put(name, flow, layers.Flatten(), (0, 1))
    if (order != np.arange(len(order))).any():
        reading.again(name, reading.flows[name], order=order)
    return None


def _merge_directions(reading: Reading, name: str, flow: Flow, before: Sequence[int], after: Sequence[int]) -> None:
    """Note that the states of both directions stand in one row in the file, too."""
    axis = flow.directions or 0
    merged = (*before[:axis], before[axis] * before[flow.axes[-1]], *before[axis + 2 :])
    if flow.axes[-1] != axis + 1 or after != merged:
        raise Unsupported(f"of the shapes {before} and {after}, the second one does not have both directions in a row")
    axes = tuple(one - (one > axis) for one in flow.axes)
    reading.again(name, flow, axes=axes, directions=None)


def _squeeze(reading: Reading, node: Node) -> None:
    """Read a Squeeze or an Unsqueeze, which move axes."""
    flow, rank = reading.flows[node[0]], len(reading.shape(node[0]))
    given = reading.constant(node[1], "the axes").tolist() if node[1] else node.attributes.get("axes", [])
    if node.operator == "Unsqueeze" and flow.directions is None:
        rank += len(given)
        old = [axis for axis in range(rank) if axis not in {axis % rank for axis in given}]
        return reading.again(node.outputs[0], flow, axes=tuple(old[axis] for axis in flow.axes))
    sides = reading.shape(node[0])
    removed = [axis for axis, side in enumerate(sides) if side == 1] if not given else [a % rank for a in given]
    return _without_axes(reading, node, flow, removed)


def _without_axes(reading: Reading, node: Node, flow: Flow, removed: Sequence[int]) -> None:
    """Note that axes of length 1 are removed, which may not be axes here."""
    if flow.directions is not None:
        raise Unsupported("the states of both directions are not reshaped into one row before it")
    if not set(removed).isdisjoint(flow.axes):
        raise Unsupported(f"it removes the axes {sorted(set(removed) & set(flow.axes))}, which layers need")
    axes = tuple(axis - sum(one < axis for one in removed) for axis in flow.axes)
    reading.again(node.outputs[0], flow, axes=axes)


def _gather(reading: Reading, node: Node) -> None:
    """Read an Embedding, or the choice of the one number along an axis of length 1."""
    if node[0] in reading.constants:
        return embedding(reading, node)
    flow, index = reading.flow(node[0]), reading.constant(node[1], "the number")
    shape = reading.shape(node[0])
    axis = node.attributes.get("axis", 0) % len(shape)
    if index.ndim or shape[axis] != 1:
        raise Unsupported("only rows of a constant table, and axes of length 1, are supported")
    return _without_axes(reading, node, flow, [axis])


def _moved(before: Sequence[int], after: Sequence[int], flow: Flow) -> tuple[int, ...] | None:
    """Return where a flow's axes stand in a shape that only has other sides of length 1, None for any other shape."""
    places: dict[int, int] = {}
    j = 0
    for i, side in enumerate(before):
        if i in flow.axes:
            while j < len(after) and after[j] != side and after[j] == 1:
                j += 1
            if j == len(after) or after[j] != side:
                return None
            places[i] = j
            j += 1
        elif j < len(after) and after[j] == 1:
            j += 1
    return None if any(side != 1 for side in after[j:]) else tuple(places[axis] for axis in flow.axes)


IMPORTERS: dict[str, Importer] = {
    **dict.fromkeys(("Identity", "Dropout"), _identity),
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _squeeze),
    "Cast": _cast,
    "Gather": _gather,
    "Transpose": _transpose,
}
