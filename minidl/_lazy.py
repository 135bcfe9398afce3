"""Public names whose modules are loaded when they are first used, so that `import minidl` need not wait for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def on_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package, which loads names from their modules and keeps them.

    Where the environment variable `EAGER_IMPORT` is set, all are loaded at once: some tools look for names among those
    that a package holds already.

    Arguments: `modules` gives each name's module.

    >>> load = on_first_use("minidl", {"classification_report": "minidl.reports"})
    >>> load("classification_report").__module__
    'minidl.reports.classification'
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    if os.environ.get("EAGER_IMPORT"):
        for name in modules:
            load(name)
    return load
