"""Graph: the operators of an ONNX model while it is written, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minidl._state import join
from minidl._typing import Array
from minidl.architecture import built_in_class, title_of
from minidl.interchange._package import onnx_package
from minidl.module import Module

OPSET = 17
"""The version of ONNX's operators: the first one with LayerNormalization, which runtimes of 2022 know already."""
IR_VERSION = 8  # of the file's format, the one that belongs to this version


@dataclass(frozen=True)
class Value:
    """An array that the model computes: its name, how many axes it has, and the type of its numbers."""

    name: str
    rank: int
    dtype: np.dtype[Any]


class Graph:
    """Operators and constants, named after the modules they belong to."""

    def __init__(self, exporters: Mapping[type[Module], Exporter]) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.mask: Value | None = None
        """Of the container `Masked` that is being written: (batch, time) of truth values, True for real steps."""
        self._exporters = exporters
        self._path = ""
        self._channels_first: dict[str, Value] = {}

    def module(self, module: Module, x: Any, name: str = "") -> Value:
        """Add the operators of a module, a child of the one that is being written; return its output."""
        outer, self._path = self._path, join(self._path, name) if name else self._path
        kind = built_in_class(module, self._path, "which ONNX has no operator for")
        output = self._exporters[kind](self, module, x)
        self._path = outer
        return output

    def refuse(self, module: Module, reason: str) -> ValueError:
        """Return the error for a layer that ONNX cannot hold as it is."""
        return ValueError(f"{title_of(self._path, module)}: {reason}")

    @contextmanager
    def masked(self, mask: Value) -> Iterator[None]:
        """Write the modules inside a `Masked`."""
        outer, self.mask = self.mask, mask
        yield
        self.mask = outer

    def add(self, operator: str, *inputs: Value | Array | None, **attributes: Any) -> Value:
        """Add an operator of one output, which is like its first input, and return that output."""
        first = next(x for x in inputs if isinstance(x, Value))
        return self.outputs(operator, 1, *inputs, **attributes)[0].like(first)

    def outputs(self, operator: str, count: int, *inputs: Value | Array | None, **attributes: Any) -> list[Output]:
        """Add an operator of several outputs."""
        name = f"{self._path or 'network'}/{operator}_{len(self.nodes)}"
        names = [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
        given = ["" if x is None else x.name if isinstance(x, Value) else self.constant(x) for x in inputs]
        self.nodes.append(onnx_package().helper.make_node(operator, given, names, name=name, **attributes))
        return [Output(name) for name in names]

    def constant(self, array: Array, name: str = "") -> str:
        """Return the name of a constant, which is named after the module's parameter if `name` is given."""
        name = join(self._path, name) if name else f"{self._path or 'network'}/constant_{len(self.constants)}"
        self.constants[name] = np.array(array, order="C")
        return name

    def weight(self, array: Array, name: str) -> Value:
        """Return a constant that is a parameter of the module."""
        return Value(self.constant(array, name), array.ndim, array.dtype)

    def cast(self, x: Value, dtype: np.dtype[Any]) -> Value:
        """Return `x` in another type of numbers."""
        if x.dtype == dtype:
            return x
        to = onnx_package().helper.np_dtype_to_tensor_dtype(dtype)
        return Value(self.add("Cast", x, to=to).name, x.rank, dtype)

    def transpose(self, x: Value, *axes: int) -> Value:
        """Return `x` with its axes in this order."""
        return self.add("Transpose", x, perm=list(axes))

    def reshape(self, x: Value, *shape: int) -> Value:
        """Return `x` in another shape, where 0 stands for a side as it is, and -1 for what is left."""
        return Value(self.add("Reshape", x, np.array(shape, np.int64)).name, len(shape), x.dtype)

    def channels_first(self, x: Value) -> Value:
        """Return (batch, ..., channels) as (batch, channels, ...), the order of ONNX."""
        if x.name in self._channels_first:
            return self._channels_first[x.name]
        return x if x.rank == 2 else self.transpose(x, 0, x.rank - 1, *range(1, x.rank - 1))

    def channels_last(self, first: Value) -> Value:
        """Return (batch, channels, ...) as (batch, ..., channels), and remember where it has come from."""
        if first.rank == 2:
            return first
        last = self.transpose(first, 0, *range(2, first.rank), 1)
        self._channels_first[last.name] = first
        return last

    def pointwise(self, operator: str, x: Value, *scalars: Array, **attributes: Any) -> Value:
        """Add an operator that treats each number by itself, before the channels are put last where they are."""
        if x.name in self._channels_first:
            return self.channels_last(self.add(operator, self._channels_first[x.name], *scalars, **attributes))
        return self.add(operator, x, *scalars, **attributes)

    def without_unused(self, outputs: set[str]) -> None:
        """Remove operators and constants that no output needs, such as a transposition that has been undone."""
        needed = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {name: array for name, array in self.constants.items() if name in needed}


@dataclass(frozen=True)
class Output:
    """The name of an operator's output, of which it is still to be said what it is."""

    name: str

    def like(self, x: Value, rank: int | None = None, dtype: Any = None) -> Value:
        """Return it as a value like another one."""
        return Value(self.name, x.rank if rank is None else rank, x.dtype if dtype is None else np.dtype(dtype))


Exporter: TypeAlias = Callable[[Graph, Any, Any], Value]
"""A function that adds a layer's operators to a graph, given its input, and returns its output."""
