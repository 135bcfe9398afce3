"""What a run of training leaves to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class History(Mapping[str, list[float]]):
    """A read-only mapping of a metric's name to its values, one an epoch.

    >>> history = History()
    >>> history.append(loss=0.69)
    >>> history["loss"]
    [0.69]
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {}

    def append(self, **metrics: float) -> None:
        """Add one epoch's metrics."""
        for name, value in metrics.items():
            self._columns.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return list(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"History({', '.join(self._columns)})"
