"""The contract of losses: what every loss must keep, checked on one of them at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from minidl._typing import Array, Seed
from minidl.errors import ContractError
from minidl.losses import Loss
from minidl.testing._inputs import close
from minidl.testing.gradcheck import gradcheck
from minidl.testing.passes import DTYPES, require, require_like


def check_loss(
    loss: Loss, prediction: Array, target: Array, *, bad: Iterable[tuple[Any, Any]] = (), rng: Seed = 0
) -> None:
    """Put a loss through the contract on a floating prediction and its target.

    - The value is a float and a mean: the batch taken twice has the same, and half the gradient. The gradient has the
      prediction's shape and dtype, float32 as well as float64, and agrees with central differences (`gradcheck`), also
      for a batch of one, which a loss may refuse by a ValueError.
    - Value and gradient keep no state; the arrays of the caller are neither changed nor shared.
    - Each pair of `bad` (prediction, target) is answered by a ValueError that names the loss.

    Raises: ContractError that says what was broken; GradientError for a wrong gradient.

    >>> from minidl import BinaryCrossEntropy
    >>> check_loss(BinaryCrossEntropy(), np.array([[0.2], [0.7]]), np.array([[0.0], [1.0]]))
    """
    attributes = copy.deepcopy(vars(loss))
    for dtype in DTYPES:
        _check_loss_once(loss, prediction.astype(dtype), target.astype(dtype) if target.dtype.kind == "f" else target)
    require(_are_same(vars(loss), attributes), loss, "it keeps state: a call changes its attributes")
    gradcheck(loss, prediction, target, rng=rng)
    _check_mean_and_history(loss, prediction, target)
    _check_loss_of_one(loss, prediction[:1], target[:1], rng)
    for bad_prediction, bad_target in bad:
        try:
            loss(bad_prediction, bad_target)
        except ValueError as error:
            require(type(loss).__name__ in str(error), loss, f"the error does not name it: {error}")
        else:
            raise ContractError(f"{loss!r}: took {bad_prediction!r} with the target {bad_target!r} without an error")


def _check_loss_once(loss: Loss, prediction: Array, target: Array) -> None:
    before = prediction.copy(), target.copy()
    value = loss(prediction, target)
    require(type(value) is float, loss, f"expected a float, received {value!r}")
    cast = loss.cast_target(target, prediction.dtype)
    gradient = loss.gradient(prediction, cast)
    require_like(loss, "gradient", gradient, prediction)
    require(np.array_equal(loss.gradient(prediction, cast), gradient), loss, "a second gradient is another one")
    require(loss.value(prediction, cast) == value, loss, "a second value is another one")
    unchanged = np.array_equal(prediction, before[0]) and np.array_equal(target, before[1])
    require(unchanged, loss, "it changed the caller's prediction or target")
    shared = np.shares_memory(gradient, prediction) or np.shares_memory(gradient, target)
    require(not shared, loss, "its gradient shares memory with the caller's arrays")


def _check_mean_and_history(loss: Loss, prediction: Array, target: Array) -> None:
    """Require the same answers whatever other batch was asked about in between, and those of a mean."""
    prediction = prediction.astype(np.float64)
    target = loss.cast_target(target, prediction.dtype)
    once = loss.value(prediction, target), loss.gradient(prediction, target)
    repeated = np.concatenate([prediction, prediction]), np.concatenate([target, target])
    twice = loss.value(*repeated), loss.gradient(*repeated)
    require(
        abs(once[0] - twice[0]) <= 1e-12 * abs(once[0]),
        loss,
        f"a batch taken twice costs {twice[0]!r} instead of {once[0]!r}, the mean",
    )
    half = np.concatenate([once[1], once[1]]) / 2
    require(close(twice[1], half), loss, "the gradient of a batch taken twice is not half that of the batch")
    gradient, value = loss.gradient(prediction, target), loss.value(prediction, target)
    same = value == once[0] and np.array_equal(gradient, once[1])
    require(same, loss, "after another batch, value or gradient of the same batch is another one")


def _check_loss_of_one(loss: Loss, prediction: Array, target: Array, rng: Seed) -> None:
    try:
        loss(prediction, target)
    except ValueError:
        return
    gradcheck(loss, prediction, target, rng=rng)


def _are_same(now: Any, before: Any) -> bool:
    """Return whether an attribute's value is still what a deep copy of it was before."""
    if type(now) is not type(before):
        return False
    if isinstance(now, np.ndarray):
        return now.dtype == before.dtype and np.array_equal(now, before, equal_nan=now.dtype.kind in "fc")
    if isinstance(now, np.random.Generator):
        return _are_same(now.bit_generator.state, before.bit_generator.state)
    if isinstance(now, dict):
        return now.keys() == before.keys() and all(_are_same(now[key], before[key]) for key in now)
    if isinstance(now, (list, tuple)):
        return len(now) == len(before) and all(map(_are_same, now, before))
    if now is before or not hasattr(now, "__dict__"):
        return now is before or bool(now == before)
    return _are_same(vars(now), vars(before))
