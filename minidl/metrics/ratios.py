"""Precision, recall, F1 and balanced accuracy as objects: of class 1, of any class, or averaged over classes."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from minidl._typing import Array
from minidl._validation import finite_number, is_natural, shown
from minidl.metrics.classes import predicted_and_meant
from minidl.metrics.counts import ClassCounts, averaged, f1s, precisions, recalls
from minidl.metrics.metric import StreamingMetric
from minidl.metrics.weights import checked_weight

Average: TypeAlias = Literal["binary", "macro", "micro", "weighted"]
AVERAGES = ("binary", "macro", "micro", "weighted")


class OfClasses(StreamingMetric):
    """What precision, recall and F1 share: the counts of each class, and which number is made of the ratios.

    Arguments: `threshold` as for `accuracy`. `average` is "binary", the ratio of class 1 of two; "macro", the mean
    over the classes for which it is defined; "weighted", the same with each class as often as it is meant; "micro", the
    ratio of the counts of all classes together. `class_index` asks for the ratio of this class instead.
    """

    higher_is_better = True

    def __init__(
        self, threshold: float | None = None, *, average: Average = "binary", class_index: int | None = None
    ) -> None:
        name = type(self).__name__
        self.threshold = None if threshold is None else finite_number(threshold, f"{name} threshold")
        if average not in AVERAGES:
            raise ValueError(f"{name} average: expected one of {', '.join(AVERAGES)}, received {shown(average)}")
        if class_index is not None and not (is_natural(class_index) and average == "binary"):
            raise ValueError(
                f"{name} class_index: expected a class number and no average beside it, "
                f"received {shown(class_index)} and {average!r}"
            )
        self.average, self.class_index = average, class_index
        which = average if class_index is None else class_index
        self.name = type(self).name if which == "binary" else f"{type(self).name}_{which}"

    def ratios(self, counts: Array) -> Array:
        """Return the ratio of each class."""
        raise NotImplementedError

    def of_batch(self, prediction: Any, target: Any, weight: Any = None) -> ClassCounts:
        """Return the counts of each class."""
        answers = predicted_and_meant(prediction, target, self.threshold)
        found = ClassCounts.of(answers, checked_weight(weight, len(answers.meant)))
        if self.class_index is not None:
            if answers.classes is not None and self.class_index >= answers.classes:
                raise ValueError(
                    f"{type(self).__name__} class_index: expected a class below {answers.classes}, "
                    f"received {self.class_index}"
                )
        elif self.average == "binary":
            check_two_classes(found.classes)
        return found

    def added(self, first: ClassCounts, second: ClassCounts) -> ClassCounts:
        """Return the counts of two batches together."""
        return first.merged(second)

    def of_total(self, total: ClassCounts) -> float:
        """Return the number that is asked for."""
        if self.average == "micro":
            return float(self.ratios(total.counts.sum(axis=1, keepdims=True))[0])
        if self.average == "binary":
            return float(self.ratios(total.of_class(1 if self.class_index is None else self.class_index))[0])
        return averaged(self.ratios(total.counts), total.counts, self.average)

    def per_class(self, prediction: Any, target: Any, weight: Any) -> Array:
        """Return the ratio of every class (classes,), by its number."""
        answers = predicted_and_meant(prediction, target, self.threshold)
        return self.ratios(ClassCounts.of(answers, checked_weight(weight, len(answers.meant))).by_number())


def check_two_classes(classes: Array) -> None:
    """Raise a ValueError for classes other than 0 and 1."""
    if classes[0] < 0 or classes[-1] > 1:
        raise ValueError(
            f"expected the two classes 0 and 1, received the classes {shown(classes.tolist())}; "
            "for more there are average='macro', 'micro' or 'weighted', and class_index"
        )


class Precision(OfClasses):
    """The share of the samples predicted as a class that are of it.

    Formula: `tp / (tp + fp)`, nan where the class is never predicted.

    Shapes, Raises: as for `accuracy`.

    Arguments: `threshold` as for `accuracy`. `average` is "binary" (class 1 of two), "macro" (the mean over the classes
    for which it is defined), "weighted" (the same, each class as often as it is meant) or "micro" (all counts
    together); or else `class_index` is the class.

    >>> Precision()([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 0])
    0.5
    >>> Precision(average="macro")([0, 1, 2, 2], [0, 0, 2, 2])
    0.6666666666666666
    """

    def ratios(self, counts: Array) -> Array:
        """Return the precision of each class."""
        return precisions(counts)


class Recall(OfClasses):
    """The share of the samples of a class that are predicted as it.

    Formula: `tp / (tp + fn)`, nan where no sample is of the class.

    Shapes, Arguments, Raises: as for `Precision`.

    >>> Recall(class_index=0)([0, 1, 2, 2], [0, 0, 2, 2])
    0.5
    """

    def ratios(self, counts: Array) -> Array:
        """Return the recall of each class."""
        return recalls(counts)


class F1(OfClasses):
    """The harmonic mean of precision and recall of a class.

    Formula: `2 tp / (2 tp + fp + fn)`, nan where the class is neither predicted nor meant.

    Shapes, Arguments, Raises: as for `Precision`.

    >>> F1()([0.9, 0.2, 0.7, 0.4], [1, 0, 0, 1])
    0.5
    """

    def ratios(self, counts: Array) -> Array:
        """Return F1 of each class."""
        return f1s(counts)


class BalancedAccuracy(Recall):
    """The accuracy as it were if all classes were equally frequent.

    Formula, Shapes, Arguments, Raises: as for `balanced_accuracy`.

    >>> BalancedAccuracy()([0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0])
    0.5
    """

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__(threshold, average="macro")
        self.name = type(self).name
