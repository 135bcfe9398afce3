"""An audit of folders of pictures: what is in them, and what would spoil a training or its test."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from minidl.data._folders import Folders, Found, check_callable, find_files, folders_of
from minidl.data._image_opening import load, opened
from minidl.data.duplicates import digest_of
from minidl.data.image_folder import FileProgress
from minidl.data.image_pixels import flat_strips
from minidl.errors import ImageFileError
from minidl.ops.parallel import in_threads

Group = tuple[Path, ...]
LISTED = 5  # entries of each kind that the printed form shows


@dataclass(frozen=True)
class ImageAudit:
    """What was found in folders of pictures; `print` it for a readable report.

    `counts` has the readable pictures of each class, `modes` those of each of Pillow's modes (RGB, L, P, ...), `sizes`
    those of each (height, width). `unreadable` lists (path, reason). `duplicates` are groups of files with the same
    pixels; of these, `conflicting` carry different labels, and `shared` stand on both sides of the split.
    """

    counts: Mapping[str, int]
    modes: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    unreadable: tuple[tuple[Path, str], ...]
    duplicates: tuple[Group, ...]
    conflicting: tuple[Group, ...]
    shared: tuple[Group, ...]

    def __str__(self) -> str:
        """The report, of at most a few lines for each kind of finding."""
        lines = [f"{sum(self.counts.values())} pictures: {_counted(self.counts)}", f"modes: {_counted(self.modes)}"]
        if self.sizes:
            heights, widths = zip(*self.sizes, strict=True)
            lines.append(
                f"sizes: {len(self.sizes)} different, {min(heights)} to {max(heights)} high, "
                f"{min(widths)} to {max(widths)} wide"
            )
        lines += _section("unreadable files", [f"{path}: {reason}" for path, reason in self.unreadable])
        for title, groups in (
            ("groups of files with the same pixels", self.duplicates),
            ("of these with different labels", self.conflicting),
            ("of these on both sides of the split", self.shared),
        ):
            lines += _section(title, [" = ".join(map(str, group)) for group in groups])
        return "\n".join(lines)


@dataclass(frozen=True)
class _Facts:
    path: Path
    label: str
    in_test: bool
    mode: str
    size: tuple[int, int]
    pixels: bytes


def audit_images(
    folders: Folders, test_folders: Folders | None = None, progress: FileProgress | None = None
) -> ImageAudit:
    """Look at every picture below the folders, without changing any.

    Duplicates are pictures with the same pixels after decoding, upright and in RGB at their own size: a file copied
    under another name, or saved again without loss or with other metadata, is found; one scaled or compressed anew is
    not.

    Arguments: `folders` maps a class's name to its folder, or is the folder that holds them, as for
    `load_image_folders`; `test_folders` likewise for pictures that are kept apart to test on, in folders of their own.
    `progress(done, total)` is called after each file.

    Raises: ValueError for fewer than two classes or folders inside one another; TypeError for folders that are none and
    for a `progress` that cannot be called; FileNotFoundError or NotADirectoryError for a folder that is none.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cats", "others"):
    ...         Path(root, name).mkdir()
    ...         Image.new("RGB", (32, 24)).save(f"{root}/{name}/one.png")
    ...     audit = audit_images({"cat": f"{root}/cats", "other": f"{root}/others"})
    >>> audit.counts, len(audit.duplicates), len(audit.conflicting)
    ({'cat': 1, 'other': 1}, 1, 1)
    """
    progress = check_callable(progress, "progress")
    parts = [(False, folders_of(folders, "folders"))]
    if test_folders is not None:
        parts.append((True, folders_of(test_folders, "test_folders")))
    files = [(found, in_test) for in_test, part in parts for found in find_files(part)]
    facts: list[_Facts] = []
    unreadable: list[tuple[Path, str]] = []
    with closing(in_threads(_look, files)) as findings:
        for done, found in enumerate(findings, 1):
            if isinstance(found, ImageFileError):
                unreadable.append((Path(found.path), found.reason))
            else:
                facts.append(found)
            if progress is not None:
                progress(done, len(files))
    labels = [label for _, part in parts for label in part]
    groups = list(_same_pixels(facts))
    return ImageAudit(
        counts={label: sum(fact.label == label for fact in facts) for label in dict.fromkeys(labels)},
        modes=dict(Counter(fact.mode for fact in facts).most_common()),
        sizes=dict(Counter(fact.size for fact in facts).most_common()),
        unreadable=tuple(unreadable),
        duplicates=tuple(_paths(group) for group in groups),
        conflicting=tuple(_paths(group) for group in groups if len({fact.label for fact in group}) > 1),
        shared=tuple(_paths(group) for group in groups if len({fact.in_test for fact in group}) > 1),
    )


def _look(file: tuple[Found, bool]) -> _Facts | ImageFileError:
    (path, label, problem), in_test = file
    if problem:
        return ImageFileError(path, problem)
    try:
        with opened(path) as picture:
            mode, size = picture.mode, (picture.height, picture.width)
            turn = load(picture)
            upright = picture if turn is None else picture.transpose(turn)
            strips = (strip.convert("RGB").tobytes() for strip in flat_strips(upright))
            pixels = digest_of(chain([f"{upright.size}".encode()], strips))
    except ImageFileError as error:
        return error
    return _Facts(path, label, in_test, mode, size, pixels)


def _same_pixels(facts: list[_Facts]) -> Iterator[list[_Facts]]:
    groups = defaultdict(list)
    for fact in facts:
        groups[fact.pixels].append(fact)
    return (group for group in groups.values() if len(group) > 1)


def _paths(group: list[_Facts]) -> Group:
    return tuple(fact.path for fact in group)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _section(title: str, entries: list[str]) -> list[str]:
    lines = [f"{title}: {len(entries) or 'none'}", *(f"  {entry}" for entry in entries[:LISTED])]
    return [*lines, f"  ... and {len(entries) - LISTED} more"] if len(entries) > LISTED else lines
