"""How Keras names and lays out the weights of each layer in its files `.weights.h5`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minidl import layers
from minidl._state import join
from minidl._typing import Array
from minidl._validation import shown
from minidl.containers import Masked, Sequential
from minidl.interchange._feature_order import check_is_module
from minidl.module import Module
from minidl.parameter import Buffer

GRU_GATES = (1, 0, 2)  # Keras has z, r and n, minidl r, z and n: exchanging the first two is its own inverse
SMALLEST_SCALE = 1e-7  # Keras' Normalization divides by no less


class Part(NamedTuple):
    """One array of a file: its path, its values, and what takes values of another file into the model."""

    path: str
    values: Callable[[], Array]
    take: Callable[[Array], None]


def parts_of(model: Module, names: Any = None) -> list[Part]:
    """Return the arrays of a network's file: of each layer below `layers/`, named after its class and counted.

    Raises: ValueError for paths that are no strings, and naming a layer for which Keras has none, or of which only
    `names` could say what it is called in the file.
    """
    check_is_module(model)
    names = {} if names is None else names
    if not isinstance(names, Mapping) or not all(isinstance(path, str) for pair in names.items() for path in pair):
        raise ValueError(f"names: expected paths of minidl's layers by those of the file, received {shown(names)}")
    groups = {path: group for group, path in names.items()}
    given = {path for path, module in model.named_modules() if path in groups}
    if given != set(groups) or len(groups) < len(names):
        raise ValueError(f"names: expected the path of another layer for each, received {shown(names)}")
    parts: list[Part] = []
    for path, module in model.named_modules():
        if path in groups:
            others = {other: group for other, group in groups.items() if other != path}
            is_row = _children(module) != [("", module)]
            below = _of_row(_children(module), path, f"{groups[path]}/", others) if is_row else None
            parts += _of_layer(groups[path], module) if below is None else below
    parts += _of_row(_children(model), "", "", groups)
    paths = [part.path for part in parts]
    if len(set(paths)) < len(paths):
        raise ValueError(f"names: expected each of the file's layers once, received {shown(names)}")
    return parts


def _children(model: Module) -> list[tuple[str, Module]]:
    """Return the layers of a row, whose order is that of Keras, too; of another module itself alone."""
    is_row = isinstance(model, Sequential) and type(model).forward in (Sequential.forward, Masked.forward)
    return list(model.named_children()) if is_row else [("", model)]


def _of_row(children: list[tuple[str, Module]], path: str, group: str, named: Mapping[str, str]) -> Iterator[Part]:
    """Yield the arrays of layers in a row, but for those below the paths that are `named`, whose names are taken."""
    counts: Counter[str | None] = Counter()
    for name, child in children:
        below = join(path, name)
        kind, within = _keras_class(child), _children(child)
        if kind is None and within != [("", child)]:
            kind = "sequential"
        others = [join(below, state) for state, _ in child.named_state()]
        if all(_above(other, named) for other in others):
            counts[kind] += not others  # Keras counts layers without weights, too
            continue
        if kind is None:
            place = f"layer {below}, " if below else ""
            raise ValueError(
                f"{place}{child!r}: expected a layer that Keras has, or a Sequential; where it holds such layers, say "
                "with names what the file calls each, such as {'layers/dense_3': '2.shortcut'}"
            )
        while (own := f"{group}layers/{kind}" + (f"_{counts[kind]}" if counts[kind] else "")) in named.values():
            counts[kind] += 1
        counts[kind] += 1
        yield from _of_row(within, below, f"{own}/", named) if kind == "sequential" else _of_layer(own, child)


def _above(name: str, paths: Collection[str]) -> list[str]:
    """Return those of the paths at or below which a name stands."""
    return [path for path in paths if path in ("", name) or name.startswith(f"{path}.")]


def _keras_class(module: Module) -> str | None:
    """Return what Keras calls the class of a layer in a file, None for one that Keras does not have."""
    if isinstance(module, (layers.LSTM, layers.GRU)) and module.bidirectional:
        return "bidirectional"
    if isinstance(module, (layers.Conv1D, layers.Conv2D)) and 1 < module.groups == module.in_channels:
        return f"depthwise_conv{module.axes}d"
    kinds = {
        layers.BatchNorm: "batch_normalization", layers.Conv1D: "conv1d", layers.Conv2D: "conv2d",
        layers.ConvTranspose2D: "conv2d_transpose", layers.Dense: "dense", layers.Embedding: "embedding",
        layers.GroupNorm: "group_normalization", layers.GRU: "gru", layers.LayerNorm: "layer_normalization",
        layers.LSTM: "lstm", layers.Normalize: "normalization", layers.PReLU: "p_re_lu",
        layers.RMSNorm: "rms_normalization", layers.SelfAttention: "multi_head_attention",
    }  # fmt: skip
    return next((name for kind, name in kinds.items() if isinstance(module, kind)), None)


def _of_layer(group: str, module: Any) -> Iterator[Part]:
    """Yield the arrays of one layer."""
    if isinstance(module, (layers.LSTM, layers.GRU)):
        for direction in module._directions():
            side = ("backward_layer/" if direction else "forward_layer/") if module.bidirectional else ""
            yield from _of_direction(f"{group}/{side}cell/vars", module, direction)
        return
    if isinstance(module, layers.SelfAttention):
        yield from _of_attention(group, module)
        return
    if isinstance(module, layers.Normalize):
        yield _plain(f"{group}/vars/0", module.mean)
        yield Part(f"{group}/vars/1", lambda: np.square(module.scale.data), partial(_take_variance, module.scale))
        yield Part(f"{group}/vars/2", lambda: np.array(0, np.int32), lambda _: None)  # how many samples it has seen
        return
    if _keras_class(module) is None:
        raise ValueError(f"{module!r}: expected a layer that Keras has, too")
    attributes = [getattr(module, name, None) for name in ("weight", "bias", "running_mean", "running_variance")]
    named_depthwise = group.rpartition("/")[2].startswith("depthwise")
    for number, buffer in enumerate(buffer for buffer in attributes if buffer is not None):
        path = f"{group}/vars/{number}"
        if buffer.data.ndim == 1 or isinstance(module, layers.Embedding):
            yield _plain(path, buffer)
        elif named_depthwise and getattr(module, "groups", 0) == getattr(module, "in_channels", 1):
            yield _depthwise(path, buffer, module.in_channels)
        else:
            yield _kernel(path, buffer)


def _write(buffer: Buffer, array: Array) -> None:
    buffer.data[...] = array


def _plain(path: str, buffer: Buffer) -> Part:
    return Part(path, lambda: buffer.data, partial(_write, buffer))


def _kernel(path: str, buffer: Buffer) -> Part:
    """A weight with its outputs (of a transposed convolution its inputs) first here and last in Keras."""
    return Part(path, lambda: np.moveaxis(buffer.data, 0, -1), lambda array: _write(buffer, np.moveaxis(array, -1, 0)))


def _depthwise(path: str, buffer: Buffer, channels: int) -> Part:
    """The kernel of a depthwise convolution: (rows, columns, channels, outputs of each) in Keras."""
    window, shape = buffer.shape[1:-1], buffer.shape
    return Part(
        path,
        lambda: np.moveaxis(buffer.data, 0, -1).reshape(*window, channels, -1),
        lambda array: _write(buffer, np.moveaxis(array.reshape(*window, 1, shape[0]), -1, 0)),
    )


def _take_variance(scale: Buffer, variance: Array) -> None:
    scale.data[...] = np.maximum(np.sqrt(np.maximum(variance, 0)), SMALLEST_SCALE)


def _of_direction(group: str, module: Any, direction: str) -> Iterator[Part]:
    w_ih, w_hh, b_ih, b_hh = module._parameters(direction)
    is_gru = isinstance(module, layers.GRU)

    def gates(array: Array) -> Array:
        return array.reshape(3, -1, *array.shape[1:])[list(GRU_GATES)].reshape(array.shape) if is_gru else array

    def biases() -> Array:
        return np.stack([gates(b_ih.data), gates(b_hh.data)]) if is_gru else b_ih.data + b_hh.data

    def take_biases(array: Array) -> None:
        b_ih.data[...], b_hh.data[...] = (gates(array[0]), gates(array[1])) if is_gru else (array, 0)

    for number, buffer in enumerate((w_ih, w_hh)):
        yield Part(
            f"{group}/{number}",
            lambda buffer=buffer: gates(buffer.data).T,  # type: ignore[misc]
            lambda array, buffer=buffer: _write(buffer, gates(array.T)),  # type: ignore[misc]
        )
    yield Part(f"{group}/2", biases, take_biases)


def _of_attention(group: str, module: layers.SelfAttention) -> Iterator[Part]:
    features, heads = module.features, module.heads
    for number, name in enumerate(("query", "key", "value")):
        rows = slice(number * features, (number + 1) * features)
        path = f"{group}/{name}_dense/vars"
        yield _rows(f"{path}/0", module.in_proj_weight, rows, (features, heads, -1))
        if module.in_proj_bias is not None:
            yield _rows(f"{path}/1", module.in_proj_bias, rows, (heads, -1))
    weight, bias = module.out_proj.weight, module.out_proj.bias
    yield _rows(f"{group}/output_dense/vars/0", weight, slice(None), (heads, -1, features))
    if bias is not None:
        yield _plain(f"{group}/output_dense/vars/1", bias)


def _rows(path: str, buffer: Buffer, rows: slice, shape: tuple[int, ...]) -> Part:
    """Some rows of a weight, transposed and with the heads on an axis of their own in Keras."""

    def take(array: Array) -> None:
        buffer.data[rows] = array.reshape(buffer.data[rows].T.shape).T

    return Part(path, lambda: buffer.data[rows].T.reshape(shape), take)
