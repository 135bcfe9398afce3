"""The formula of a layer, as its docstring says it."""

from __future__ import annotations

import inspect
import re

from minidl.module import Module

WIDTH = 40  # letters, of a formula in a table


def formula_of(kind: type[Module]) -> str:
    """Return the first sentence of the formula in the docstring of a class, empty where there is none.

    >>> from minidl import Dense
    >>> formula_of(Dense)
    'z = x W.T + b'
    """
    found = re.search(r"^Formula\b,?:?\s*(.*?)\n\n( {2,}.*?\n\n)?", (inspect.getdoc(kind) or "") + "\n\n", re.M | re.S)
    if found is None:
        return ""
    text, block = found.group(1).rstrip(), found.group(2) or ""
    whole = f"{text} {block}" if text.endswith((",", ":")) else text
    return re.split(r"(?<!\.)\.(?:\s|$)|;|, computed", " ".join(whole.replace("`", "").split()))[0]


def shortened(text: str) -> str:
    """Return a text with its end cut off where it is longer than the table's column.

    >>> shortened("a = z"), len(shortened(100 * "a"))
    ('a = z', 40)
    """
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3].rstrip()}..."
