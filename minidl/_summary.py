"""The table that `Module.summary` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._typing import Array
from minidl.errors import LayerInputError

Shape = tuple[int, ...]


def summary_of(model: Any, input_shape: Sequence[int] | None) -> str:
    """Return the layers of a Module with their paths, output shapes and numbers of parameters, and their sum."""
    layers = [(path, module) for path, module in model.named_modules() if not any(module.named_children())]
    shapes = _output_shapes(model, [module for _, module in layers], input_shape)
    rows = [("layer", "output shape", "parameters")]
    for path, layer in layers:
        shape = ", ".join(map(str, ("batch", *shapes.get(id(layer), ("...",)))))
        rows.append((f"{path}  {layer!r}".strip(), f"({shape})", f"{_size(layer):,}"))
    rows.append(("total", "", f"{_size(model):,}"))
    widths = [max(len(row[column]) for row in rows) + 4 for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}{shape:<{widths[1]}}{count:>10}" for name, shape, count in rows)


def _output_shapes(model: Any, layers: Sequence[Any], input_shape: Sequence[int] | None) -> dict[int, Shape]:
    """Return the shape of one sample behind each layer by the layer's `id`, as far as it is known."""
    shapes: dict[int, Shape] = {}
    first = next((layer for layer in layers if hasattr(layer, "in_features")), None)

    def note_shape(module: Any, _: Array, output: Array) -> None:
        if input_shape is not None or module is first or shapes:
            shapes.setdefault(id(module), output.shape[1:])

    with calling(training=False, observer=note_shape):
        if input_shape is not None:
            model(np.zeros((1, *input_shape), np.float32))
        elif first is not None:
            try:
                model(np.zeros((1, first.in_features), np.float32))
            except LayerInputError:  # a layer before the first one that knows its size takes another shape
                shapes.clear()
    return shapes


def _size(module: Any) -> int:
    return sum(parameter.data.size for parameter in module.parameters())
