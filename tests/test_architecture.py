"""The house rules: imports point one way, nothing optional is imported, nothing public is undocumented."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import minidl

PACKAGE = Path(minidl.__file__).parent

# Each room may import from itself and from the rooms above it in this list.
ROOMS = [
    "_typing", "_validation", "_samples", "_files", "_threads", "archive", "functional", "work_arrays", "parameter",
    "module", "initializers",
    "layers", "sequential", "architecture", "model_file", "metrics", "losses", "optimizers", "schedules", "data",
    "training", "testing",
]  # fmt: skip
# Rooms that, though further down, know nothing of these.
STRANGERS = {
    "losses": {"layers", "sequential"},
    "optimizers": {"layers", "sequential", "losses"},
    "data": {"parameter", "module", "layers", "sequential", "losses", "optimizers"},
    "testing": {"training", "data", "optimizers"},
}

MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(PACKAGE)], "minidl.") if not module.name.endswith("__main__")
)


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "minidl":
                yield from (f"minidl.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def wrong_arrows(room: str, imports: Iterator[str]) -> list[str]:
    rooms = [name.split(".")[1] for name in imports if name.startswith("minidl.")]
    allowed = set(ROOMS[: ROOMS.index(room) + 1]) - STRANGERS.get(room, set())
    return [target for target in rooms if target not in allowed]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up_the_page(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    assert room in ROOMS, f"{path}: which room is this?"
    assert wrong_arrows(room, imported_modules(path)) == []


def test_a_wrong_arrow_is_seen() -> None:
    assert wrong_arrows("layers", iter(["minidl.training.trainer"])) == ["training"]
    assert wrong_arrows("losses", iter(["minidl.layers", "minidl.module", "numpy"])) == ["layers"]


def test_import_needs_numpy_and_pillow_only() -> None:
    program = (
        "import sys; import minidl, minidl.data.image_folder, minidl.testing; "
        "files = {name for name, module in sys.modules.items() if getattr(module, '__file__', None)}; "
        "print(*{name.split('.')[0] for name in files} - set(sys.stdlib_module_names))"
    )
    known = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(result.stdout.split()) - {name.split(".")[0] for name in known.stdout.split()}
    assert names == {"minidl", "numpy", "PIL"}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS, extraglobs={"np": np})
    assert result.failed == 0


@pytest.mark.parametrize("name", minidl.__all__)
def test_public_names_are_documented_with_an_example(name: str) -> None:
    thing = getattr(minidl, name)
    text = inspect.getdoc(thing) or ""
    assert text.partition("\n")[0].endswith(".")
    assert ">>>" in text or name in ("Loss", "Optimizer"), "a base class has nothing to run; everything else has"
    for method_name, method in inspect.getmembers(thing, inspect.isfunction):
        if not method_name.startswith("_"):
            assert inspect.getdoc(method), f"{name}.{method_name}"
