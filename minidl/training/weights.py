"""Weights of samples and of classes: what `fit` and `evaluate` are given, and the targets that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from minidl._samples import JointSamples
from minidl._typing import Array
from minidl._validation import is_natural, non_negative_number, shown
from minidl.losses import Loss, WeightedLoss
from minidl.losses.weighted import checked_weight
from minidl.metrics import Metric
from minidl.training.checked_data import CheckedData

ClassWeight: TypeAlias = Mapping[int, float] | Literal["balanced"] | None


class LossAccuracy(Metric):
    """The accuracy of a loss that classifies, in which samples count by their own weight, not by that of their class.

    >>> from minidl import BinaryCrossEntropy
    >>> metric = LossAccuracy(BinaryCrossEntropy())
    >>> metric.result(metric.measure(np.array([[0.9], [0.9]]), np.array([[1.0], [0.0]]), np.array([3.0, 1.0])))
    0.75
    """

    higher_is_better = True

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def measure(self, prediction: Array, target: Array, weight: Array | None = None) -> Array:
        """Return the weights of the right answers, summed up, and of all."""
        if weight is None:
            count = self.loss.count(target)
            return np.array([self.loss.accuracy(prediction, target) * count, count])
        weighted, y = WeightedLoss(self.loss), (target, weight)
        count = weighted.count(y)
        return np.array([weighted.accuracy(prediction, y) * count, count])

    def result(self, measured: Array) -> float:
        """Return their quotient."""
        right, count = measured
        return float(right / count)


class Targets(NamedTuple):
    """The targets of a run, with their weights where there are any, and what is to be computed of them."""

    y: Any
    validation_y: Any
    loss: Loss
    metrics: Mapping[str, Metric]


def weighted(
    loss: Loss,
    metrics: Mapping[str, Metric],
    data: CheckedData,
    validation: tuple[CheckedData, Any] | None,
    sample_weight: Any,
    class_weight: ClassWeight,
) -> Targets:
    """Return the targets with their weights and the loss and metrics of these, or all as it is without weights.

    Raises: TypeError for a loss that takes no weights; ValueError as `with_weights` and `class_weights_of` do.
    """
    checked, own = validation or (None, None)
    if sample_weight is None and class_weight is None and own is None:
        return Targets(data.y, checked and checked.y, loss, metrics)
    of_classes = class_weights_of(class_weight, data, loss)
    y = with_weights(data, loss, sample_weight, of_classes)
    validation_y = checked and with_weights(checked, loss, own, of_classes, "validation ")
    accuracy = {"accuracy": LossAccuracy(loss)} if loss.classifies else {}
    return Targets(y, validation_y, WeightedLoss(loss), {**accuracy, **metrics})


def with_weights(
    data: CheckedData, loss: Loss, sample_weight: Any, of_classes: Array | None = None, prefix: str = ""
) -> JointSamples:
    """Return checked targets with the weights that the loss gives them, and with those of the samples, if any.

    Arguments: `of_classes` are the weights of `class_weights_of`; `prefix` stands before `sample_weight` in messages.

    Raises: ValueError for weights of another shape, or that are not finite numbers of at least 0, or all 0.
    """
    y, own = data.y, None
    weight = np.ones(len(y))
    if sample_weight is not None:
        weight = own = checked_weight(sample_weight, data.shape[:1], f"{prefix}sample_weight")
    if of_classes is not None:
        class_weights = loss.class_weights(data.shape, y, of_classes)
        weight = class_weights * weight.reshape(-1, *(1 for _ in class_weights.shape[1:]))
    joint = (y, weight) if own is None else (y, weight, own)
    if WeightedLoss(loss).count(joint) == 0 or (own is not None and not own.any()):
        raise ValueError(f"{prefix}sample_weight and class_weight: expected a weight above 0 for one sample at least")
    return JointSamples(joint)


def class_weights_of(class_weight: ClassWeight, data: CheckedData, loss: Loss) -> Array | None:
    """Return a weight for each class, None for None.

    Formula: "balanced" gives class k of K the weight `n / (K n_k)`, with which all classes have the same part in the
    loss; n and n_k count targets, and K the classes that occur.

    Arguments: `class_weight` maps class numbers to weights, 1 for those that it leaves out.

    Raises: TypeError for something else, and for a loss without classes; ValueError for class numbers that the
    predictions do not have, weights that are not finite numbers of at least 0, and several columns of answers yes or
    no, which have no classes.
    """
    if class_weight is None:
        return None
    if type(loss).class_weights is Loss.class_weights:
        raise TypeError(f"class_weight: expected a loss that has classes, received {loss!r}")
    shape = data.shape
    is_one_column = loss.values_shape(shape) == shape
    if is_one_column and shape[1:] not in ((), (1,)):
        raise ValueError(f"class_weight: expected predictions of one column or of classes, received {shape}")
    classes = 2 if is_one_column else shape[-1]
    if isinstance(class_weight, str) and class_weight == "balanced":
        return _balanced(data, classes, loss)
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight: expected a mapping, 'balanced' or None, received {shown(class_weight)}")
    weights = np.ones(classes)
    for number, weight in class_weight.items():
        if not is_natural(number) or number >= classes:
            raise ValueError(f"class_weight: expected class numbers below {classes}, received {shown(number)}")
        weights[number] = non_negative_number(weight, f"class_weight[{number}]")
    return weights


def _balanced(data: CheckedData, classes: int, loss: Loss) -> Array:
    counted, counts = loss.counted(data.y), np.empty(classes)
    for number, one in enumerate(np.eye(classes)):
        shares = loss.class_weights(data.shape, data.y, one)
        counts[number] = (shares if counted is None else shares[counted]).sum(dtype=np.float64)
    occurs = counts > 0
    weights: Array = np.divide(counts.sum() / occurs.sum(), counts, out=np.ones(classes), where=occurs)
    return weights
