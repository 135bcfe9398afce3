"""The folders of a set of pictures: their classes and their files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

from minidl._validation import shown

Folders: TypeAlias = Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]
"""A class's name to its folder, or the folder that holds a folder for each class."""


Function = TypeVar("Function")

_NESTED = "{}: expected a folder for each class, none inside another, received {} and {}"


class Found(NamedTuple):
    """A file of a class, and why it is not read, or "" where it is to be read."""

    path: Path
    name: str
    problem: str


def as_path(path: Any, name: str) -> Path:
    """Return `path` as a Path.

    Raises: TypeError for anything but a string or a path.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise TypeError(f"{name}: expected a path, received {shown(path)}")
    return Path(path)


def check_callable(function: Function, name: str) -> Function:
    """Return `function` itself.

    Raises: TypeError for anything that cannot be called, but None.
    """
    if function is not None and not callable(function):
        raise TypeError(f"{name}: expected a function or None, received {shown(function)}")
    return function


def folders_of(folders: Any, argument: str) -> dict[str, Path]:
    """Return each class's name with its folder, after checking that no folder stands in another.

    One path stands for the folders in it, links among them, in the order of their names.

    Raises: TypeError for something else than a mapping or a path; ValueError for fewer than two classes or folders
    inside one another; FileNotFoundError or NotADirectoryError for a folder that is none.
    """
    if isinstance(folders, Mapping):
        paths = {name: as_path(folder, f"{argument}[{name!r}]") for name, folder in folders.items()}
        received = f"{list(paths)}"
    elif isinstance(folders, (str, os.PathLike)):
        root = _existing(as_path(folders, argument))
        paths = {path.name: path for path in _listed(root) if path.is_dir()}
        received = f"{list(paths)} in {root}"
    else:
        raise TypeError(
            f"{argument}: expected class names with their folders, or the folder that holds one folder for each class, "
            f"received {shown(folders)}"
        )
    for name in paths:
        if not isinstance(name, str):
            raise TypeError(f"{argument}: expected names of classes, received {shown(name)}")
    if len(paths) < 2:
        raise ValueError(f"{argument}: expected at least two classes, a folder for each, received {received}")
    _check_apart(list(paths.values()), argument)
    return paths


def _check_apart(paths: list[Path], argument: str) -> None:
    """Raise a ValueError where one folder is, or stands in, another."""
    first: dict[Path, Path] = {}
    for path in paths:
        other = first.setdefault(_existing(path).resolve(), path)
        if other is not path:
            raise ValueError(_NESTED.format(argument, other, path))
    for real, path in first.items():
        for parent in real.parents:
            if parent in first:
                raise ValueError(_NESTED.format(argument, first[parent], path))


def class_names_of(folders: Mapping[str, Path], positive: Any) -> tuple[str, ...]:
    """Return the classes in the order of their labels.

    Raises: ValueError for a `positive` that is not one of two classes.
    """
    names = tuple(folders)
    if positive is None:
        return names
    if not isinstance(positive, str) or positive not in names or len(names) != 2:
        raise ValueError(f"positive: expected one of two classes, received {shown(positive)} of {list(names)}")
    return (next(name for name in names if name != positive), positive)


def find_files(folders: Mapping[str, Path]) -> list[Found]:
    """Return the files below the folders, sorted by path in each, without names that begin with a dot.

    Links are followed, to each folder once, so that circles end. A link that leads nowhere is returned, so that it is
    reported, and so is one into the folder of another class, with its problem; pipes and devices, whose reading may
    never end, are not.
    """
    owners = {folder.resolve(): name for name, folder in folders.items()}
    return [found for name, folder in folders.items() for found in _files_in(folder, name, owners, set())]


def _files_in(folder: Path, name: str, owners: dict[Path, str], seen: set[Path]) -> Iterator[Found]:
    real = folder.resolve()
    owner = next((owners[parent] for parent in (real, *real.parents) if parent in owners), name)
    if owner != name:
        yield Found(folder, name, f"leads to {real}, a folder of class {owner!r}")
        return
    if real in seen:
        return
    seen.add(real)
    owners[real] = name
    for path in _listed(folder):
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            yield from _files_in(path, name, owners, seen)
        elif stat.S_ISREG(mode) or not mode:
            yield Found(path, name, "")


def _listed(folder: Path) -> list[Path]:
    """Return what stands in a folder, sorted by name, without names that begin with a dot."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _mode(path: Path) -> int:
    """Return the kind of file that a path leads to, 0 where it leads nowhere."""
    try:
        return path.stat().st_mode
    except OSError:  # whatever is wrong with it is reported when it is opened
        return 0


def _existing(folder: Path) -> Path:
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder, received a file")
    return folder
