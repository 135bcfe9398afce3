"""Samples that stand in two sets: what a network has trained on says nothing about how well it does on new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl._samples import Samples, as_samples

CHUNK = 64  # samples in memory at once


def find_duplicates(x_train: Any, x_test: Any) -> list[tuple[int, int]]:
    """Return `(i, j)` for every test sample j that is equal, bit for bit, to a training sample: i is the first such.

    Arguments: two array-likes of the same kind of samples; those outside memory are read a few at a time.

    Raises: ValueError for samples of different shapes or types.

    >>> find_duplicates([[1, 2], [3, 4], [5, 6]], [[7, 8], [3, 4]])
    [(1, 1)]
    """
    train, test = as_samples(x_train), as_samples(x_test)
    if not train.shape or train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
        raise ValueError(
            "x_train and x_test: expected samples of one shape and type, "
            f"received {train.dtype} {train.shape} and {test.dtype} {test.shape}"
        )
    first: dict[bytes, int] = {}
    for i, digest in enumerate(_digests(train)):
        first.setdefault(digest, i)
    return [(first[digest], j) for j, digest in enumerate(_digests(test)) if digest in first]


def digest_of(data: bytes | memoryview) -> bytes:
    """Return 16 bytes that no two different contents will share."""
    import hashlib  # here, as `import minidl` need not wait for it

    return hashlib.blake2b(data, digest_size=16).digest()


def _digests(samples: Samples) -> Iterator[bytes]:
    for start in range(0, len(samples), CHUNK):
        for sample in np.ascontiguousarray(samples[start : start + CHUNK]):
            yield digest_of(sample.tobytes())
