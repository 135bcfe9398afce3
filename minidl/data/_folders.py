"""The folders of a set of pictures: their classes and their files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

Folders: TypeAlias = Mapping[str, str | os.PathLike[str]]
"""A class's name to its folder."""


def class_names_of(folders: Folders, positive: str | None) -> tuple[str, ...]:
    """Return the classes in the order of their labels, after checking that no folder stands in another."""
    names = tuple(folders)
    if len(names) < 2:
        raise ValueError(f"folders: expected at least two classes, received {list(names)}")
    resolved = {name: Path(folder).resolve() for name, folder in folders.items()}
    for i, name in enumerate(names):
        for other in names[:i]:
            if resolved[name].is_relative_to(resolved[other]) or resolved[other].is_relative_to(resolved[name]):
                raise ValueError(
                    f"folders: expected a folder for each class, none inside another, "
                    f"received {folders[other]} and {folders[name]}"
                )
    if positive is None:
        return names
    if positive not in names or len(names) != 2:
        raise ValueError(f"positive: expected one of two classes, received {positive!r} of {list(names)}")
    return (next(name for name in names if name != positive), positive)


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder` sorted by path, without names that begin with a dot.

    Links to files are followed, links to folders are not: they may lead in circles. A link that leads nowhere is
    yielded, so that it is reported; pipes and devices, whose reading may never end, are not.
    """
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder, received a file")
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from list_files(path)
        elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and (path.is_file() or not path.exists())):
            yield path
