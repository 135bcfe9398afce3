"""A network for the browser: its description with all weights as JSON values, and the script that computes it.

{"format": "minidl network 1", "network": {"path": "", "kind": "Sequential", "children": [...], ...}}
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from importlib.resources import files
from inspect import signature
from typing import Any, TypeAlias

import numpy as np

from minidl._attributes import members
from minidl._samples import each
from minidl._state import join
from minidl._summary import call_with_sample, checked_shape
from minidl._typing import Array
from minidl._validation import cast, shown
from minidl.architecture import NOT_ARCHITECTURE, built_in_class
from minidl.archive import as_json
from minidl.inspect._formula import formula_of
from minidl.module import Module
from minidl.ops.windows import Windows
from minidl.parameter import Buffer

FORMAT = "minidl network 1"

SCRIPTS = (
    "network",
    "network_numbers",
    "network_activations",
    "network_rows",
    "network_norms",
    "network_windows",
    "network_convolutions",
    "network_pooling",
    "network_sequences",
    "network_containers",
)
"""The files of the script in their order, which is that in which they are read best."""

Nodes: TypeAlias = dict[int, list[dict[str, Any]]]
"""The descriptions of modules by their `id`; a module that stands in two containers has two."""


def network_data(model: Module, input_shape: Sequence[Any]) -> dict[str, Any]:
    """Return what the browser needs to compute a network: its layers, their arguments and shapes, and their weights.

    Arguments: `input_shape`, of one sample, or a tuple of shapes, one an input; the layers' shapes are noted for it.

    Raises: TypeError for what is no Module; ValueError naming path and class of a layer that is not built in, for an
    input shape that the network does not take, and for weights too large for float32.

    >>> from minidl import ReLU, Sequential
    >>> data = network_data(Sequential(ReLU()), (3,))
    >>> data["network"]["children"][0]["formula"], data["network"]["children"][0]["outputShape"]
    ('a = max(z, 0)', [3])
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a Module, received {shown(model)}")
    shape = checked_shape(input_shape)
    nodes: Nodes = {}
    network = _node(model, "", nodes)
    _note_shapes(model, shape, nodes)
    return {"format": FORMAT, "network": network}


def network_script() -> str:
    """Return the script that defines `Network`, and no other name, to be put into a page as it is.

    >>> network_script().partition(" = ")[0]
    'const Network'
    """
    folder = files("minidl.inspect") / "page"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(["const Network = (() => {", '"use strict";', *parts, "return Network;", "})();", ""])


def _node(module: Module, path: str, nodes: Nodes) -> dict[str, Any]:
    """Return the description of a module and of those inside it, and add them to `nodes`, all without shapes."""
    kind = built_in_class(module, path, "which the browser cannot compute")
    node = {
        "path": path,
        "kind": kind.__name__,
        "formula": formula_of(kind),
        "parameterCount": sum(parameter.data.size for parameter in module.parameters()),
        "arguments": _arguments(module, kind, path),
        "weights": _weights(module, path),
        "children": [_node(child, join(path, name), nodes) for name, child in _parts(module)],
    }
    windows = getattr(module, "windows", None)
    if isinstance(windows, Windows):
        names = ("size", "stride", "dilation", "padding")
        node["windows"] = {name: as_json(getattr(windows, name), path) for name in names}
    nodes.setdefault(id(module), []).append(node)
    return node


def _parts(module: Module) -> Iterator[tuple[str, Module]]:
    """Yield the modules that a built-in one computes with, in their order; a subclass may know them by more names."""
    if module.positional is not None:
        yield from ((str(i), child) for i, child in enumerate(getattr(module, module.positional)))
    for name in ("shortcut", "out_proj"):
        child = getattr(module, name, None)
        if isinstance(child, Module):
            yield name, child


def _note_shapes(model: Module, input_shape: tuple[Any, ...], nodes: Nodes) -> None:
    """Add to each description the shapes of one sample before and behind its module.

    Raises: ValueError as the network does for an input that it does not take.
    """

    def note(module: Any, x: Any, output: Array) -> None:
        for node in nodes.get(id(module), ()):
            node["inputShape"] = as_json(each(_sample_shape, x), "x")
            node["outputShape"] = _sample_shape(output)

    call_with_sample(model, input_shape, note)


def _sample_shape(x: Array) -> list[int]:
    return list(x.shape[1:])


def _arguments(module: Module, kind: type[Module], path: str) -> dict[str, Any]:
    """Return those of the constructor's arguments that are numbers, truth values, names, or tuples of them."""
    names = [name for name in signature(kind).parameters if name not in NOT_ARCHITECTURE]
    values = {name: getattr(module, name, None) for name in names}
    plain = {name: value for name, value in values.items() if isinstance(value, (bool, int, float, str, tuple))}
    return {name: as_json(value, join(path, name)) for name, value in plain.items()}


def _weights(module: Module, path: str) -> dict[str, dict[str, Any]]:
    """Return the module's own parameters and buffers in float32, the least significant byte first, as base64."""
    weights = {}
    for name, buffer in members(module, (Buffer,)):
        array = cast(buffer.data, np.dtype(np.float32), join(path, name))
        text = b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")
        weights[name] = {"shape": list(array.shape), "data": text}
    return weights
