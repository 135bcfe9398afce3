"""from_onnx: an ONNX file as a network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from minidl._files import FilePath
from minidl._validation import shown
from minidl.architecture import describe
from minidl.errors import ModelFileError
from minidl.interchange import (
    _import_activations,
    _import_axes,
    _import_joins,
    _import_rows,
    _import_windows,
)
from minidl.interchange._import_activations import Importer
from minidl.interchange._import_constants import folded, known_shapes, only
from minidl.interchange._import_file import opset_of, read_model
from minidl.interchange._import_network import network_of
from minidl.interchange._package import onnx_package
from minidl.interchange._reading import Flow, Node, Reading, Step, Unsupported, WrongOrder
from minidl.module import Module

LONGER = 256  # what is added to the lengths of open sides: more than the strides of a network multiply to

IMPORTERS: dict[str, Importer] = {
    **_import_activations.IMPORTERS,
    **_import_rows.IMPORTERS,
    **_import_windows.IMPORTERS,
    **_import_axes.IMPORTERS,
    **_import_joins.IMPORTERS,
}


def from_onnx(path: FilePath, output: str | None = None) -> Module:
    """Return the network of an ONNX file, to run and to train without ONNX: rows of layers, shortcuts and branches.

    The network is made of the layers of minidl, so that `save` writes it; it is returned in evaluation mode. Its
    arrays have the axes of minidl: where convolutions, poolings and norms read pictures (batch, channels, height,
    width), the network takes, and returns, (batch, height, width, channels), and of recurrent layers' inputs the batch
    comes first. Sides of length 1 that a global pooling leaves, or an Unsqueeze adds, are dropped. All else is as it is
    in the file. Training changes the weights of layers, but not numbers that the file adds or multiplies otherwise; of
    a weight that several operators share, each layer has a copy of its own. A file written for evaluation has no
    Dropout.

    Arguments: `output` is the name of the output that is wanted, needed only where the file has several.

    Raises: ImportError without the package onnx; OSError where the file cannot be read; ModelFileError naming, all at
    once, operators that minidl has no layer for, and how those that it has are used differently; for a file that is
    no ONNX model, older than version 7 of the operators, or newer than the package onnx; for branches that are not
    nested; and for an `output` that is not there.

    >>> import tempfile
    >>> from minidl import mlp
    >>> from minidl.interchange import to_onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(mlp([2, 3, 1]), f"{folder}/xor.onnx")
    ...     from_onnx(f"{folder}/xor.onnx")
    Sequential(Dense(2 -> 3), ReLU(), Dense(3 -> 1), Sigmoid())
    """
    proto = read_model(path)
    try:
        output = _output_of(proto, output)
        part, longer = (folded(only(proto, output, more)) for more in (0, LONGER))
        del proto  # as large as all weights together
        network = _network(part, output, known_shapes(longer))
        # What has been computed from the lengths that stand for open ones must not be in the network.
        if not _is_same(network, _network(longer, output, known_shapes(part))):
            raise ModelFileError("some weights or sizes depend on the length of a side that the file leaves open")
        return network.eval()
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None


def onnx_metadata(path: FilePath) -> dict[str, Any]:
    """Return the metadata of an ONNX file: what `to_onnx` was given, and as strings what is not JSON.

    Raises: as `from_onnx` does for a file that is no ONNX model.

    >>> import tempfile
    >>> from minidl import mlp
    >>> from minidl.interchange import to_onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(mlp([2, 1]), f"{folder}/a.onnx", class_names=["cat", "other"])
    ...     onnx_metadata(f"{folder}/a.onnx")
    {'class_names': ['cat', 'other']}
    """

    def value(text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # RecursionError for one nested too deeply, which is none of to_onnx's
            return text

    return {entry.key: value(entry.value) for entry in read_model(path).metadata_props}


def _is_same(network: Module, other: Module) -> bool:
    if describe(network) != describe(other):
        return False
    pairs = zip(network.named_state(), other.named_state(), strict=True)
    return all(np.array_equal(one.data, another.data) for (_, one), (_, another) in pairs)


def _output_of(proto: Any, output: str | None) -> str:
    outputs: list[str] = [info.name for info in proto.graph.output]
    if output is None and len(outputs) == 1:
        return outputs[0]
    if output is None or output not in outputs:
        raise ModelFileError(f"output: expected one of {', '.join(map(repr, outputs))}, received {shown(output)}")
    return output


def _network(proto: Any, output: str, other_shapes: Mapping[str, tuple[int, ...]]) -> Module:
    """Return the network of a model, given the shapes of its arrays where open sides have other lengths."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [info for info in proto.graph.input if info.name not in constants]
    ranks = [len(info.type.tensor_type.shape.dim) for info in inputs]
    if 0 in ranks:
        name = inputs[ranks.index(0)].name
        raise ModelFileError(f"input {name!r}: expected (batch, ...), received a single number, or no known shape")
    attempts: list[tuple[tuple[int, int, int], Sequence[str]]] = []
    for axes in product(*map(_layouts, ranks)):
        reading = _started(proto, [info.name for info in inputs], axes, other_shapes)
        problems = _problems(reading, proto) or _problems_of_output(reading, output)
        if not problems:
            return network_of(reading.steps, reading.flows[output].step)
        attempts.append((_importance(problems, len(reading.steps)), problems))
    raise ModelFileError("; ".join(min(attempts)[1]))


def _importance(problems: Sequence[str], steps: int) -> tuple[int, int, int]:
    """Return what is smallest for the problems that say most: not those of an order of axes, and those found last."""
    return sum(isinstance(problem, _OfOrder) for problem in problems), len(problems), -steps


class _OfOrder(str):
    """A problem that another order of the inputs' axes might not have."""


def _layouts(rank: int) -> list[tuple[int, ...]]:
    """Return the orders in which an input's axes may stand here: as in the file, channels last, batch first."""
    same = tuple(range(rank))
    return [same, *([(0, *range(2, rank), 1)] if rank > 2 else []), *([(1, 0, 2)] if rank == 3 else [])]


def _started(
    proto: Any, names: list[str], axes: tuple[tuple[int, ...], ...], other_shapes: Mapping[str, tuple[int, ...]]
) -> Reading:
    reading = Reading(proto, opset_of(proto) or 1, other_shapes)
    for info in proto.graph.output:
        reading.uses[info.name] = reading.uses.get(info.name, 0) + 1
    for step, (name, order) in enumerate(zip(names, axes, strict=True)):
        reading.steps.append(Step())
        reading.flows[name] = Flow(step, order)
    return reading


def _problems(reading: Reading, proto: Any) -> list[str]:
    """Make modules of all operators; return what is wrong with those of which none can be made."""
    problems: list[str] = []
    unknown: Counter[str] = Counter()
    for proto_node in proto.graph.node:
        node = Node(proto_node.op_type, list(proto_node.input), list(proto_node.output), _attributes(proto_node))
        if proto_node.domain not in ("", "ai.onnx") or node.operator not in IMPORTERS:
            unknown[".".join(filter(None, (proto_node.domain, node.operator)))] += 1
        elif all(name in reading.flows or name in reading.constants for name in node.inputs if name):
            try:
                IMPORTERS[node.operator](reading, node)
            except (Unsupported, ValueError, IndexError) as problem:
                kind = _OfOrder if isinstance(problem, WrongOrder) else str
                problems.append(kind(f"{node.operator} {proto_node.name or node.outputs[0]!r}: {problem}"))
    if unknown:
        names = ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in sorted(unknown.items()))
        problems.insert(0, f"there is no layer for the operators {names}")
    return problems


def _problems_of_output(reading: Reading, output: str) -> list[str]:
    if output not in reading.flows:
        return [f"the output {output!r} does not depend on the input"]
    flow = reading.flows[output]
    if flow.is_rounded:
        return [f"floating numbers are made whole for the output {output!r}, for which there is no layer"]
    kept = sorted(flow.axes)
    known = [tuple(kept[axis] for axis in order) for order in _layouts(len(kept))]
    if flow.axes not in known[: None if reading.has_moved else 1]:
        return [f"the axes of the output {output!r} would stand in the order {flow.axes}"]
    return (
        []
        if flow.order is None and flow.directions is None
        else [f"the features of the output {output!r} would stand in another order"]
    )


def _attributes(node: Any) -> dict[str, Any]:
    """Return an operator's attributes, texts as strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return [plain(item) for item in value] if isinstance(value, list) else value

    helper = onnx_package().helper
    return {attribute.name: plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}
