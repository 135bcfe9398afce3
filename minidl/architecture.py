"""A network as JSON values: each module by its class's name and the arguments that build it anew.

    {"class": "Sequential", "arguments": {"layers": [{"class": "Dense", "arguments": {"in_features": 2, ...}}, ...]}}

Arguments are read from the attributes of the same names. An argument that is a module, or a list or dictionary of
modules, is described in its turn; what a constructor builds by itself is not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from inspect import Parameter as Argument
from typing import Any

import numpy as np

from minidl import containers, layers
from minidl._state import join
from minidl.archive import as_json
from minidl.module import Module
from minidl.parameter import Buffer

Classes = Mapping[str, type[Module]]

BUILT_IN: Classes = {name: getattr(layers, name) for name in layers.__all__} | {
    name: value
    for name, value in vars(containers).items()
    if isinstance(value, type) and issubclass(value, Module) and value is not Module
}

INITIALIZERS = ("weight_init", "recurrent_init")
NOT_ARCHITECTURE = ("rng", *INITIALIZERS)
"""Arguments that give first values, which the file's arrays replace."""

KEYS = {"class", "arguments"}


def describe(module: Module, path: str = "") -> dict[str, Any]:
    """Return the class and the arguments of a module as JSON values.

    Raises: ValueError naming the module for an argument that is no attribute, or is not JSON.

    >>> describe(layers.LeakyReLU(0.5))
    {'class': 'LeakyReLU', 'arguments': {'negative_slope': 0.5}}
    """
    arguments = {
        name: _described(value, path_of_argument(module, path, name))
        for name, value in arguments_of(module, path).items()
    }
    return {"class": type(module).__name__, "arguments": arguments}


def path_of_argument(owner: Module | type[Module], path: str, name: str) -> str:
    """Return the path of a module's argument, as `state_dict` would name it: that of the module for `positional`.

    >>> path_of_argument(containers.Sequential, "body", "layers"), path_of_argument(layers.Dense, "body", "bias")
    ('body', 'body.bias')
    """
    return path if name == owner.positional else join(path, name)


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
                f"{title_of(path, module)}: cannot be saved, since its argument {name!r} is not among its attributes; "
                f"keep it as self.{name}, or return all arguments from a method config()"
            )
    return {name: value for name, value in arguments.items() if name not in NOT_ARCHITECTURE}


def described_modules(module: Module, path: str = "") -> Iterator[tuple[str, Module, dict[str, Any]]]:
    """Yield a module and all modules among its arguments, with their paths and what their arguments are.

    >>> [(path, plain) for path, _, plain in described_modules(containers.Sequential(layers.LeakyReLU(0.5)))]
    [('', {'layers': 'modules: 1'}), ('0', {'negative_slope': 0.5})]
    """
    plain: dict[str, Any] = {}
    nested: list[tuple[str, Any]] = []
    for name, value in arguments_of(module, path).items():
        here = path_of_argument(module, path, name)
        if _holds_modules([value]):
            nested.append((here, value))
            plain[name] = f"modules: {1 if isinstance(value, Module) else len(value)}"
        elif value not in ([], (), {}):
            plain[name] = _described(value, here)
    yield path, module, plain
    for here, value in nested:
        yield from _modules_in(value, here)


def _modules_in(value: Any, path: str) -> Iterator[tuple[str, Module, dict[str, Any]]]:
    if isinstance(value, Module):
        yield from described_modules(value, path)
    elif isinstance(value, (list, tuple, dict)):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _modules_in(item, join(path, str(name)))


def _described(value: Any, path: str) -> Any:
    """Return an argument as JSON values, modules in it as their descriptions."""
    if isinstance(value, Module):
        return describe(value, path)
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)) and _holds_modules(value):
        return [_described(item, join(path, str(i))) for i, item in enumerate(value)]
    if isinstance(value, dict) and _holds_modules(value.values()):
        return {key: _described(item, join(path, str(key))) for key, item in value.items()}
    return as_json(value, path)


def _holds_modules(values: Any) -> bool:
    return any(isinstance(v, Module) or (isinstance(v, (list, tuple, dict)) and _holds_modules(v)) for v in values)


def is_description(value: Any) -> bool:
    """Return whether a JSON value has the form of a module's description.

    >>> is_description({"class": "ReLU", "arguments": {}})
    True
    """
    return isinstance(value, dict) and value.keys() == KEYS


def title_of(path: str, name: object) -> str:
    """Return how an error names a module.

    >>> title_of("body.1", layers.ReLU())
    'layer body.1, ReLU()'
    """
    return f"layer {path}, {name}" if path else f"{name}"


def built_in_class(module: Module, path: str, reason: str) -> type[Module]:
    """Return the built-in class of a module, of which it may be a subclass that computes nothing else.

    Raises: ValueError for another one, which gives the `reason` why only built-in ones are taken.

    >>> built_in_class(layers.ReLU(), "0", "").__name__
    'ReLU'
    """
    own = {"forward"} & vars(module).keys()
    for cls in type(module).__mro__:
        if cls in BUILT_IN.values():
            if own.isdisjoint(dir(cls)):
                kind: type[Module] = cls
                return kind
            break
        # Of the special methods a subclass may define others, such as __init__ and __repr__, but for the one of calls.
        own |= {name for name in vars(cls) if not name.startswith("__") or name == "__call__"}
    raise ValueError(
        f"{title_of(path, module)}: expected layers that minidl has, received one of the class "
        f"{type(module).__name__}, {reason}"
    )
