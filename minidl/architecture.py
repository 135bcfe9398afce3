"""A network as JSON values, and back: each module by its class's name and the arguments that build it anew.

    {"class": "Sequential", "arguments": {"layers": [{"class": "Dense", "arguments": {"in_features": 2, ...}}, ...]}}

Arguments are read from the attributes of the same names. An argument that is a module, or a list or dictionary of
modules, is described in its turn; what a constructor builds by itself is not.
"""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from inspect import Parameter as Argument
from typing import Any

import numpy as np

from minidl import containers, layers
from minidl._state import join
from minidl._typing import Array
from minidl.archive import as_json
from minidl.errors import ModelFileError
from minidl.module import Module
from minidl.parameter import Buffer

Classes = Mapping[str, type[Module]]
Arrays = Mapping[str, Array]

BUILT_IN: Classes = {name: getattr(layers, name) for name in layers.__all__} | {
    name: value
    for name, value in vars(containers).items()
    if isinstance(value, type) and issubclass(value, Module) and value is not Module
}

NOT_ARCHITECTURE = ("rng", "weight_init")
"""Arguments that give first values, which the file's arrays replace."""

LARGEST_UNBACKED = 2**20
"""A layer without arrays may still speak of sizes, of a pooling window or a megapixel picture."""

KEYS = {"class", "arguments"}


def describe(module: Module, path: str = "") -> dict[str, Any]:
    """Return the class and the arguments of a module as JSON values.

    Raises: ValueError naming the module for an argument that is no attribute, or is not JSON.

    >>> describe(layers.LeakyReLU(0.5))
    {'class': 'LeakyReLU', 'arguments': {'negative_slope': 0.5}}
    """
    arguments = {name: _described(value, path, name) for name, value in arguments_of(module, path).items()}
    return {"class": type(module).__name__, "arguments": arguments}


def arguments_of(module: Module, path: str = "") -> dict[str, Any]:
    """Return the arguments that build a module anew: those of its `config()` if it has one, else its attributes.

    A Parameter that an argument switches on or off, such as a bias, is the truth value of its presence.

    Raises: ValueError for an argument that has no default and is no attribute.
    """
    config = getattr(module, "config", None)
    if callable(config):
        return dict(config())
    arguments = {}
    for name, argument in inspect.signature(type(module)).parameters.items():
        if hasattr(module, name):
            value = getattr(module, name)
            is_switch = isinstance(argument.default, bool) and (value is None or isinstance(value, Buffer))
            arguments[name] = value is not None if is_switch else value
        elif name not in NOT_ARCHITECTURE and argument.default is Argument.empty:
            raise ValueError(
                f"{_title(path, module)}: cannot be saved, since its argument {name!r} is not among its attributes; "
                f"keep it as self.{name}, or return all arguments from a method config()"
            )
    return {name: value for name, value in arguments.items() if name not in NOT_ARCHITECTURE}


def named_descriptions(entry: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the path and the description of a module and of all modules among its arguments.

    >>> [path for path, _ in named_descriptions(describe(containers.Sequential(layers.ReLU())))]
    ['', 'layers.0']
    """
    yield path, entry
    for name, value in entry["arguments"].items():
        yield from _nested_descriptions(value, join(path, name))


def _nested_descriptions(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if _is_description(value):
        yield from named_descriptions(value, path)
    elif isinstance(value, (list, dict)):
        for name, item in enumerate(value) if isinstance(value, list) else value.items():
            yield from _nested_descriptions(item, join(path, str(name)))


def _described(value: Any, path: str, name: str) -> Any:
    """Return an argument as JSON values, modules in it as their descriptions."""
    if isinstance(value, Module):
        return describe(value, join(path, name))
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)) and _holds_modules(value):
        return [_described(item, join(path, name), str(i)) for i, item in enumerate(value)]
    if isinstance(value, dict) and _holds_modules(value.values()):
        return {key: _described(item, join(path, name), str(key)) for key, item in value.items()}
    return as_json(value, join(path, name))


def _holds_modules(values: Any) -> bool:
    return any(isinstance(v, Module) or (isinstance(v, (list, tuple, dict)) and _holds_modules(v)) for v in values)


def _is_description(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == KEYS


def build(entry: Any, arrays: Arrays, classes: Classes, path: str = "") -> Module:
    """Return the module that `entry` describes, of these classes, its weights still to be loaded from `arrays`.

    Raises: ModelFileError naming the module that cannot be built.

    >>> build({"class": "Dense", "arguments": {"in_features": 3, "out_features": 2}}, {}, BUILT_IN)
    Traceback (most recent call last):
    minidl.errors.ModelFileError: Dense: cannot be built: no array backs a weight of shape (2, 3)
    """
    name = entry.get("class") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not _is_description(entry):
        raise ModelFileError(f"{_title(path, 'network')}: expected a class and its arguments, received {entry!r:.100}")
    title = _title(path, f"{name:.100}")
    if name not in classes:
        hint = f"custom_layers={{{name!r:.100}: {name:.100}}}"
        raise ModelFileError(f"{title}: no built-in layer; give load the class by this name, {hint}")
    arguments = entry["arguments"]
    if not isinstance(arguments, dict):
        raise ModelFileError(f"{title}: expected arguments by name, received {arguments!r:.100}")
    cls = classes[name]
    _refuse_unbacked_sizes(arguments, arrays, title)
    below = _by_first_name(arrays)
    built = {
        key: _built(value, arrays if key == cls.positional else below.get(key, {}), classes, path, key, cls.positional)
        for key, value in arguments.items()
    }
    return _construct(cls, built, arrays, title)


def _built(value: Any, arrays: Arrays, classes: Classes, path: str, name: str, positional: str | None) -> Any:
    """Return an argument with the modules that are described in it."""
    here = path if name == positional else join(path, name)
    if _is_description(value):
        return build(value, arrays, classes, here)
    if not isinstance(value, (list, dict)):
        return value
    below = _by_first_name(arrays)
    if isinstance(value, list):
        return [_built(item, below.get(str(i), {}), classes, here, str(i), None) for i, item in enumerate(value)]
    return {key: _built(item, below.get(key, {}), classes, here, key, None) for key, item in value.items()}


def _by_first_name(arrays: Arrays) -> dict[str, dict[str, Array]]:
    """Return arrays grouped by the first part of their paths."""
    groups: defaultdict[str, dict[str, Array]] = defaultdict(dict)
    for path, array in arrays.items():
        first, _, rest = path.partition(".")
        groups[first][rest] = array
    return groups


def _refuse_unbacked_sizes(arguments: dict[str, Any], arrays: Arrays, title: str) -> None:
    """Raise a ModelFileError for a size so large that the module's own arrays cannot be its reason.

    A constructor allocates before anyone can compare shapes, so the sizes are looked at first: a whole number counts
    the elements along one axis, a list of them the elements of a shape, and a layer cannot need more than its arrays
    in the file have. What two numbers make together, a weight of 10^5 x 10^5, `_construct` refuses.
    """
    backed = max(LARGEST_UNBACKED, sum(array.size for array in arrays.values()))
    for name, value in arguments.items():
        if _size(value) > backed:
            raise ModelFileError(f"{title}: its {name} of {value!r:.100} is larger than its arrays in the file")


def _size(value: Any) -> int:
    if isinstance(value, list):
        return math.prod(map(_size, value))
    return max(1, value) if isinstance(value, int) else 1


def _construct(cls: type[Module], arguments: dict[str, Any], arrays: Arrays, title: str) -> Module:
    """Return a module of the class, its weights still to be filled in, and never larger than those in the file."""

    def weight_init(shape: tuple[int, ...], rng: np.random.Generator) -> Array:  # noqa: ARG001 - nothing is drawn
        if all(array.size != math.prod(shape) for array in arrays.values()):
            raise ModelFileError(f"no array backs a weight of shape {shape}")
        return np.zeros(shape)

    known = inspect.signature(cls).parameters
    initializer = {"weight_init": weight_init} if "weight_init" in known else {}
    stars = [name for name, argument in known.items() if argument.kind is Argument.VAR_POSITIONAL]
    named = {name: value for name, value in arguments.items() if name not in stars}
    try:
        return cls(*(item for name in stars for item in arguments.get(name, ())), **named, **initializer)
    except Exception as error:  # a layer of anybody's, and arguments of anybody's: it may raise what it likes
        raise ModelFileError(f"{title}: cannot be built: {error}") from error


def _title(path: str, name: object) -> str:
    return f"layer {path}, {name}" if path else f"{name}"
