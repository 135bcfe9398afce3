"""Names of what a layer keeps for its backward pass: those that its own source gives them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minidl._attributes import OPAQUE, attributes
from minidl._typing import Array
from minidl.module import Module

LITERALS = (ast.Dict, ast.List, ast.Tuple, ast.Set)


def saved_arrays(module: Module, x: Any) -> dict[str, Array]:
    """Return the arrays among what a module has saved for its backward pass, by name; those inside others have paths.

    An array of which the source is not there, or says no name, is called `input` where it is what the module was
    called with, else by its number.

    >>> from minidl import Dense
    >>> layer, x = Dense(2, 1), np.ones((1, 2), np.float32)
    >>> z = layer(x)
    >>> list(saved_arrays(layer, x))
    ['x']
    """
    saved = module._saved or ()
    names = next((names for names in saved_names(type(module)) if len(names) == len(saved)), None)
    found: dict[str, Array] = {}
    for i, thing in enumerate(saved):
        name = names[i] if names is not None else "input" if thing is x else str(i)
        found.update(_arrays(name, thing, set()))
    return found


def saved_names(kind: type[Module]) -> list[list[str]]:
    """Return what each `save_for_backward` in the `forward` of a class is given, as its source writes it.

    >>> from minidl import BatchNorm
    >>> saved_names(BatchNorm)
    [['x', 'mean', 'inverse_deviation', 'mask', 'count']]
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind.forward)))
    except (OSError, TypeError, SyntaxError, ValueError):  # a class made where no source is kept
        return []
    return [
        [str(i) if isinstance(part, LITERALS) else ast.unparse(part) for i, part in enumerate(node.args)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "save_for_backward"
        and not any(isinstance(argument, ast.Starred) for argument in node.args)
    ]


def _arrays(name: str, thing: Any, seen: set[int]) -> Iterator[tuple[str, Array]]:
    if isinstance(thing, np.ndarray):
        yield name, thing
        return
    if thing is None or isinstance(thing, (*OPAQUE, Module)) or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        parts: Any = [(f"{name}.{field}", part) for field, part in zip(thing._fields, thing, strict=True)]
    elif isinstance(thing, (list, tuple)):
        parts = [(f"{name}[{i}]", part) for i, part in enumerate(thing)]
    elif isinstance(thing, Mapping):
        parts = [(f"{name}[{key!r}]", part) for key, part in thing.items()]
    else:
        parts = [(f"{name}.{field}", part) for field, part in attributes(thing)]
    for path, part in parts:
        yield from _arrays(path, part, seen)
