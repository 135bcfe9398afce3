"""Which attacks there are, and how often each one tries."""

from __future__ import annotations

from typing import NamedTuple


class Counts(NamedTuple):
    """How often an attack tries: as a test, and in full."""

    small: int
    full: int


ATTACKS: dict[str, Counts] = {
    "model_files": Counts(1_200, 30_000),
    "checkpoints": Counts(800, 20_000),
    "kills": Counts(18, 600),
    "interrupts": Counts(120, 3_000),
    "lines": Counts(120, 9_000),
    "disk": Counts(60, 1_000),
    "photographs": Counts(600, 20_000),
    "odd_arrays": Counts(1, 1),  # the matrix is always whole
    "threads": Counts(2, 100),
    "processes": Counts(4, 60),
    "pickling": Counts(1, 1),
    "memory": Counts(2_000, 100_000),
}
