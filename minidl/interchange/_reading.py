"""Reading: what is known of an ONNX model while its operators become modules.

Each array that depends on the input is a `Flow`. Its axes may stand in another order here than in the file, where a
picture is (batch, channels, height, width): a transposition changes that order alone, and computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl.interchange._import_constants import known_shapes
from minidl.interchange._package import onnx_package
from minidl.module import Module


class Unsupported(Exception):  # noqa: N818 - it is collected, and becomes part of an error
    """Why an operator cannot become a module."""


class WrongOrder(Unsupported):
    """Why an operator cannot become a module while the inputs' axes stand in this order, and might in another."""


@dataclass(frozen=True)
class Flow:
    """An array that depends on the input: axis i here is axis `axes[i]` in the file, where all others have length 1.

    `order[j]`, if there is one, is where feature j of the file stands along the last axis here. `directions`, if it is
    there, is an axis of the file whose two parts stand one behind the other in the last axis here, as those of
    recurrent layers do; only a Reshape that puts them so in the file goes on from there. `is_rounded` says that the
    file has made whole numbers of it, which it is not here; only an Embedding goes on from there.
    """

    step: int
    axes: tuple[int, ...]
    order: Array | None = None
    directions: int | None = None
    is_rounded: bool = False

    def features(self, array: Array) -> Array:
        """Return an array whose last axis counts the features of the file, in the order they have here."""
        if self.order is None:
            return array
        result = np.empty_like(array)
        result[..., self.order] = array
        return result


@dataclass(frozen=True)
class Step:
    """A module that is applied to the output of another step, or several outputs that are merged; else an input."""

    inputs: tuple[int, ...] = ()
    module: Module | None = None
    merge: str = ""


@dataclass(frozen=True)
class Node:
    """An operator of the file."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    def __getitem__(self, i: int) -> str:
        return self.inputs[i] if i < len(self.inputs) else ""

    def usual(self, **expected: Any) -> None:
        """Raise Unsupported for attributes other than these, which are also what is meant without them."""
        for name, value in expected.items():
            received = self.attributes.get(name, value)
            if received != value:
                raise Unsupported(f"{name} is {received!r}; only {value!r} is supported")


class Reading:
    """Constants, shapes and types of a model, and the steps that have been made of it."""

    def __init__(self, proto: Any, opset: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.opset = opset
        self._shapes = shapes
        """The shapes of all arrays where other lengths stand for open sides."""
        self.steps: list[Step] = []
        self.flows: dict[str, Flow] = {}
        self.constants: dict[str, Array] = {
            tensor.name: onnx_package().numpy_helper.to_array(tensor) for tensor in proto.graph.initializer
        }
        self.shapes = known_shapes(proto)
        self.kinds: dict[str, np.dtype[Any]] = {}
        for info in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
            tensor = info.type.tensor_type
            if tensor.elem_type:
                self.kinds[info.name] = onnx_package().helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        self.has_moved = False
        """Whether some layer has its axes in another order than its operator."""
        self.uses: dict[str, int] = {}
        for node in proto.graph.node:
            for name in node.input:
                self.uses[name] = self.uses.get(name, 0) + 1

    def constant(self, name: str, what: str) -> Array:
        """Return a constant, of floating numbers in float32 or float64.

        Raises: Unsupported for what depends on the input.
        """
        if name not in self.constants:
            raise Unsupported(f"{what} is no constant")
        array = self.constants[name]
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def flow(self, name: str) -> Flow:
        """Return what depends on the input.

        Raises: Unsupported for a constant and for whole numbers.
        """
        if name not in self.flows:
            raise Unsupported(f"its input {name!r} is a constant")
        if self.kinds.get(name, np.dtype(np.float32)).kind != "f":
            raise Unsupported(f"it is applied to numbers of the type {self.kinds[name]}")
        if self.flows[name].directions is not None:
            raise Unsupported("the states of both directions are not reshaped into one row before it")
        return self.flows[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array in the file."""
        if name in self.constants:
            return self.constants[name].shape
        if name not in self.shapes:
            raise Unsupported("the shape of its input is not known")
        return self.shapes[name]

    def shape_text(self, name: str) -> str:
        """Return the shape of an array as text, with a ? for each side that depends on an open one."""
        pairs = zip(self.shape(name), self._shapes.get(name, self.shape(name)), strict=True)
        return f"({', '.join(str(side) if side == other else '?' for side, other in pairs)})"

    def require_fixed(self, name: str, what: str) -> None:
        """Raise Unsupported for an array with open sides behind batch and channels."""
        shape = self.shape(name)
        if self._shapes.get(name, shape)[2:] != shape[2:]:
            raise Unsupported(f"{what} depends on the length of a side that the file leaves open")

    def features_of(self, name: str) -> int:
        """Return the length of the last axis here."""
        return self.shape(name)[self.flows[name].axes[-1]]

    def require(self, flow: Flow, *axes: int) -> None:
        """Raise Unsupported for another order of axes than a layer takes."""
        if flow.axes != axes or flow.order is not None:
            raise WrongOrder(f"it needs the axes {axes}, and receives {flow.axes}")
        self.has_moved |= axes != tuple(sorted(axes))

    def require_last(self, flow: Flow, axis: int) -> None:
        """Raise Unsupported where an axis of the file is not the last one here."""
        if flow.axes[-1] != axis:
            raise WrongOrder(f"it is applied to axis {axis}; only the last axis is supported, here {flow.axes[-1]}")
        self.has_moved |= axis != max(flow.axes)

    def put(self, name: str, flow: Flow, module: Module, axes: Sequence[int] | None = None) -> None:
        """Add a module that makes the array `name` of a flow, whose axes stay as they are unless others are given."""
        self.steps.append(Step((flow.step,), module))
        order = flow.order if axes is None else None
        self.flows[name] = Flow(len(self.steps) - 1, flow.axes if axes is None else tuple(axes), order)

    def again(self, name: str, flow: Flow, **changes: Any) -> None:
        """Note that the array `name` is a flow without a computation, perhaps with its axes elsewhere."""
        self.flows[name] = replace(flow, **changes)

    def last_module(self, name: str, kind: type[Module]) -> Any:
        """Return the module of this class that has just made an array, which nothing else uses, or None."""
        last = self.flows[name].step
        module = self.steps[last].module
        names = (other for other, flow in self.flows.items() if flow.step == last)  # of one array, axes aside
        return module if isinstance(module, kind) and all(self.uses.get(other, 0) == 1 for other in names) else None
