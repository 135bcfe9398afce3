"""A network from its description, which may come from anywhere: nothing is allocated that the file does not back."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Mapping
from inspect import Parameter as Argument
from typing import Any

import numpy as np

from minidl._state import join
from minidl._typing import Array
from minidl._validation import shown
from minidl.architecture import INITIALIZERS, Classes, is_description, path_of_argument, title_of
from minidl.errors import ModelFileError
from minidl.module import Module

Arrays = Mapping[str, Array]

LARGEST_UNBACKED = 2**20
"""Layers without arrays may still speak of sizes, of pooling windows or a megapixel picture: so much all together."""


def build(entry: Any, arrays: Arrays, classes: Classes) -> Module:
    """Return the module that `entry` describes, of these classes, its weights still to be loaded from `arrays`.

    Raises: ModelFileError naming the module that cannot be built.

    >>> from minidl.architecture import BUILT_IN
    >>> build({"class": "Dense", "arguments": {"in_features": 3, "out_features": 2}}, {}, BUILT_IN)
    Traceback (most recent call last):
    minidl.errors.ModelFileError: Dense: cannot be built: no array backs a weight of shape (2, 3)
    """
    return _Builder(classes, arrays).module(entry, arrays, "")


class _Builder:
    """Builds modules, and keeps account of what their constructors may allocate: about what the file holds."""

    def __init__(self, classes: Classes, arrays: Arrays) -> None:
        self.classes = classes
        self.sizes = {array.size for array in arrays.values()}
        self.numbers = sum(array.size for array in arrays.values())  # that weights may still have
        self.unbacked = LARGEST_UNBACKED
        self.signatures: dict[type, inspect.Signature] = {}  # `inspect.signature` is slower than most constructors

    def module(self, entry: Any, arrays: Arrays, path: str) -> Module:
        """Return the module of a description; `arrays` are those of its path."""
        name = entry.get("class") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not is_description(entry):
            where = title_of(path, "network")
            raise ModelFileError(f"{where}: expected a class and its arguments, received {shown(entry)}")
        title = title_of(path, f"{name:.100}")
        if name not in self.classes:
            hint = f"custom_layers={{{name!r:.100}: {name:.100}}}"
            raise ModelFileError(f"{title}: no built-in layer; give load the class by this name, {hint}")
        arguments = entry["arguments"]
        if not isinstance(arguments, dict):
            raise ModelFileError(f"{title}: expected arguments by name, received {shown(arguments)}")
        cls = self.classes[name]
        self.refuse_unbacked_sizes(arguments, arrays, title)
        below, built = _by_first_name(arrays), {}
        for key, value in arguments.items():
            own = arrays if key == cls.positional else below.get(key, {})
            built[key] = self.argument(value, own, path_of_argument(cls, path, key))
        return self.construct(cls, built, title)

    def argument(self, value: Any, arrays: Arrays, path: str) -> Any:
        """Return an argument with the modules that are described in it; `arrays` are those of its path."""
        if is_description(value):
            return self.module(value, arrays, path)
        if not isinstance(value, (list, dict)):
            return value
        below = _by_first_name(arrays)
        items = {str(i): item for i, item in enumerate(value)} if isinstance(value, list) else value
        built = {key: self.argument(item, below.get(key, {}), join(path, key)) for key, item in items.items()}
        return list(built.values()) if isinstance(value, list) else built

    def refuse_unbacked_sizes(self, arguments: dict[str, Any], arrays: Arrays, title: str) -> None:
        """Raise a ModelFileError for a size so large that the module's own arrays cannot be its reason.

        A constructor allocates before anyone can compare shapes, so the sizes are looked at first: a whole number
        counts the elements along one axis, a list of them the elements of a shape, and a layer cannot need more than
        its arrays in the file have. What two numbers make together, a weight of 10^5 x 10^5, `construct` refuses.
        """
        backed = sum(array.size for array in arrays.values())
        for name, value in arguments.items():
            size = _size(value)
            if size > backed:
                self.unbacked -= size
            if self.unbacked < 0:
                raise ModelFileError(f"{title}: its {name} of {shown(value)} is larger than its arrays in the file")

    def construct(self, cls: type[Module], arguments: dict[str, Any], title: str) -> Module:
        """Return a module of the class, its weights still to be filled in."""

        def weight_init(shape: tuple[int, ...], rng: np.random.Generator) -> Array:  # noqa: ARG001 - nothing is drawn
            size = math.prod(shape)
            if size not in self.sizes or size > self.numbers:
                raise ModelFileError(f"no array backs a weight of shape {shape}")
            self.numbers -= size
            return np.zeros(shape)

        try:
            if cls not in self.signatures:
                self.signatures[cls] = inspect.signature(cls)
            known = self.signatures[cls].parameters
            initializers = {name: weight_init for name in INITIALIZERS if name in known}
            if arguments.keys() & set(INITIALIZERS):
                raise TypeError(f"a file has no {' or '.join(INITIALIZERS)}")
            arguments |= initializers
            positional, named = _as_call(known, arguments)
            return cls(*positional, **named)
        except Exception as error:  # a layer of anybody's, and arguments of anybody's: it may raise what it likes
            raise ModelFileError(f"{title}: cannot be built: {error}") from error


def _as_call(known: Mapping[str, Argument], arguments: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments by name as a constructor takes them: by position before `*args`, the others by name."""
    named = dict(arguments)
    kinds = [argument.kind for argument in known.values()]
    positional: list[Any] = []
    for name, argument in known.items():
        if argument.kind is Argument.VAR_POSITIONAL:
            positional += named.pop(name, ())
        elif argument.kind is Argument.VAR_KEYWORD:
            named |= named.pop(name, {})
        elif argument.kind is Argument.POSITIONAL_ONLY or (
            argument.kind is Argument.POSITIONAL_OR_KEYWORD and Argument.VAR_POSITIONAL in kinds
        ):
            if name not in named and argument.default is Argument.empty:
                raise TypeError(f"missing argument {name!r}")
            positional.append(named.pop(name, argument.default))
    return positional, named


def _by_first_name(arrays: Arrays) -> dict[str, dict[str, Array]]:
    """Return arrays grouped by the first part of their paths."""
    groups: defaultdict[str, dict[str, Array]] = defaultdict(dict)
    for path, array in arrays.items():
        first, _, rest = path.partition(".")
        groups[first][rest] = array
    return groups


def _size(value: Any) -> int:
    """Return how many elements a number or a list of numbers may stand for, at most a little over 2^62."""
    if isinstance(value, list):
        size = 1
        for item in value:
            size *= _size(item)
            if size > 1 << 62:  # numbers in a file may have thousands of digits: their product is not needed
                break
        return size
    return min(max(1, value), 1 << 62) if isinstance(value, int) else 1
