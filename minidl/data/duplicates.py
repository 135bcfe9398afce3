"""Samples that stand in two sets: what a network has trained on says nothing about how well it does on new ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minidl._samples import Samples
from minidl.data._rows import samples_of

CHUNK = 64  # samples in memory at once


def find_duplicates(x_train: Any, x_test: Any) -> list[tuple[int, int]]:
    """Return `(i, j)` for every test sample j that is equal, bit for bit, to a training sample: i is the first such.

    Arguments: two array-likes of the same kind of samples; those outside memory are read a few at a time.

    Raises: ValueError for samples of different shapes or types, and for objects, which have no bits of their own.

    >>> find_duplicates([[1, 2], [3, 4], [5, 6]], [[7, 8], [3, 4]])
    [(1, 1)]
    """
    train, test = samples_of(x_train, "x_train"), samples_of(x_test, "x_test")
    both = train.shape and test.shape and train.dtype == test.dtype and train.dtype != np.dtype(object)
    if not both or train.shape[1:] != test.shape[1:]:
        raise ValueError(
            "x_train and x_test: expected samples of one shape and type, "
            f"received {train.dtype} {train.shape} and {test.dtype} {test.shape}"
        )
    first: dict[bytes, int] = {}
    for i, digest in enumerate(_digests(train)):
        first.setdefault(digest, i)
    return [(first[digest], j) for j, digest in enumerate(_digests(test)) if digest in first]


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Return 16 bytes that no two different contents will share; how they are cut into parts does not matter."""
    import hashlib  # here, as `import minidl` need not wait for it

    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _digests(samples: Samples) -> Iterator[bytes]:
    for start in range(0, len(samples), CHUNK):
        for sample in np.ascontiguousarray(samples[start : start + CHUNK]):
            yield digest_of([sample.tobytes()])
