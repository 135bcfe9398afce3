"""Samples that are no arrays, read row by row like those of an HDF5 data set, and an augmentation of them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minidl._typing import Array


class Rows:
    """Rows of an array, read when they are asked for; remembers which threads have asked."""

    def __init__(self, rows: Array, prefetch: bool = True) -> None:
        self.rows, self.shape, self.dtype, self.prefetch = rows, rows.shape, rows.dtype, prefetch
        self.threads: set[threading.Thread] = set()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Array:
        self.threads.add(threading.current_thread())
        result: Array = self.rows[index]
        return result


class Noise:
    """Adds noise to each sample, drawn from one generator; may be called ahead of its turn."""

    def __init__(self, rng: np.random.Generator, works_ahead: bool = True) -> None:
        self.rng, self.works_ahead = rng, works_ahead
        self.threads: set[threading.Thread] = set()

    def __call__(self, x: Array) -> Array:
        self.threads.add(threading.current_thread())
        noisy: Array = x + self.rng.normal(0, 0.1, x.shape).astype(x.dtype)
        return noisy


def prefetching_threads() -> list[threading.Thread]:
    """Return the threads that still read ahead, after those that are about to end have ended."""
    found = [thread for thread in threading.enumerate() if thread.name == "minidl prefetch"]
    for thread in found:
        thread.join(1)
    return [thread for thread in found if thread.is_alive()]
