"""A network as JSON values, and back: each layer by its class's name and the arguments that build it anew."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minidl import layers
from minidl._typing import Array
from minidl.archive import ModelFileError, as_json
from minidl.initializers import Initializer
from minidl.module import Module
from minidl.sequential import Sequential

Classes = Mapping[str, type[Module]]

BUILT_IN: Classes = {name: getattr(layers, name) for name in layers.__all__} | {"Sequential": Sequential}

LARGEST_UNBACKED = 2**20
"""A layer without arrays may still speak of sizes, of a pooling window or a megapixel picture."""


def describe(module: Module, place: str = "") -> dict[str, Any]:
    """Return the class and the arguments of a module, of a Sequential those of its layers, as JSON values.

    Raises: ValueError naming the layer whose `config()` is missing or is not JSON.

    >>> describe(Sequential(layers.ReLU()))
    {'class': 'Sequential', 'layers': [{'class': 'ReLU', 'config': {}}]}
    """
    name = type(module).__name__
    if type(module) is Sequential:
        return {"class": name, "layers": [describe(layer, _join(place, i)) for i, layer in enumerate(module)]}
    title = _title(place, module)
    if type(module).config is Module.config and inspect.signature(type(module)).parameters:
        raise ValueError(f"{title}: {name} takes arguments; to be saved it needs a config() that returns them")
    return {"class": name, "config": as_json(module.config(), f"{title}: config()")}


def state_of(module: Module) -> dict[str, Array]:
    """Return the live arrays of all layers by name.

    Raises: ValueError for an array that belongs to two layers: built anew, each would have its own.
    """
    arrays: dict[str, Array] = {}
    owners: dict[int, str] = {}
    for place, leaf in leaves(module):
        for name, holder in leaf.named_state():
            name = _join(place, name)
            first = owners.setdefault(id(holder), name)
            if first != name:
                raise ValueError(f"{_title(place, leaf)}: {name} is {first}; a shared array cannot be saved")
            arrays[name] = holder.data
    return arrays


def leaves(module: Module, place: str = "") -> Iterator[tuple[str, Module]]:
    """Yield the layers with their places, those of nested Sequentials one by one.

    >>> [place for place, _ in leaves(Sequential(layers.ReLU(), Sequential(layers.ReLU())))]
    ['0', '1.0']
    """
    if type(module) is Sequential:
        for i, layer in enumerate(module):
            yield from leaves(layer, _join(place, i))
    else:
        yield place, module


def build(entry: Any, arrays: Mapping[str, Array], classes: Classes, place: str = "") -> Module:
    """Return the module that `entry` describes, of these classes and with these very arrays.

    Raises: ModelFileError naming the layer that cannot be built, or whose arrays are not exactly these.

    >>> build({"class": "Dense", "config": {"in_features": 3, "out_features": 2}}, {}, BUILT_IN)
    Traceback (most recent call last):
    minidl.archive.ModelFileError: Dense: cannot be built from its config: no array backs a weight of shape (2, 3)
    """
    name = entry.get("class") if isinstance(entry, dict) else None
    if not isinstance(name, str) or entry.keys() != {"class", "layers" if name == "Sequential" else "config"}:
        raise ModelFileError(f"{_title(place, 'network')}: expected a class and its config, received {entry!r:.100}")
    if name == "Sequential":
        return _build_sequential(entry["layers"], arrays, classes, place)
    title = _title(place, f"{name:.100}")
    if name not in classes:
        hint = f"custom_layers={{{name!r:.100}: {name:.100}}}"
        raise ModelFileError(f"{title}: no built-in layer; give load the class by this name, {hint}")
    config = entry["config"]
    if not isinstance(config, dict):
        raise ModelFileError(f"{title}: expected a config of named arguments, received {config!r:.100}")
    _refuse_unbacked_sizes(config, arrays, title)
    module = _construct(classes[name], config, arrays, title)
    _fill(module, arrays, title)
    return module


def _build_sequential(entries: Any, arrays: Mapping[str, Array], classes: Classes, place: str) -> Sequential:
    if not isinstance(entries, list):
        raise ModelFileError(f"{_title(place, 'Sequential')}: expected a list of layers, received {entries!r:.100}")
    by_layer: defaultdict[str, dict[str, Array]] = defaultdict(dict)
    for name, array in arrays.items():
        position, _, rest = name.partition(".")
        by_layer[position][rest] = array
    modules = [build(entry, by_layer.pop(str(i), {}), classes, _join(place, i)) for i, entry in enumerate(entries)]
    if by_layer:
        received = ", ".join(f"{_join(place, position)}.{rest}" for position in by_layer for rest in by_layer[position])
        raise ModelFileError(f"expected arrays of {len(entries)} layers only, received {received:.100}")
    return Sequential(*modules)


def _refuse_unbacked_sizes(config: dict[str, Any], arrays: Mapping[str, Array], title: str) -> None:
    """Raise a ModelFileError for a size so large that the layer's own arrays cannot be its reason.

    A constructor allocates before anyone can compare shapes, so the sizes are looked at first: a whole number counts
    the elements along one axis, a list of them the elements of a shape, and a layer cannot need more than its arrays
    in the file have. What two numbers make together, a weight of 10^5 x 10^5, `_construct` sees to.
    """
    backed = max(LARGEST_UNBACKED, sum(array.size for array in arrays.values()))
    for name, value in config.items():
        if _size(value) > backed:
            raise ModelFileError(f"{title}: its {name} of {value!r:.100} is larger than its arrays in the file")


def _size(value: Any) -> int:
    if isinstance(value, list):
        return math.prod(map(_size, value))
    return max(1, value) if isinstance(value, int) else 1


def _construct(cls: type[Module], config: dict[str, Any], arrays: Mapping[str, Array], title: str) -> Module:
    """Return a layer of the class, its weights still to be filled in, and never larger than those in the file."""

    def weight_init(shape: tuple[int, ...], rng: np.random.Generator) -> Array:  # noqa: ARG001 - nothing is drawn
        if all(array.size != math.prod(shape) for array in arrays.values()):
            raise ModelFileError(f"no array backs a weight of shape {shape}")
        return np.zeros(shape)

    initializers: dict[str, Initializer] = {"weight_init": weight_init}
    if "weight_init" not in inspect.signature(cls).parameters:
        initializers = {}
    try:
        return cls(**config, **initializers)
    except Exception as error:  # a layer of anybody's, and arguments of anybody's: it may raise what it likes
        raise ModelFileError(f"{title}: cannot be built from its config: {error}") from error


def _fill(module: Module, arrays: Mapping[str, Array], title: str) -> None:
    for name, holder in module.named_state():
        if name in arrays and arrays[name].dtype != holder.data.dtype:
            raise ModelFileError(f"{title}: {name}: expected {holder.data.dtype}, received {arrays[name].dtype}")
    try:
        module.load_state_dict(arrays)
    except ValueError as error:
        raise ModelFileError(f"{title}: {error}") from error


def _join(place: str, name: str | int) -> str:
    return f"{place}.{name}" if place else str(name)


def _title(place: str, name: object) -> str:
    return f"layer {place}, {name}" if place else f"{name}"
