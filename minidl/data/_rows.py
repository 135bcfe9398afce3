"""Rows of samples that need not be in memory, in any order."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._samples import JointSamples, Samples, is_outside_memory
from minidl._typing import Array
from minidl._validation import shown
from minidl.ops import tuning
from minidl.ops.buffers import empty


def samples_of(x: Any, name: str) -> Samples:
    """Return `x` itself where it is an array or gives its rows like one, else an array of it, of numbers or not.

    Raises: ValueError, which names the argument, for what cannot become an array, such as rows of different lengths.
    """
    gives_rows = hasattr(x, "shape") and hasattr(x, "dtype") and not hasattr(x, "__array__")
    if isinstance(x, np.ndarray) or is_outside_memory(x) or gives_rows:
        samples: Samples = x
        return samples
    try:
        return np.asarray(x)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: expected a rectangular array, received {shown(x)}") from error


def take(samples: Samples, rows: Array) -> Any:
    """Return the samples of these numbers in their order, inside a buffer pool in memory that is used again.

    Of JointSamples it is a tuple. Sources that are no arrays are asked for increasing numbers, each once, as HDF5 data
    sets take no others.

    >>> take(np.arange(10) ** 2, np.array([3, 1, 3])).tolist()
    [9, 1, 9]
    """
    if isinstance(samples, JointSamples):
        return tuple(take(part, rows) for part in samples.parts)
    if not isinstance(samples, np.ndarray):
        wanted, places = np.unique(rows, return_inverse=True)
        read = np.asarray(samples[wanted])
        return read if np.array_equal(wanted, rows) else take(read, places)
    if type(samples) is not np.ndarray or not samples.flags.c_contiguous:  # of which `take` would copy the whole
        return samples[rows]
    if len(rows) * samples.strides[0] < tuning.TUNING.pooled_bytes:
        return samples.take(rows, axis=0)
    taken = empty((len(rows), *samples.shape[1:]), samples.dtype)
    samples.take(rows, axis=0, out=taken, mode="clip")  # "raise" would copy them twice
    return taken
