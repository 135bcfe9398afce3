"""Build the pages of the API, of every public module, into the folder that is named; a warning is an error."""

import os
import pkgutil
import sys
import typing
import warnings
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path

import pdoc

os.environ["EAGER_IMPORT"] = "1"
warnings.simplefilter("error")

import minidl  # noqa: E402 - what is loaded on first use is to be found at once


def public_modules(package):
    """Yield the names of a package and of all public modules in it."""
    yield package.__name__
    for found in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{found.name}"
        if found.ispkg:
            yield from public_modules(import_module(name))
        elif not found.name.startswith("_"):
            yield name


def say_modules_of_annotations(kind):
    """Let annotations that stand in another module than pdoc looks for their names in say which one it is."""
    if hasattr(kind, "_fields"):  # a NamedTuple
        for annotation in kind.__new__.__annotations__.values():
            if isinstance(annotation, typing.ForwardRef):
                annotation.__forward_module__ = kind.__module__
    elif is_dataclass(kind):
        for base in kind.__mro__[1:]:  # whose fields a dataclass inherits
            for name in vars(base).get("__annotations__", {}):
                if isinstance(text := kind.__init__.__annotations__.get(name), str):
                    kind.__init__.__annotations__[name] = typing.ForwardRef(text, module=base.__module__)


names = list(public_modules(minidl))
for module in map(import_module, names):
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__.startswith("minidl."):
            say_modules_of_annotations(kind)


def is_found_by_pdoc(name):
    """Return whether pdoc adds a module by itself: where its package has no `__all__`, or has its name there."""
    package, _, last = name.rpartition(".")
    return bool(package) and last in getattr(sys.modules[package], "__all__", [last])


pdoc.pdoc(*(name for name in names if not is_found_by_pdoc(name)), output_directory=Path(sys.argv[1]))
pages = {".".join(path.relative_to(sys.argv[1]).with_suffix("").parts) for path in Path(sys.argv[1]).rglob("*.html")}
missing = set(names) - pages
if missing:
    raise SystemExit(f"no pages of {', '.join(sorted(missing))}")
print(f"{len(names)} pages")
