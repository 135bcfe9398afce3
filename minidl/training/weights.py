"""Weights of samples and of classes: what `fit` and `evaluate` are given, and the targets that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from minidl._overrides import promises
from minidl._samples import JointSamples
from minidl._typing import Array
from minidl._validation import non_negative_number, shown
from minidl.losses import Loss, WeightedLoss
from minidl.losses.weighted import checked_weight
from minidl.metrics import Metric
from minidl.training.checked_data import CheckedData

ClassWeight: TypeAlias = Mapping[int, float] | Literal["balanced"] | None


class Targets(NamedTuple):
    """The targets of a run, with their weights where there are any, and the loss of these."""

    y: Any
    validation_y: Any
    loss: Loss


def weighted(
    loss: Loss,
    metrics: Mapping[str, Metric],
    data: CheckedData,
    validation: tuple[CheckedData, Any] | None,
    sample_weight: Any,
    class_weight: ClassWeight,
) -> Targets:
    """Return the targets with their weights and the loss of these, or all as it is without weights.

    Raises: TypeError for a loss or a metric that takes no weights; ValueError as `with_weights` and `class_weights_of`.
    """
    held_out, held_out_weight = validation or (None, None)
    if sample_weight is None and not class_weight and held_out_weight is None:
        return Targets(data.y, None if held_out is None else held_out.y, loss)
    weighted_loss = WeightedLoss(loss)
    if sample_weight is not None or held_out_weight is not None:
        _check_takes_weights(loss, metrics)
    of_classes = class_weights_of(class_weight, data, loss) if class_weight else None
    y = with_weights(data, loss, sample_weight, of_classes)
    if held_out is None:
        return Targets(y, None, weighted_loss)
    return Targets(y, with_weights(held_out, loss, held_out_weight, of_classes, "validation "), weighted_loss)


def _check_takes_weights(loss: Loss, metrics: Mapping[str, Metric]) -> None:
    """Raise a TypeError for a loss or a metric that cannot weight its answers by the samples."""
    if loss.classifies and (type(loss).right is Loss.right or not promises(type(loss), "right", about="accuracy")):
        raise TypeError(f"sample_weight: expected a loss that defines `right` beside its `accuracy`, received {loss!r}")
    for name, metric in metrics.items():
        try:
            signature(metric.measure).bind(0, 0, 0)
        except TypeError:
            raise TypeError(
                f"sample_weight: expected metrics that define measure(prediction, target, weight), received "
                f"{metric!r} as {name!r}"
            ) from None


def with_weights(
    data: CheckedData, loss: Loss, sample_weight: Any, of_classes: Array | None = None, prefix: str = ""
) -> JointSamples:
    """Return checked targets with the weights for the loss, and with those of the samples, if any.

    Both are divided by their mean over the targets that count, so that a common factor of all weights changes nothing.

    Arguments: `of_classes` are the weights of `class_weights_of`; `prefix` stands before `sample_weight` in messages.

    Raises: ValueError for weights of another shape, or that are not finite numbers of at least 0, or all 0.
    """
    name, y = f"{prefix}sample_weight", data.y
    own = np.ones(len(y)) if sample_weight is None else checked_weight(sample_weight, data.shape[:1], name)
    own = _of_mean_1(own, data, loss, name)
    if of_classes is None:
        weight = own
    else:
        class_weights = loss.class_weights(data.shape, y, of_classes)
        given = "class_weight" if sample_weight is None else f"{name} and class_weight"
        weight = class_weights * own.reshape(-1, *(1 for _ in class_weights.shape[1:]))
        weight = _of_mean_1(weight, data, loss, given)
    return JointSamples((y, weight) if sample_weight is None else (y, weight, own))


def _of_mean_1(weight: Array, data: CheckedData, loss: Loss, name: str) -> Array:
    """Return weights over their mean, taken over all losses that count."""
    shape, counted, largest = loss.values_shape(data.shape), loss.counted(data.y), weight.max(initial=0)
    of_losses = np.broadcast_to(weight.reshape(*weight.shape, *(1 for _ in shape[weight.ndim :])), shape)
    used = of_losses if counted is None else of_losses[counted]
    if not used.any():
        raise ValueError(f"{name}: expected a weight above 0 for one sample at least, of {len(weight)} received none")
    with np.errstate(under="ignore"):  # a weight that is nothing beside the largest one is 0
        scaled: Array = weight / largest  # first, as a sum of the largest numbers would overflow
        return np.asarray(scaled / (used / largest).mean())


def class_weights_of(class_weight: Any, data: CheckedData, loss: Loss) -> Array:
    """Return a weight for each class.

    Formula: "balanced" gives class k of K the weight `n / (K n_k)`, with which all classes have the same part in the
    loss; n and n_k count targets, and K the classes that occur.

    Arguments: `class_weight` maps class numbers to weights, 1 for those that it leaves out.

    Raises: TypeError for something else, and for a loss without classes; ValueError for class numbers that the
    predictions do not have, weights that are not finite numbers of at least 0, and several columns of answers yes or
    no, which have no classes.
    """
    if type(loss).class_weights is Loss.class_weights:
        raise TypeError(f"class_weight: expected a loss that has classes, received {loss!r}")
    shape = data.shape
    is_one_column = loss.values_shape(shape) == shape
    if is_one_column and len(shape) > 1 and shape[-1] != 1:
        raise ValueError(f"class_weight: expected predictions of one column or of classes, received {shape}")
    classes = 2 if is_one_column else shape[-1]
    if isinstance(class_weight, str) and class_weight == "balanced":
        return _balanced(data, classes, loss)
    if not hasattr(class_weight, "items"):
        raise TypeError(
            "class_weight: expected a mapping of class numbers to weights, such as dict(enumerate(weights)), or "
            f"'balanced', received {shown(class_weight)}"
        )
    weights = np.ones(classes)
    for number, weight in class_weight.items():
        if number not in range(classes):  # where True is 1, and 1.0 is
            raise ValueError(f"class_weight: expected whole class numbers below {classes}, received {shown(number)}")
        weights[int(number)] = non_negative_number(weight, f"class_weight[{number}]")
    return weights


def _balanced(data: CheckedData, classes: int, loss: Loss) -> Array:
    y, counted = data.y, loss.counted(data.y)
    if loss.values_shape(data.shape) == data.shape:
        shares = (loss.class_weights(data.shape, y, one) for one in np.eye(2))
        counts = np.array([share.sum(dtype=np.float64) for share in shares])
    elif y.shape == data.shape:
        counts = y.reshape(-1, classes).sum(axis=0, dtype=np.float64)
    else:
        counts = np.bincount(y.ravel() if counted is None else y[counted], minlength=classes).astype(np.float64)
    occurs = counts > 0
    weights: Array = np.divide(counts.sum() / occurs.sum(), counts, out=np.ones(classes), where=occurs)
    return weights
