"""The weight of the positive samples in a binary cross-entropy: one number, or one for each column."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from minidl import functional
from minidl._typing import Array
from minidl._validation import within

PosWeight: TypeAlias = float | tuple[float, ...]


def check_columns(pos_weight: PosWeight, shape: tuple[int, ...]) -> None:
    """Raise a ValueError for weights of other columns than predictions of this shape have."""
    if isinstance(pos_weight, tuple) and shape[-1:] != (len(pos_weight),):
        raise ValueError(
            f"BinaryCrossEntropy pos_weight: expected a number for each column of predictions {shape}, received "
            f"{len(pos_weight)} numbers"
        )


def weight_of_ones(pos_weight: PosWeight, dtype: np.dtype[Any]) -> Array:
    """Return the weights in an array that is broadcast over the columns.

    Raises: ValueError for a weight that is too large for the dtype.
    """
    weights = np.ravel(pos_weight)
    for weight in weights:
        within(dtype, float(weight), "BinaryCrossEntropy pos_weight")
    return weights.astype(dtype)


def weighted_gradient(prediction: Array, target: Array, pos_weight: PosWeight, *, from_logits: bool) -> Array:
    """Return n times the gradient, `(1 - t) dsoftplus(z)/dz + w t dsoftplus(-z)/dz` for logits."""
    weight = weight_of_ones(pos_weight, prediction.dtype)
    if from_logits:
        of_ones = target * functional.sigmoid(-prediction)
        of_zeros = (1 - target) * functional.sigmoid(prediction)
    else:
        # Bounded, so that the product with the weight stays below the largest number.
        limits = np.finfo(prediction.dtype)
        most = (limits.max * (1 - limits.eps) / np.maximum(1, weight)).astype(prediction.dtype)
        of_ones = np.minimum(target / np.maximum(prediction, limits.tiny), most)
        of_zeros = (1 - target) / np.maximum(1 - prediction, limits.tiny)
    gradient: Array = of_zeros - weight * of_ones
    return gradient
