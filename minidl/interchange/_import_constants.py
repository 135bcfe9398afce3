"""The part of an ONNX model that one output needs, with all shapes, and with all that is constant computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl.interchange._package import onnx_package

SIDES = (97, 89, 83, 79, 73, 71)  # lengths for sides that the file leaves open; the batch's first
RANDOM = ("Random", "Bernoulli", "Multinomial")  # how the names of operators begin that are no constants


def only(proto: Any, output: str, longer: int) -> Any:
    """Return a copy of the model with what one output needs, and with lengths for all sides of its inputs."""
    graph, needed, nodes = proto.graph, {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    copy = type(proto)()
    copy.CopyFrom(proto)
    del copy.graph.node[:], copy.graph.value_info[:], copy.graph.output[:], copy.graph.input[:]
    copy.graph.node.extend(nodes[::-1])
    copy.graph.output.extend(info for info in graph.output if info.name == output)
    copy.graph.input.extend(info for info in graph.input if info.name in needed)
    for info in copy.graph.input:
        for side, number in zip(info.type.tensor_type.shape.dim, SIDES, strict=False):
            if not side.HasField("dim_value"):
                side.dim_value = number + longer  # a batch of any size, or a time of any length
    for info in copy.graph.output:
        info.type.tensor_type.ClearField("shape")
    return copy


def folded(proto: Any) -> Any:
    """Return the model with the shapes of all arrays, and with constants for operators that depend on no input."""
    onnx = onnx_package()
    while True:
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        shapes = known_shapes(proto)
        kept = []
        for node in proto.graph.node:
            found = _computed(proto, node, constants, shapes)
            if found is None:
                kept.append(node)
                continue
            constants.update(found)
            tensors = (onnx.numpy_helper.from_array(array, name) for name, array in found.items())
            proto.graph.initializer.extend(tensors)
        if len(kept) == len(proto.graph.node):
            return proto
        del proto.graph.node[:]
        proto.graph.node.extend(kept)


def known_shapes(proto: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes that a model gives for its arrays, where no side is left open."""
    shapes = {}
    for info in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
        sides = info.type.tensor_type.shape.dim
        if info.type.tensor_type.HasField("shape") and all(side.HasField("dim_value") for side in sides):
            shapes[info.name] = tuple(side.dim_value for side in sides)
    return shapes


def _computed(
    proto: Any, node: Any, constants: dict[str, Array], shapes: dict[str, tuple[int, ...]]
) -> dict[str, Array] | None:
    """Return the outputs of an operator on constants, or on a shape; None for any other, and where it fails."""
    if node.op_type == "Shape" and node.input[0] in shapes:
        options = {attribute.name: attribute.i for attribute in node.attribute}
        sides = shapes[node.input[0]][options.get("start", 0) : options.get("end")]
        return {node.output[0]: np.array(sides, np.int64)}
    names = sorted({name for name in node.input if name})
    if node.op_type.startswith(RANDOM) or not all(name in constants for name in names):
        return None
    from onnx.reference import ReferenceEvaluator

    helper, outputs = onnx_package().helper, [name for name in node.output if name]
    infos = ([helper.make_empty_tensor_value_info(name) for name in part] for part in (names, outputs))
    model = helper.make_model(helper.make_graph([node], "constant", *infos), opset_imports=proto.opset_import)
    try:
        found = ReferenceEvaluator(model).run(None, {name: constants[name] for name in names})
    except Exception:  # of any kind, as the operator may be any; it is then named as one that is not supported
        return None
    return dict(zip(outputs, map(np.asarray, found), strict=True))
