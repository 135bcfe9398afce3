"""The file of a checkpoint: one tree of values, its arrays as members and the rest as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl._files import FilePath
from minidl._typing import Array
from minidl._validation import shown
from minidl.archive import read_archive, write_archive
from minidl.errors import ModelFileError
from minidl.training.checkpoint import TrainingState

KIND = "checkpoint"
ARRAY, FLOAT = "$array", "$float"  # the names by which the header's JSON refers to what it cannot hold


def write_checkpoint(path: FilePath, state: TrainingState) -> None:
    """Write a state into one file, whole or not at all.

    Raises: OSError where the file cannot be written; ValueError for a callback's state that the file cannot hold.
    """
    arrays: dict[str, Array] = {}
    header = _without_arrays(vars(state), "state", arrays)
    write_archive(path, KIND, header, arrays)


def read_checkpoint(path: FilePath) -> TrainingState:
    """Read a state back.

    Raises: FileNotFoundError; ModelFileError for a file that is no whole checkpoint.
    """
    header, arrays = read_archive(path, KIND)
    try:
        return TrainingState.checked(_with_arrays(header, arrays))
    except (ModelFileError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a whole checkpoint: {error}") from error


def _without_arrays(tree: Any, name: str, arrays: dict[str, Array]) -> Any:
    """Return `tree` with each array replaced by a reference to its name, and collect the arrays.

    NumPy's scalars become Python's. JSON has no word for NaN and infinity, such as the best value so far before there
    is one: they become strings.
    """
    if isinstance(tree, np.generic):
        tree = tree.item()
    if hasattr(tree, "__array__"):
        arrays[name] = np.asarray(tree)
        return {ARRAY: name}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {FLOAT: str(tree)}
    if isinstance(tree, Mapping):
        return {key: _without_arrays(value, f"{name}.{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_without_arrays(value, f"{name}.{i}", arrays) for i, value in enumerate(tree)]
    return tree


def _with_arrays(tree: Any, arrays: Mapping[str, Array]) -> Any:
    """Return `tree` with each reference replaced by its array, and each number that is a string by the number."""
    if isinstance(tree, Mapping):
        if list(tree) == [ARRAY]:
            if tree[ARRAY] not in arrays:
                raise ModelFileError(f"it refers to an array {shown(tree[ARRAY])} that it does not hold")
            return arrays[tree[ARRAY]]
        if list(tree) == [FLOAT]:
            return float(tree[FLOAT])
        return {key: _with_arrays(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays) for value in tree]
    return tree
