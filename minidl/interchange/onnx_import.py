"""from_onnx: an ONNX file as a network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
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
from minidl.interchange._import_constants import folded, only
from minidl.interchange._import_network import network_of
from minidl.interchange._package import onnx_package
from minidl.interchange._reading import Flow, Node, Reading, Step, Unsupported, WrongOrder
from minidl.module import Module

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
    comes first. Sides of length 1 that a global pooling leaves are dropped. All else is as it is in the file. Training
    changes the weights of layers, but not numbers that the file adds or multiplies otherwise; a file written for
    evaluation has no Dropout.

    Arguments: `output` is the name of the output that is wanted, needed only where the file has several.

    Raises: ImportError without the package onnx; OSError where the file cannot be read; ModelFileError naming, all at
    once, operators that minidl has no layer for, and how those that it has are used differently; for a file that is
    no ONNX model; for branches that are not nested; and for an `output` that is not there.

    >>> import tempfile
    >>> from minidl import mlp
    >>> from minidl.interchange import to_onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(mlp([2, 3, 1]), f"{folder}/xor.onnx")
    ...     from_onnx(f"{folder}/xor.onnx")
    Sequential(Dense(2 -> 3), ReLU(), Dense(3 -> 1), Sigmoid())
    """
    proto = _read(path)
    try:
        network = _network(proto, output)
        # What has been computed from the lengths that stand for open ones must not be in the network.
        if not _is_same(network, _network(proto, output, longer=1)):
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
        except json.JSONDecodeError:
            return text

    return {entry.key: value(entry.value) for entry in _read(path).metadata_props}


def _read(path: FilePath) -> Any:
    onnx = onnx_package()
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except OSError:
        raise
    except Exception as error:  # of protobuf, which has several classes of them, and of the checker
        reason = str(error).partition("\n")[0]
        raise ModelFileError(f"{path}: expected an ONNX model, received something else ({reason})") from error
    return proto


def _is_same(network: Module, other: Module) -> bool:
    if describe(network) != describe(other):
        return False
    pairs = zip(network.named_state(), other.named_state(), strict=True)
    return all(np.array_equal(one.data, another.data) for (_, one), (_, another) in pairs)


def _network(proto: Any, output: str | None, longer: int = 0) -> Module:
    outputs = [info.name for info in proto.graph.output]
    if output is None and len(outputs) == 1:
        (output,) = outputs
    if output is None or output not in outputs:
        raise ModelFileError(f"output: expected one of {', '.join(map(repr, outputs))}, received {shown(output)}")
    proto = folded(only(proto, output, longer))
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [info for info in proto.graph.input if info.name not in constants]
    ranks = [len(info.type.tensor_type.shape.dim) for info in inputs]
    attempts: list[Sequence[str]] = []
    for axes in product(*map(_layouts, ranks)):
        reading = _started(proto, [info.name for info in inputs], axes)
        problems = _problems(reading, proto) or _problems_of_output(reading, output)
        if not problems:
            return network_of(reading.steps, reading.flows[output].step)
        attempts.append(problems)
    raise ModelFileError("; ".join(sorted(attempts, key=_importance)[0]))


def _importance(problems: Sequence[str]) -> tuple[int, int]:
    """Return what is smallest for the problems that say most: those that do not come from an order of axes."""
    return sum(isinstance(problem, _OfOrder) for problem in problems), len(problems)


class _OfOrder(str):
    """A problem that another order of the inputs' axes might not have."""


def _layouts(rank: int) -> list[tuple[int, ...]]:
    """Return the orders in which an input's axes may stand here: as in the file, channels last, batch first."""
    same = tuple(range(rank))
    return [same, *([(0, *range(2, rank), 1)] if rank > 2 else []), *([(1, 0, 2)] if rank == 3 else [])]


def _started(proto: Any, names: list[str], axes: tuple[tuple[int, ...], ...]) -> Reading:
    opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 1)
    reading = Reading(proto, opset)
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
            unknown[node.operator] += 1
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
