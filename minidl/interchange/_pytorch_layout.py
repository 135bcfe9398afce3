"""Which arrays of a network PyTorch names or lays out in another way, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl._state import join, own_buffers
from minidl._typing import Array
from minidl._validation import shown
from minidl.interchange._feature_order import flat_channels
from minidl.layers import BatchNorm, Conv1D, Conv2D, ConvTranspose2D, Dense
from minidl.module import Module
from minidl.parameter import Buffer

COUNTER = "num_batches_tracked"


class Entry(NamedTuple):
    """A buffer, and how its layout in PyTorch differs: by a kernel's axes, or by the order of its last axis."""

    buffer: Buffer
    is_kernel: bool
    channels: int | None
    counter: str | None  # PyTorch's name of what only it keeps

    def to_pytorch(self, array: Array) -> Array:
        if self.is_kernel:
            array = np.moveaxis(array, -1, 1)
        array = array if self.channels is None else _swapped(array, (-1, self.channels))
        return array.copy()  # with one channel, the other order is a view of the model's own array

    def from_pytorch(self, array: Array) -> Array:
        if self.is_kernel:
            array = np.moveaxis(array, 1, -1)
        return array if self.channels is None else _swapped(array, (self.channels, -1))


def _swapped(array: Array, sides: tuple[int, int]) -> Array:
    """Return `array` with its last axis, that of all pairs of two sides, in the order of the other side first."""
    return array.reshape(*array.shape[:-1], *sides).swapaxes(-1, -2).reshape(array.shape)


def entries(model: Module, names: Any, input_shape: Any, flatten: Any) -> dict[str, Entry]:
    """Return the parameters and buffers of a network by their names in PyTorch."""
    channels = flat_channels(model, input_shape, flatten)
    owners = {id(buffer): module for _, module in model.named_modules() for buffer in own_buffers(module)}
    own: dict[str, Entry] = {}
    for name, buffer in model.named_state():
        owner = owners[id(buffer)]
        is_variance = isinstance(owner, BatchNorm) and buffer is owner.running_variance
        is_flat = not (isinstance(owner, Dense) and buffer is owner.bias)
        path = name.removesuffix("running_variance")
        own[path + "running_var" if is_variance else name] = Entry(
            buffer,
            isinstance(owner, (Conv1D, Conv2D, ConvTranspose2D)) and buffer is owner.weight,
            channels.get(id(owner)) if is_flat else None,
            path + COUNTER if is_variance else None,
        )
    renamed = _renamed([*own, *(entry.counter for entry in own.values() if entry.counter is not None)], names)
    return {
        renamed[name]: entry._replace(counter=None if entry.counter is None else renamed[entry.counter])
        for name, entry in own.items()
    }


def _renamed(own: Sequence[str], names: Any) -> dict[str, str]:
    """Return the name in PyTorch of each name, given the paths that differ, PyTorch's first.

    Raises: ValueError for paths that are no strings, that stand above nothing, or that make two names one.

    >>> _renamed(["0.weight", "2.weight"], {"fc": "2"})
    {'0.weight': '0.weight', '2.weight': 'fc.weight'}
    """
    names = {} if names is None else names
    if not isinstance(names, Mapping) or not all(isinstance(path, str) for pair in names.items() for path in pair):
        raise ValueError(f"names: expected paths of minidl's layers by those of PyTorch's, received {shown(names)}")
    theirs = {path: their_path for their_path, path in names.items()}
    if len(theirs) < len(names):
        raise ValueError(f"names: expected each of minidl's paths once, received {shown(names)}")
    used, renamed = set(), {}
    for name in own:
        above = [path for path in theirs if path in ("", name) or name.startswith(f"{path}.")]
        path = max(above, key=len, default=None)
        if path is None:
            renamed[name] = name
            continue
        used.add(path)
        renamed[name] = join(theirs[path], name.removeprefix(path).removeprefix("."))
    if unused := [path for path in theirs if path not in used]:
        raise ValueError(f"names: expected paths of layers with parameters, received {', '.join(map(repr, unused))}")
    if len(set(renamed.values())) < len(renamed):
        raise ValueError(f"names: expected a name of its own for each array, received {shown(names)}")
    return renamed
