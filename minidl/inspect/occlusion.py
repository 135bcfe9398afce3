"""Occlusion: how much a network's answer depends on each part of a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, cast, check_finite, is_natural, positive_int, shown
from minidl.layers import LogSoftmax, Sigmoid
from minidl.module import Module
from minidl.training.rewrites.layers import computes_as, last_layer

BATCH = 64  # covered pictures that are computed at once


class Occlusion(NamedTuple):
    """How far the probability of a class drops where a patch covers the picture.

    Attributes: `grid` (rows, columns) holds the drop of each patch, `upscaled` (height, width) the mean drop of the
    patches that cover a pixel; `class_index` is the class, `probability` the one of the whole picture; `tops` and
    `lefts` are the first rows and columns of the patches.
    """

    grid: Array
    upscaled: Array
    class_index: int
    probability: float
    tops: Array
    lefts: Array


def occlusion(
    model: Module, x: Any, of: int | None = None, patch: int = 16, stride: int = 8, fill: Any = None
) -> Occlusion:
    """Return how far the probability of a class drops when a square patch covers part of a picture.

    Formula: `drop = p(x) - p(x with the patch at (r, c) filled)`, for patches at each multiple of `stride`, and last
    ones that end at the lower and the right edge.

    Shapes: `x` (height, width, channels), or a batch of one such picture.

    Arguments: `of` is the class; None is the one that the network says, of one output class 1 for a probability above
    0.5 or a logit above 0. `fill` is a number or one for each channel, by default the picture's mean of each channel.
    For a network that ends in neither Sigmoid, Softmax nor LogSoftmax, the drop and `probability` are of its output,
    for class 0 of a single output of minus that output; for LogSoftmax they are of the exponential of its output.

    Raises: ValueError for other shapes, a `stride` above `patch`, for which some pixels would be under no patch, a
    class that there is none of, and for numbers that are not finite.

    Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (2014).

    >>> from minidl import Flatten, Sequential, mlp
    >>> found = occlusion(Sequential(Flatten(), *mlp([48, 1], rng=0)), np.ones((4, 4, 3)), patch=2, stride=1, fill=0)
    >>> found.grid.shape, found.upscaled.shape
    ((3, 3), (4, 4))
    """
    picture = _picture(x)
    patch, stride = positive_int(patch, "occlusion patch"), positive_int(stride, "occlusion stride")
    if stride > patch:
        raise ValueError(f"occlusion stride: expected at most the patch of {patch} pixels, received {stride}")
    colour = _colour(picture, fill)
    tops, lefts = (_starts(side, patch, stride) for side in picture.shape[:2])
    whole = _probabilities(model, picture[None])[0]
    is_logit = len(whole) == 1 and not computes_as(last_layer(model), Sigmoid)
    class_index, sign = _class_of(whole, of, 0.0 if is_logit else 0.5)
    column = class_index if len(whole) > 1 else 0
    places = [(int(top), int(left)) for top in tops for left in lefts]
    drops = np.zeros(len(places))
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        covered = np.repeat(picture[None], len(part), axis=0)
        for one, (top, left) in zip(covered, part, strict=True):
            one[top : top + patch, left : left + patch] = colour
        drops[start : start + BATCH] = sign * (whole[column] - _probabilities(model, covered)[:, column])
    total, count = np.zeros(picture.shape[:2]), np.zeros(picture.shape[:2])
    for drop, (top, left) in zip(drops, places, strict=True):
        total[top : top + patch, left : left + patch] += drop
        count[top : top + patch, left : left + patch] += 1
    probability = float(whole[column] if sign > 0 else (0 if is_logit else 1) - whole[column])
    return Occlusion(drops.reshape(len(tops), len(lefts)), total / count, class_index, probability, tops, lefts)


def _picture(x: Any) -> Array:
    picture = as_array(x, "occlusion x")
    picture = picture[0] if picture.ndim == 4 and len(picture) == 1 else picture
    if picture.ndim != 3 or picture.size == 0:
        raise ValueError(f"occlusion x: expected one picture (height, width, channels), received {np.shape(x)}")
    check_finite(picture, "occlusion x")
    return picture


def _colour(picture: Array, fill: Any) -> Array:
    """Return what a patch is filled with, in the type of the picture's numbers."""
    if fill is None:
        colour = picture.mean(axis=(0, 1), dtype=np.float64)
    else:
        colour = as_array(fill, "occlusion fill")
        if colour.shape not in ((), (1,), picture.shape[2:]):
            raise ValueError(f"occlusion fill: expected a number or {picture.shape[2]}, received {shown(fill)}")
        check_finite(np.atleast_1d(colour), "occlusion fill")
    if picture.dtype.kind in "iu":
        colour, limits = np.rint(colour), np.iinfo(picture.dtype)
        if colour.min() < limits.min or colour.max() > limits.max:
            raise ValueError(f"occlusion fill: expected numbers that {picture.dtype} holds, received {shown(fill)}")
    return cast(colour, picture.dtype, "occlusion fill")


def _starts(side: int, patch: int, stride: int) -> Array:
    """Return where patches begin along a side, the last one ending at its end.

    >>> _starts(10, 4, 3).tolist(), _starts(9, 4, 3).tolist(), _starts(3, 4, 3).tolist()
    ([0, 3, 6], [0, 3, 5], [0])
    """
    last = max(0, side - patch)
    return np.unique([*range(0, last + 1, stride), last])


def _probabilities(model: Module, pictures: Array) -> Array:
    """Return the probabilities (n, classes) or (n, 1), or the outputs of a network that gives none."""
    output = model.predict(pictures)
    output = output[:, None] if output.ndim == 1 else output
    if output.ndim != 2:
        raise ValueError(f"occlusion model: expected outputs (batch, classes), received shape {output.shape}")
    last = last_layer(model)
    output = output.astype(np.float64)
    return np.exp(output) if computes_as(last, LogSoftmax) else output


def _class_of(whole: Array, of: int | None, threshold: float) -> tuple[int, float]:
    """Return the class, and -1 where it is class 0 of a network of one output, else 1."""
    classes = max(2, len(whole))
    if of is not None and not (is_natural(of) and of < classes):
        raise ValueError(f"occlusion of: expected a class below {classes} or None, received {shown(of)}")
    if len(whole) == 1:
        class_index = int(whole[0] > threshold) if of is None else int(of)
        return class_index, 1.0 if class_index == 1 else -1.0
    return int(whole.argmax()) if of is None else int(of), 1.0
