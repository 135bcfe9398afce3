"""How well a network tells classes apart: one report of precision, recall, F1 and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minidl._files import FilePath
from minidl._typing import Array
from minidl._validation import shown
from minidl.layers import Sigmoid
from minidl.metrics import confusion_matrix
from minidl.metrics.classes import in_unit_interval
from minidl.metrics.counts import averaged, f1s, precisions, recalls
from minidl.metrics.weights import ratio
from minidl.module import Module
from minidl.training.rewrites.layers import computes_as, last_layer

SHOWN_COUNTS = 20  # classes up to which the plot has room for a number in each cell


class Scores(NamedTuple):
    """Precision, recall and F1: numbers, or arrays with one for each class."""

    precision: Any
    recall: Any
    f1: Any


@dataclass(frozen=True, eq=False)
class ClassificationReport:
    """The result of `classification_report`; `str` makes a table of it, and a notebook shows it as one.

    Attributes: `class_names` (k of them), and the confusion `matrix` (k, k), how often each class, a row, was taken for
    each, a column. All else is made of these: `precision`, `recall`, `f1` and `support` (the number of samples) for
    each class, `accuracy`, and the averages `macro` and `weighted`, each with `precision`, `recall` and `f1`.

    >>> report = ClassificationReport(("other", "cat"), np.array([[8, 2], [1, 4]]))
    >>> report.accuracy, report.recall.tolist(), round(report.macro.precision, 3)
    (0.8, [0.8, 0.8], 0.778)
    """

    class_names: tuple[str, ...]
    matrix: Array

    @property
    def _counts(self) -> Array:
        """The samples of each class that are right, predicted and meant, (3, k)."""
        return np.stack([self.matrix.diagonal(), self.matrix.sum(axis=0), self.matrix.sum(axis=1)])

    @property
    def scores(self) -> Scores:
        """Precision, recall and F1 of each class, nan where there is nothing to divide by."""
        return Scores(self.precision, self.recall, self.f1)

    @property
    def precision(self) -> Array:
        """The share of the samples predicted as each class that are of it."""
        return precisions(self._counts)

    @property
    def recall(self) -> Array:
        """The share of the samples of each class that are predicted as it."""
        return recalls(self._counts)

    @property
    def f1(self) -> Array:
        """The harmonic mean of precision and recall of each class."""
        return f1s(self._counts)

    @property
    def support(self) -> Array:
        """The number of samples of each class."""
        counts: Array = self.matrix.sum(axis=1)
        return counts

    @property
    def accuracy(self) -> float:
        """The share of all samples that are right."""
        return float(ratio(self.matrix.trace(), self.matrix.sum()))

    @property
    def macro(self) -> Scores:
        """The means over the classes for which a ratio is defined."""
        return self._averages("macro")

    @property
    def weighted(self) -> Scores:
        """The same means with each class as often as it occurs."""
        return self._averages("weighted")

    def _averages(self, average: str) -> Scores:
        return Scores(*(averaged(values, self._counts, average) for values in self.scores))

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the table: for each line a name, three ratios and a number of samples, all as text."""
        support, total = self.support, f"{self.support.sum():,}"
        names = (" ".join(name.split()) for name in self.class_names)
        rows = [
            (name, *(f"{values[k]:.2f}" for values in self.scores), f"{support[k]:,}") for k, name in enumerate(names)
        ]
        averages = ("macro avg", self.macro), ("weighted avg", self.weighted)
        return [
            ("", "precision", "recall", "f1-score", "support"),
            *rows,
            ("accuracy", "", "", f"{self.accuracy:.2f}", total),
            *((name, *(f"{value:.2f}" for value in values), total) for name, values in averages),
        ]

    def __str__(self) -> str:
        head, *rows = self._rows()
        width = max(len(row[0]) for row in rows)
        lines = [f"{name:>{width}}" + "".join(f"{cell:>11}" for cell in cells) for name, *cells in (head, *rows)]
        return "\n".join([lines[0], "", *lines[1:-3], "", *lines[-3:]])

    def _repr_html_(self) -> str:
        """Return the table and the confusion matrix for a notebook."""
        from minidl._html import table  # here, as `import minidl` need not wait for it

        head, *rows = self._rows()
        taken = [
            (name, *(f"{count:,}" for count in row)) for name, row in zip(self.class_names, self.matrix, strict=True)
        ]
        return f"{table(head, rows)}\n{table(('is, taken for', *self.class_names), taken)}"

    def plot(self, path: FilePath | None = None) -> Any:
        """Draw the confusion matrix, coloured by the shares of each class, and return the matplotlib figure.

        Arguments: with a `path` the figure is saved there too.

        Raises: ImportError where matplotlib, the extra `plot`, is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("ClassificationReport.plot needs matplotlib: pip install 'minidl[plot]'") from None
        k = len(self.class_names)
        side = min(12.0, 2.5 + 0.55 * k)
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.add_subplot()
        shares = self.matrix / np.maximum(self.support, 1)[:, None]
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="predicted", ylabel="true", title=f"accuracy {self.accuracy:.1%}")
        axes.set_xticks(range(k), self.class_names, rotation=45 if k > 3 else 0, ha="right" if k > 3 else "center")
        axes.set_yticks(range(k), self.class_names)
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_parse_math(False)  # a dollar in a name is a dollar
        for i, j in np.ndindex(k, k) if k <= SHOWN_COUNTS else ():
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{self.matrix[i, j]:,}", ha="center", va="center", color=colour)
        figure.colorbar(image, label="share of the class")
        if path is not None:
            figure.savefig(path)
        return figure


def classification_report(
    model: Module, x: Any, y: Any, class_names: Sequence[str] | None = None, batch_size: int | None = None
) -> ClassificationReport:
    """Return how well a network tells the classes of samples apart.

    A network with one output is one of two classes. Where it ends in Sigmoid class 1 is predicted above 0.5, where it
    ends in another layer of minidl, such as Dense, above 0; after a layer of one's own above 0.5 if all outputs lie in
    [0, 1], else above 0. Of several outputs the largest is the prediction.

    Shapes: x as for `Module.predict`; y (n,) or (n, 1) of class numbers, or (n, classes) of one-hot rows.

    Arguments: `class_names`, one for each class, are their numbers if not given. `batch_size` bounds how many samples
    are computed at once.

    Raises: TypeError for a model that is none; ValueError as `Module.predict` and all metrics, and for another number
    of names than classes.

    >>> from minidl import Dense, Sequential
    >>> model = Sequential(Dense(1, 1, rng=0))
    >>> model[0].weight.data[:] = 1
    >>> print(classification_report(model, [[-1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1], ["other", "cat"]))
                  precision     recall   f1-score    support
    <BLANKLINE>
           other       1.00       0.50       0.67          2
             cat       0.67       1.00       0.80          2
    <BLANKLINE>
        accuracy                             0.75          4
       macro avg       0.83       0.75       0.73          4
    weighted avg       0.83       0.75       0.73          4
    """
    if not isinstance(model, Module):
        raise TypeError(f"classification_report model: expected a Module, received {shown(model)}")
    output = model.predict(x, batch_size)
    columns = output.shape[1] if output.ndim == 2 else 1
    matrix = confusion_matrix(output, y, max(2, columns), None if columns > 1 else _threshold(model, output))
    names = tuple(map(str, range(len(matrix)) if class_names is None else class_names))
    if isinstance(class_names, str) or len(names) != len(matrix):
        raise ValueError(
            f"class_names: expected {len(matrix)} names, one for each class, received {shown(class_names)}"
        )
    return ClassificationReport(names, matrix)


def _threshold(model: Module, output: Array) -> float:
    """Return the number above which one output means class 1."""
    last = last_layer(model)
    if computes_as(last, Sigmoid):
        return 0.5
    is_of_minidl = type(last).__module__.startswith("minidl.layers.")
    return 0.5 if not is_of_minidl and in_unit_interval(output) else 0.0
