"""What a run of training leaves to look at."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from minidl._files import FilePath, atomic_write


class History(Mapping[str, list[float]]):
    """A read-only mapping of a metric's name to its values, one an epoch.

    The metrics are `loss` and `accuracy` of the training samples as they passed, `val_loss` and `val_accuracy` after
    the epoch where there is validation data, and `seconds`, the time the epoch took. `interrupted` is True where
    Ctrl-C ended the run.

    >>> history = History({"loss": [0.69, 0.52], "seconds": [0.1, 0.1]})
    >>> history["loss"], history.epochs, list(history)
    ([0.69, 0.52], 2, ['loss', 'seconds'])
    """

    def __init__(self, columns: Mapping[str, list[float]] | None = None) -> None:
        self._columns = {name: [float(value) for value in values] for name, values in (columns or {}).items()}
        self.interrupted = False

    @classmethod
    def of_interrupted(cls) -> History:
        """Return the history of a run that Ctrl-C has ended before its first epoch."""
        history = cls()
        history.interrupted = True
        return history

    @property
    def epochs(self) -> int:
        """The number of completed epochs."""
        return len(next(iter(self._columns.values()), []))

    def to_csv(self, path: FilePath) -> None:
        """Write one row an epoch, numbered from 0, under a row of names; floats are written in full.

        Raises: OSError where the file cannot be written.
        """
        import csv  # here, as `import minidl` need not wait for it

        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["epoch", *self._columns])
        writer.writerows([i, *row] for i, row in enumerate(zip_longest(*self._columns.values())))
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())

    def to_json(self, path: FilePath) -> None:
        """Write an object of metric names and lists; JSON has no word for NaN and infinity, which become null.

        Raises: OSError where the file cannot be written.
        """
        import json

        columns = {name: [v if math.isfinite(v) else None for v in values] for name, values in self._columns.items()}
        with atomic_write(path) as file:
            file.write(json.dumps(columns, indent=1, allow_nan=False).encode() + b"\n")

    def plot(self, path: FilePath | None = None) -> Any:
        """Draw the losses, and the accuracies where there are any, and return the matplotlib figure.

        Arguments: with a `path` the figure is saved there too.

        Raises: ImportError where matplotlib, the extra `plot`, is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("History.plot needs matplotlib: pip install 'minidl[plot]'") from None
        kinds = [kind for kind in ("loss", "accuracy") if kind in self or f"val_{kind}" in self]
        figure = Figure(figsize=(5 * max(1, len(kinds)), 3.5), layout="constrained")
        for i, kind in enumerate(kinds):
            axes = figure.add_subplot(1, len(kinds), i + 1)
            for name, label, style in ((kind, "training", "-"), (f"val_{kind}", "validation", "--")):
                if name in self:
                    axes.plot(self._columns[name], style, label=label)
            axes.set(xlabel="epoch", ylabel=kind)
            axes.grid(alpha=0.3)
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def _repr_html_(self) -> str:
        """Return the curves of the losses and of each metric, for notebooks."""
        from minidl._html import curves, paragraph  # here, as `import minidl` need not wait for it

        kinds = dict.fromkeys(name.removeprefix("val_") for name in self if name != "seconds")
        names = {kind: [name for name in (kind, f"val_{kind}") if name in self] for kind in kinds}
        drawn = [curves(kind, {name: self._columns[name] for name in own}) for kind, own in names.items()]
        return f"<div>{paragraph(repr(self))}{''.join(drawn)}</div>"

    def record(self, metrics: Mapping[str, float]) -> None:
        """Add one epoch's metrics; for the training loop."""
        for name, value in metrics.items():
            self._columns.setdefault(name, []).append(float(value))

    def truncate(self, epochs: int) -> None:
        """Keep the first epochs only; for the training loop."""
        for values in self._columns.values():
            del values[epochs:]

    def __getitem__(self, name: str) -> list[float]:
        return list(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        state = ", interrupted" if self.interrupted else ""
        return f"History({', '.join(self._columns)}; {self.epochs} epochs{state})"
