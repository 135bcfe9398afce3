"""The table that `Module.summary` prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._samples import holds_shapes, of_shape
from minidl._state import own_buffers
from minidl._typing import Array, DTypeLike
from minidl._validation import shown, size
from minidl.errors import LayerInputError
from minidl.parameter import Buffer, Parameter

Shape = tuple[Any, ...]


def summary_of(model: Any, input_shape: Sequence[Any] | None) -> str:
    """Return the layers of a Module, a tree, with their output shapes and own numbers of parameters, and their sum."""
    rows = _rows(model, input_shape)
    widths = [max(len(row[column]) for row in rows) + 4 for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}{shape:<{widths[1]}}{count:>10}" for name, shape, count in rows)


def summary_html(model: Any) -> str:
    """Return the same as a table for notebooks, shapes as far as they are known without an input's."""
    from minidl._html import table  # here, as `import minidl` need not wait for it

    header, *rows = _rows(model, None)
    return table(header, [(name.replace("  ", "\u2003"), *others) for name, *others in rows])


def _rows(model: Any, input_shape: Sequence[Any] | None) -> list[tuple[str, str, str]]:
    if input_shape is not None:
        input_shape = checked_shape(input_shape)
    layers = list(_tree(model))
    shapes = _output_shapes(model, [module for _, module in layers], input_shape)
    rows = [("layer", "output shape", "parameters")]
    for label, layer in layers:
        shape = ", ".join(map(str, ("batch", *shapes.get(id(layer), ("...",)))))
        own, is_leaf = _size(own_buffers(layer)), not any(layer.named_children())
        rows.append((label, f"({shape})", f"{own:,}" if own or is_leaf else ""))
    parameters = model.parameters()
    total, frozen = _size(parameters), _size(parameter for parameter in parameters if parameter.frozen)
    counts = {"total": total, **({"trainable": total - frozen, "frozen": frozen} if frozen else {})}
    return [*rows, *((name, "", f"{count:,}") for name, count in counts.items())]


def _tree(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield all modules below a model, and itself where it has parameters or no children, with a name and an indent."""
    seen: set[int] = set()

    def below(module: Any, depth: int) -> Iterator[tuple[str, Any]]:
        for name, child in module.named_children():
            if id(child) not in seen:
                seen.add(id(child))
                yield f"{'  ' * depth}{name}  {_title(child)}", child
                yield from below(child, depth + 1)

    if own_buffers(model) or not any(model.named_children()):
        yield _title(model), model
    yield from below(model, 0)


def _title(module: Any) -> str:
    """Return what stands for a module, which says where all that it holds itself is frozen."""
    title, own = type(module).__name__ if any(module.named_children()) else repr(module), own_buffers(module)
    return f"{title}, frozen" if own and all(buffer.frozen for buffer in own) else title


def _output_shapes(model: Any, layers: Sequence[Any], input_shape: Shape | None) -> dict[int, Shape]:
    """Return the shape of one sample behind each layer by the layer's `id`, as far as it is known."""
    shapes: dict[int, Shape] = {}
    first = next((layer for layer in layers if hasattr(layer, "in_features") or hasattr(layer, "tokens")), None)

    def note_shape(module: Any, _: Array, output: Array) -> None:
        if input_shape is not None or module is first or shapes:
            shapes.setdefault(id(module), output.shape[1:])

    with calling(training=False, observer=note_shape):
        if input_shape is not None:
            model(of_shape(sample_of, input_shape))
        elif first is not None and hasattr(first, "in_features"):
            try:
                model(sample_of((first.in_features,)))
            except LayerInputError:  # a layer before the first one that knows its size takes another shape
                shapes.clear()
    return shapes


def sample_of(shape: Shape) -> Array:
    """Return one sample of ones and zeros, which are also tokens; whatever a padding number is, not all are padding."""
    return ((np.arange(math.prod(shape)) + 1) % 2).astype(np.float32).reshape(1, *shape)


def call_with_sample(
    model: Any,
    input_shape: Shape,
    observer: Callable[[Any, Any, Array], None] | None = None,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Return what a network makes of a sample of this shape in evaluation mode, and show `observer` all calls.

    Raises: LayerInputError for a shape or a type of numbers that the network does not take.
    """
    errors: list[LayerInputError] = []

    def of_type(sample: Callable[[Any], Array], shape: Any) -> Array:
        return sample(shape).astype(dtype)

    # Which numbers are padding, or no tokens, is known to the layers inside alone.
    samples: list[Callable[[Any], Array]] = [sample_of, *(partial(_filled, number) for number in (1, 0, 2))]
    for sample in samples:
        try:
            with calling(training=False, observer=observer), np.errstate(all="ignore"):
                output: Array = model(of_shape(partial(of_type, sample), input_shape))
                return output
        except LayerInputError as error:
            errors.append(error)
    raise errors[0]


def _filled(number: float, shape: Shape) -> Array:
    return np.full((1, *shape), number, np.float32)


def checked_shape(input_shape: Any, name: str = "input_shape") -> Shape:
    """Return the shape of one sample, a tuple of shapes for several inputs; a whole number is that of a row."""
    if holds_shapes(input_shape):
        return tuple(checked_shape(shape, f"{name}[{i}]") for i, shape in enumerate(input_shape))
    sides = (input_shape,) if isinstance(input_shape, Integral) else input_shape
    if not isinstance(sides, (list, tuple)):
        raise ValueError(f"{name}: expected the sides of one sample, such as (2,), received {shown(input_shape)}")
    return tuple(size(side, f"{name}[{axis}]") for axis, side in enumerate(sides))


def _size(buffers: Iterable[Buffer]) -> int:
    return sum(buffer.data.size for buffer in buffers if isinstance(buffer, Parameter))
