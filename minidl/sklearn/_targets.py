"""What an estimator is to predict: classes or numbers, as a network is trained on them, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from minidl import functional
from minidl._typing import Array
from minidl.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from minidl.metrics import R2
from minidl.sklearn._losses import HalfSquaredError, SummedBinaryCrossEntropy


class ClassTargets:
    """Classes: two, for which a network has one output; more, one output each; or several answers yes or no a sample.

    Attributes: `classes` are the labels in their order, `outputs` is how many numbers the network returns a sample,
    `averaged` over how many of them the recorded loss is a mean.

    Raises: ValueError for targets that are no classes or of fewer than two, and for several columns that are not
    answers yes or no.
    """

    def __init__(self, y: Any, where: str, classes: Any = None) -> None:
        given = y if classes is None else classes
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(f"{where} y: expected one class a sample, or columns of 0 and 1, received {kind}")
        self.is_multilabel = kind == "multilabel-indicator"
        self.where = where
        self.classes: Array = np.arange(y.shape[1]) if self.is_multilabel else np.unique(given)
        if len(self.classes) < (1 if self.is_multilabel else 2):
            raise ValueError(f"{where} y: expected at least two classes, received 1 class: {self.classes[0]}")
        self.averaged = 1
        self.outputs = 1 if len(self.classes) == 2 and not self.is_multilabel else len(self.classes)

    def encoded(self, y: Any) -> Array:
        """Return what the network is trained on: class numbers, or columns of 0 and 1.

        Raises: ValueError for classes that are none of `classes`.
        """
        if y.shape[1:] != ((len(self.classes),) if self.is_multilabel else ()):
            expected = f"{len(self.classes)} columns of 0 and 1" if self.is_multilabel else "one class a sample"
            raise ValueError(f"{self.where} y: expected {expected}, as before, received an array of shape {y.shape}")
        if self.is_multilabel:
            return np.asarray(y, np.float64)
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(f"{self.where} y: expected some of the classes {self.classes}, received {unknown}, too")
        numbers = np.searchsorted(self.classes, y)
        return np.asarray(numbers[:, None], np.float64) if self.outputs == 1 else np.asarray(numbers)

    def loss(self) -> Loss:
        """Return the loss of the network's outputs, which are logits."""
        if self.outputs == 1 or self.is_multilabel:
            return SummedBinaryCrossEntropy()
        loss = SoftmaxCrossEntropy()
        loss.classifies = False  # so that training does not measure an accuracy in each step, which nothing would read
        return loss

    @property
    def of_logits(self) -> Loss:
        """The public loss that stands for `loss` in messages, and knows which last layers it contains."""
        is_binary = self.outputs == 1 or self.is_multilabel
        return BinaryCrossEntropy(from_logits=True) if is_binary else SoftmaxCrossEntropy()

    def predicted(self, logits: Array) -> Array:
        """Return the most probable class of each sample, or 0 and 1 for each answer."""
        if self.is_multilabel:
            return (logits > 0).astype(int)
        numbers = (logits[:, 0] > 0).astype(int) if self.outputs == 1 else logits.argmax(axis=1)
        predicted: Array = self.classes[numbers]
        return predicted

    def probabilities(self, logits: Array) -> Array:
        """Return the probability of each class, or of each answer yes, in float64.

        In float32 what is all but certain would be 1, whose logarithm is not that of `log_probabilities`.
        """
        logits = logits.astype(np.float64)
        if self.is_multilabel:
            return functional.sigmoid(logits)
        if self.outputs == 1:
            return np.hstack([functional.sigmoid(-logits), functional.sigmoid(logits)])
        return functional.softmax(logits)

    def log_probabilities(self, logits: Array) -> Array:
        """Return the logarithms of `probabilities`, in float64, also where these round to 0."""
        logits = logits.astype(np.float64)
        if self.is_multilabel:
            return -functional.softplus(-logits)
        if self.outputs == 1:
            return np.hstack([-functional.softplus(logits), -functional.softplus(-logits)])
        return functional.log_softmax(logits)

    def score(self, y: Any, predicted: Array, weight: Array | None) -> float:
        """Return the accuracy, several answers of a sample counting as right where all are."""
        right = predicted == y
        return float(np.average(right.all(axis=1) if self.is_multilabel else right, weights=weight))


class NumberTargets:
    """Numbers, one or several a sample."""

    def __init__(self, y: Array, where: str) -> None:
        self.is_one = y.ndim == 1
        self.outputs, self.where = 1 if self.is_one else y.shape[1], where
        self.averaged = self.outputs

    def encoded(self, y: Array) -> Array:
        """Return the numbers (n, outputs).

        Raises: ValueError for another number of columns than before.
        """
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.outputs:
            raise ValueError(f"{self.where} y: expected {self.outputs} columns, as before, received shape {y.shape}")
        return columns

    def loss(self) -> Loss:
        """Return the loss of the network's outputs."""
        return HalfSquaredError()

    @property
    def of_logits(self) -> Loss:
        """The same."""
        return self.loss()

    def predicted(self, outputs: Array) -> Array:
        """Return the numbers as they were given, one column as (n,)."""
        return outputs[:, 0] if self.is_one else outputs

    def score(self, y: Array, predicted: Array, weight: Array | None) -> float:
        """Return the coefficient of determination, 0 where it is not defined, for targets that are all the same."""
        found = R2()(predicted, y, *(() if weight is None else (weight,)))
        return 0.0 if math.isnan(found) else found


def without_a_column(y: Array) -> Array:
    """Return targets of one column as (n,), with scikit-learn's warning, and others as they are."""
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
