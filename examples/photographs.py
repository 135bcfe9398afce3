"""The photographs of a run: read from a folder a class, and split into the parts to train on and to test on."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from command_line import one_line, timed

from minidl._typing import Array
from minidl.data import ImageDataset, find_duplicates, load_image_folders, open_image_folders, train_test_split
from minidl.data.split import rows_of
from minidl.data.subset import Subset

LISTED = 5  # duplicates that are printed


class Part(NamedTuple):
    """Photographs, uint8 (n, height, width, 3), in memory or read when asked for, and the numbers of their classes."""

    x: Any
    y: Array


class Photographs(NamedTuple):
    """The parts of a run; `validation` is None without early stopping.

    `digest` is a hash of all labels and pixels or, where photographs are read later, of the labels and their files.

    `test_names` are the names of the test part's files.
    """

    train: Part
    validation: Part | None
    test: Part
    class_names: tuple[str, ...]
    test_names: tuple[str, ...]
    digest: str


def load_photographs(
    options: argparse.Namespace, folders: Mapping[str, Path] | Path, positive: str | None = None
) -> Photographs:
    """Read the photographs of the folders, split them, and print what was found.

    The test part depends on the seed alone. The validation part, a share of `--test-size` too, is taken from what the
    test part leaves, so that nothing is ever chosen by the test part. For `--distributed` they are found, and read
    when they are asked for, so that each process reads its share; and no duplicates are searched for.

    Arguments: `folders` and `positive` are as for `minidl.data.load_image_folders`.

    Raises: ValueError for folders that have too few photographs; OSError for folders that cannot be read.
    """
    is_lazy = getattr(options, "distributed", False)
    with timed("loading"):
        reader = partial(open_image_folders, cache_bytes=0) if is_lazy else load_image_folders
        dataset = _read(folders, positive, options.size, reader)
    train, test = _split(dataset, np.arange(len(dataset)), options)
    validation = None
    if options.early_stopping:
        train, validation = _split(dataset, train, options)
    kept = "" if validation is None else f"{len(validation)} to choose the best weights by, "
    print(f"{len(train)} to train on, {kept}{len(test)} kept apart to test on")
    if not is_lazy:
        _print_duplicates(dataset, train if validation is None else np.concatenate([train, validation]), test)
    print()
    train_part, test_part = _part(dataset, train), _part(dataset, test)
    validation_part = None if validation is None else _part(dataset, validation)
    test_names = tuple(dataset.paths[row].name for row in test)
    digest = _digest_of_files(dataset) if is_lazy else _digest(dataset)
    return Photographs(train_part, validation_part, test_part, dataset.class_names, test_names, digest)


def _read(
    folders: Mapping[str, Path] | Path, positive: str | None, size: int, reader: Callable[..., ImageDataset]
) -> ImageDataset:
    """Return the photographs, and print how many each class has and which files are none."""
    dataset = reader(folders, (size, size), positive, progress=progress_of_reading())
    for name, count in dataset.class_counts.items():
        folder = folders / name if isinstance(folders, Path) else folders[name]
        print(f"{count:,} of class {one_line(name)} from {one_line(folder)}")
    for path, reason in dataset.skipped:
        print(f"skipped {one_line(path)}: {one_line(reason)}")
    return dataset


def practice_folder(options: argparse.Namespace, folders: str) -> Path:
    """Return where to draw pictures for a run without folders, and print it with the options that name folders."""
    folder: Path = options.out / "practice-pictures"
    print(f"No folders given ({folders}): drawing practice pictures into {one_line(folder)}")
    return folder


def _split(dataset: ImageDataset, rows: Array, options: argparse.Namespace) -> tuple[Array, Array]:
    """Return `rows` without the share that is kept apart, and that share, with each class in both."""
    try:
        rest, apart, *_ = train_test_split(rows, dataset.labels[rows], options.test_size, rng=options.seed)
    except ValueError:
        name, count = min(dataset.class_counts.items(), key=lambda item: item[1])
        parts = "to train on, to choose the best weights by" if options.early_stopping else "to train on"
        raise ValueError(
            f"--test-size: expected each class among the photographs {parts} and to test on, received a share of "
            f"{options.test_size:g} of {len(dataset)} photographs, {count} of them of class {name!r}: add photographs "
            f"of this class, leave it out, or give another share"
        ) from None
    return rest, apart


def progress_of_reading() -> Callable[[int, int], None] | None:
    """Return a function that shows the number of photographs read so far; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            end = "\n" if done == total else ""
            print(f"\rreading photographs: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)

    return show


def _part(dataset: ImageDataset, rows: Array) -> Part:
    return Part(rows_of(dataset.images, rows), dataset.labels[rows])


def _print_duplicates(dataset: ImageDataset, train: Array, test: Array) -> None:
    """Print the test photographs that are in the training part too: with them the test accuracy is too high."""
    pairs = find_duplicates(Subset(dataset.images, train), Subset(dataset.images, test))
    if pairs:
        print(f"{len(pairs)} of the {len(test)} photographs to test on are to train on, too:")
    for i, j in pairs[:LISTED]:
        print(f"  {one_line(dataset.paths[test[j]])} = {one_line(dataset.paths[train[i]])}")
    if len(pairs) > LISTED:
        print(f"  ... and {len(pairs) - LISTED} more")


def _digest_of_files(dataset: ImageDataset) -> str:
    digest = hashlib.blake2b(dataset.labels.tobytes(), digest_size=16)
    for path in dataset.paths:
        digest.update(f"{path.name}/{path.stat().st_size}/".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _digest(dataset: ImageDataset) -> str:
    digest = hashlib.blake2b(dataset.labels.tobytes(), digest_size=16)
    for picture in dataset.images:
        digest.update(picture.tobytes())
    return digest.hexdigest()
