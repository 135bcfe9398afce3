"""to_onnx: a network as an ONNX file, which other programs run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minidl import containers, layers
from minidl._files import FilePath, atomic_write
from minidl._samples import holds_shapes, leaves, of_shape
from minidl._summary import call_with_sample, checked_shape
from minidl._typing import DTypeLike
from minidl._validation import shown
from minidl.architecture import built_in_class
from minidl.archive import as_json
from minidl.errors import LayerInputError
from minidl.interchange import (
    _export_activations,
    _export_containers,
    _export_rows,
    _export_sequences,
    _export_windows,
)
from minidl.interchange._graph import IR_VERSION, OPSET, Exporter, Graph, Value
from minidl.interchange._package import onnx_package
from minidl.module import Module

EXPORTERS: dict[type[Module], Exporter] = {
    **_export_activations.EXPORTERS,
    **_export_rows.EXPORTERS,
    **_export_windows.EXPORTERS,
    **_export_sequences.EXPORTERS,
    **_export_containers.EXPORTERS,
}

LARGEST = 2**31 - 2**20  # bytes of weights: a file has at most 2^31, with its operators


def to_onnx(
    model: Module,
    path: FilePath,
    /,
    input_shape: Sequence[Any] | None = None,
    *,
    input_dtype: DTypeLike | None = None,
    **metadata: Any,
) -> None:
    """Write a network into an ONNX file, for ONNX Runtime and whatever else reads such files.

    The file computes what `predict` does: its input is called `x`, of several inputs `x_0`, `x_1` ..., its output `y`,
    the number of samples is open, and arrays are as they are here, pictures with their channels last. Weights have the
    names that they have in the network.

    Arguments: `input_shape`, of one sample, or a tuple of shapes, one an input; None for a side of any length, such as
    the time of sequences: `(None,)`. It may be left out where the network begins with a Dense. `input_dtype` is the
    type of the input's numbers: without it uint8 before a `Rescale`, int64 before an `Embedding`, and else that of the
    weights. `metadata` is anything that JSON can hold, such as `class_names=["cat", "other"]` and
    `image_size=(64, 64)`; each stands in the file's metadata as JSON.

    Raises: ImportError without the package onnx; TypeError for what is no Module; ValueError naming the layer for one
    that is not built in or that ONNX cannot hold, for a missing `input_shape`, for one, or an `input_dtype`, that
    the network does not take, for 2 GB of weights or more, and for metadata that is not JSON.

    ONNX Runtime has no operators in float64 for convolutions, average poolings, recurrent layers, UpSample2D, ELU,
    SELU, GELU, HardSwish and Softplus: it runs networks with these in float32 alone.

    Source: the operators of version 17, https://onnx.ai/onnx/operators/.

    >>> import tempfile
    >>> from minidl import mlp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(mlp([2, 3, 1]), f"{folder}/xor.onnx", class_names=["same", "different"])
    """
    if not isinstance(model, Module):
        raise TypeError(f"to_onnx: expected a Module, received {shown(model)}")
    onnx = onnx_package()
    _check_layers(model)
    properties = {name: json.dumps(value) for name, value in as_json(metadata, "metadata").items()}
    shape = _shape_of(model) if input_shape is None else _checked(input_shape)
    proto = _model(model, shape, _number_type(input_dtype))
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString()
    with atomic_write(path) as file:
        file.write(data)


def _check_layers(model: Module) -> None:
    """Raise a ValueError that names all layers which are not built in."""
    problems = []
    for path, module in model.named_modules():
        try:
            built_in_class(module, path, "which ONNX has no operator for")
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(f"{'; '.join(problems)}; put layers and containers of minidl in the place of each")


def _model(model: Module, shape: Any, input_dtype: np.dtype[Any] | None) -> Any:
    """Return the whole model of ONNX."""
    helper = onnx_package().helper
    output = _output_shape(model, shape, input_dtype or np.dtype(np.float32))
    graph = Graph(EXPORTERS)
    usual = next((parameter.data.dtype for parameter in model.parameters()), np.dtype(np.float32))
    inputs = _inputs(model, shape, usual, input_dtype)
    result = graph.module(model, inputs)
    y = Value("y", result.rank, result.dtype)
    graph.nodes.append(helper.make_node("Identity", [result.name], [y.name]))
    graph.without_unused({y.name})
    infos = [_info(value, one) for value, one in zip(leaves(inputs), _shapes(shape), strict=True)]
    size = sum(array.nbytes for array in graph.constants.values())
    if size >= LARGEST:
        raise ValueError(
            f"to_onnx: expected weights of less than 2 GB, which an ONNX file holds, received {size} bytes"
        )
    constants = [onnx_package().numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    body = helper.make_graph(graph.nodes, type(model).__name__, infos, [_info(y, output)], constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(body, opset_imports=[opset], ir_version=IR_VERSION, producer_name="minidl")


def _output_shape(model: Module, shape: Any, dtype: np.dtype[Any]) -> Sequence[int | None]:
    """Return the sides of one sample of the output, None for each where a side of the input is open.

    Raises: LayerInputError for a shape or a type that the network does not take.
    """
    count = max(sides.count(None) for sides in _shapes(shape))
    errors: list[LayerInputError] = []
    for length in (4**i for i in range(11 if count else 1) if 4 ** (i * count) <= 2**20):
        try:
            output = call_with_sample(model, of_shape(partial(_filled, length=length), shape), dtype=dtype)
            return [None] * (output.ndim - 1) if count else output.shape[1:]
        except LayerInputError as error:
            errors.append(error)
            if length >= 256 and "of at least" not in error.problem:
                break  # no longer side helps
    raise errors[-1]


def _filled(shape: Sequence[int | None], length: int) -> tuple[int, ...]:
    return tuple(length if side is None else side for side in shape)


def _info(value: Value, sides: Sequence[int | None]) -> Any:
    """Return the description of an input or an output; open sides have names, as the batch has."""
    helper = onnx_package().helper
    named = [f"{value.name}_side_{axis}" if side is None else side for axis, side in enumerate(sides, start=1)]
    element = helper.np_dtype_to_tensor_dtype(value.dtype)
    return helper.make_tensor_value_info(value.name, element, ["batch", *named])


def _inputs(model: Module, shape: Any, usual: np.dtype[Any], dtype: np.dtype[Any] | None) -> Any:
    """Return the values of a network's inputs, in tuples like its shapes, of the type given or of what it takes."""
    types = of_shape(lambda _: dtype, shape) if dtype is not None else _types(model, shape, usual)
    names = iter(["x"] if not holds_shapes(shape) else [f"x_{i}" for i in range(len(_shapes(shape)))])

    def values(types: Any, shape: Any) -> Any:
        if isinstance(types, tuple):
            return tuple(values(*pair) for pair in zip(types, shape, strict=True))
        return Value(next(names), len(shape) + 1, types)

    return values(types, shape)


def _number_type(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    try:
        found = None if dtype is None else np.dtype(dtype).newbyteorder("=")
    except TypeError:
        found = np.dtype(object)
    if found is not None and (found.kind not in "iuf" or found.itemsize > 8):
        raise ValueError(f"to_onnx input_dtype: expected a type of real numbers, received {shown(dtype)}")
    return found


def _types(module: Module, shape: Any, usual: np.dtype[Any]) -> Any:
    """Return the type of numbers that each input's first layer is made for."""
    if isinstance(module, containers.Sequential) and module.layers:
        return _types(module.layers[0], shape, usual)
    if isinstance(module, containers.Parallel):
        if holds_shapes(shape):
            return tuple(_types(*pair, usual) for pair in zip(module.branches, shape, strict=True))
        found = [_types(branch, shape, usual) for branch in module.branches]
        return found[0] if len(set(found)) == 1 else usual
    kinds: dict[type[Module], Any] = {layers.Rescale: np.uint8, layers.Embedding: np.int64}
    one = next((dtype for kind, dtype in kinds.items() if isinstance(module, kind)), usual)
    return of_shape(lambda _: np.dtype(one), shape)


def _shape_of(model: Module) -> tuple[int, ...]:
    """Return the shape of a sample of a network that begins with Dense."""
    leaf = next((module for _, module in model.named_modules() if not any(module.named_children())), model)
    if isinstance(leaf, layers.Dense):
        return (leaf.in_features,)
    raise ValueError(
        "to_onnx input_shape: expected the shape of one sample, such as (64, 64, 3), for a network that does not begin "
        f"with Dense, received none for one that begins with {leaf!r}"
    )


def _checked(shape: Any) -> Any:
    """Return a shape, a tuple of shapes for several inputs, whose sides are sizes or None."""
    if holds_shapes(shape):
        return tuple(map(_checked, shape))
    if not isinstance(shape, (list, tuple)):
        return checked_shape(shape)
    sides = checked_shape([1 if side is None else side for side in shape])
    return tuple(None if given is None else side for given, side in zip(shape, sides, strict=True))


def _shapes(shape: Any) -> list[tuple[int | None, ...]]:
    """Return the shapes of all inputs in their order."""
    return [one for part in shape for one in _shapes(part)] if holds_shapes(shape) else [shape]
