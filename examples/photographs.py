"""The photographs of a run: read from two folders, and split into the parts to train on and to test on."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from command_line import one_line, timed
from practice_pictures import draw_practice_pictures

from minidl._typing import Array
from minidl.data import ImageDataset, find_duplicates, load_image_folders, train_test_split
from minidl.data.subset import Subset

LISTED = 5  # duplicates that are printed


class Part(NamedTuple):
    """Photographs, uint8 (n, height, width, 3), and their labels, 1 for a cat."""

    x: Array
    y: Array


class Photographs(NamedTuple):
    """The parts of a run; `validation` is None without early stopping; `digest` is a hash of all labels and pixels."""

    train: Part
    validation: Part | None
    test: Part
    class_names: tuple[str, ...]
    digest: str


def load_photographs(options: argparse.Namespace) -> Photographs:
    """Read the photographs, split them, and print what was found.

    The test part depends on the seed alone. The validation part, a share of `--test-size` too, is taken from what the
    test part leaves, so that nothing is ever chosen by the test part.
    """
    with timed("loading"):
        dataset = _read(options)
    rows = np.arange(len(dataset))
    train, test, y_train, _ = train_test_split(rows, dataset.labels, options.test_size, rng=options.seed)
    validation = None
    if options.early_stopping:
        train, validation, *_ = train_test_split(train, y_train, options.test_size, rng=options.seed)
    kept = "" if validation is None else f"{len(validation)} to choose the best weights by, "
    print(f"{len(train)} to train on, {kept}{len(test)} kept apart to test on")
    _print_duplicates(dataset, train if validation is None else np.concatenate([train, validation]), test)
    print()
    train_part, test_part = _part(dataset, train), _part(dataset, test)
    validation_part = None if validation is None else _part(dataset, validation)
    return Photographs(train_part, validation_part, test_part, dataset.class_names, _digest(dataset))


def _read(options: argparse.Namespace) -> ImageDataset:
    """Return the photographs of the given folders, or practice pictures."""
    cats, others = options.cats, options.others
    if cats is None:
        folder = options.out / "practice-pictures"
        print(f"No folders given (--cats DIR --others DIR): drawing practice pictures into {one_line(folder)}")
        cats, others = draw_practice_pictures(folder)
    dataset = load_image_folders(
        {"cat": cats, "not cat": others},
        size=(options.size, options.size),
        positive="cat",
        progress=progress_of_reading(),
    )
    count = int(dataset.labels.sum())
    print(f"{count} cats from {one_line(cats)}\n{len(dataset) - count} others from {one_line(others)}")
    for path, reason in dataset.skipped:
        print(f"skipped {one_line(path)}: {one_line(reason)}")
    return dataset


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
    return Part(dataset.images[rows], dataset.labels[rows])


def _print_duplicates(dataset: ImageDataset, train: Array, test: Array) -> None:
    """Print the test photographs that are in the training part too: with them the test accuracy is too high."""
    pairs = find_duplicates(Subset(dataset.images, train), Subset(dataset.images, test))
    if pairs:
        print(f"{len(pairs)} of the {len(test)} photographs to test on are to train on, too:")
    for i, j in pairs[:LISTED]:
        print(f"  {one_line(dataset.paths[test[j]])} = {one_line(dataset.paths[train[i]])}")
    if len(pairs) > LISTED:
        print(f"  ... and {len(pairs) - LISTED} more")


def _digest(dataset: ImageDataset) -> str:
    digest = hashlib.blake2b(dataset.labels.tobytes(), digest_size=16)
    for picture in dataset.images:
        digest.update(picture.tobytes())
    return digest.hexdigest()
