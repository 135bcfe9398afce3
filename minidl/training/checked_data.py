"""Samples and targets that `fit` and `evaluate` are given, checked before anything is trained."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl._calls import calling
from minidl._samples import Samples, as_samples, each, is_outside_memory, of_each
from minidl._typing import Array, Seed
from minidl._validation import as_array, cast, check_finite
from minidl.errors import LayerInputError
from minidl.losses import Loss
from minidl.module import Module
from minidl.training.checked_slices import CheckedSlices

OF_CLASSES = "if these are classes, numpy.unique(y, return_inverse=True)[1] numbers them"


class Data(NamedTuple):
    """What `fit` is given besides the parts of a Problem, under the names of its arguments.

    Without `y`, `x` is an iterable of batches (x, y).
    """

    x: Any
    y: Any = None
    batch_size: int | None = None
    validation_data: Any = None
    rng: Seed = None
    augment: Any = None
    sample_weight: Any = None
    class_weight: Any = None
    validation_split: float | None = None
    drop_last: bool = False


class KnownOfModel:
    """What checks know of a network from one batch to the next: its precision, and its outputs' shapes by samples."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.dtype: np.dtype[Any] = model.parameters()[0].data.dtype
        self._shapes: dict[Any, tuple[int, ...]] = {}

    def output_shape(self, x: Any) -> tuple[int, ...]:
        """Return the shape of the network's output for a sample, which is the same for all samples of one kind.

        Raises: LayerInputError for samples that the network does not take.
        """
        kind = each(lambda part: (part.shape[1:], part.dtype), x[:1])
        if kind not in self._shapes:
            self._shapes[kind] = _output_of_one(self.model, x).shape[1:]
        return self._shapes[kind]


class CheckedData(NamedTuple):
    """Samples and targets after all checks, and the shape of the network's predictions for them."""

    x: Any
    y: Array
    shape: tuple[int, ...]


def checked_data(
    x: Any, y: Any, prefix: str, model: Module, loss: Loss, *, whole: bool, known: KnownOfModel | None = None
) -> CheckedData:
    """Return samples and targets ready for a network and its loss, after all checks, the network's on one sample.

    Arguments: `prefix` stands before x and y in messages; `whole` means that all samples will be used at once, so that
    they are best read now. Floating samples and targets in memory are brought to the precision of the network once,
    and targets (n,) to the (n, 1) of a network with one output. A tuple of inputs becomes JointSamples. `known`, if
    given, is used for many batches, so that the network is called on a few of them alone.

    Raises: ValueError for samples or targets that are empty, of different lengths, not finite, of the wrong shape or
    outside the loss's domain.
    """
    is_one_of_many, known = known is not None, known or KnownOfModel(model)
    x, y = as_samples(x, f"{prefix}x"), as_array(y, f"{prefix}y", OF_CLASSES)
    if not x.shape or y.ndim == 0 or len(x) != len(y) or y.size == 0:
        raise ValueError(
            f"{prefix}x and {prefix}y: expected at least one sample and one target for each, "
            f"received shapes {tuple(x.shape)} and {y.shape}"
        )
    x = of_each(lambda part, name: _checked_part(part, name, known.dtype, whole=whole), x, f"{prefix}x")
    check_finite(y, f"{prefix}y")
    loss.check_target(y)
    shape = (len(y), *known.output_shape(x))
    if y.ndim == 1 and shape == (len(y), 1):
        y = y[:, None]
    loss.check_shapes(shape, y)
    if not is_one_of_many and loss.count(y) == 0:  # one of many batches may have none
        raise ValueError(f"{prefix}y: expected at least one target that counts, received {loss!r} and none")
    return CheckedData(x, loss.cast_target(y, known.dtype), shape)


def _checked_part(x: Samples, name: str, dtype: np.dtype[Any], *, whole: bool) -> Samples:
    """Return samples that stay outside memory as CheckedSlices, others as an array after its checks."""
    if is_outside_memory(x) and not whole:
        return CheckedSlices(x, name)
    array = np.asarray(x[:])
    check_finite(array, name)
    return cast(array, dtype, name) if array.dtype.kind == "f" else array


def _output_of_one(model: Module, x: Any) -> Array:
    """Return the network's output for the first sample."""
    with calling(training=False):
        try:
            return model(x[:1])
        except LayerInputError:
            if not is_outside_memory(x):
                model(x[:])  # which says the same of the shape that the user knows
            raise


def checked_validation(
    validation_data: Any, model: Module, loss: Loss, *, whole: bool
) -> tuple[CheckedData, Any] | None:
    """Return the validation samples as `checked_data` does, and their weights or None; None for None.

    Raises: ValueError for anything but (x, y) or (x, y, sample_weight), and as `checked_data` does.
    """
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            "validation_data: expected a pair (x, y), or (x, y, sample_weight), received "
            f"{type(validation_data).__name__}"
        )
    x, y, *weight = validation_data
    return checked_data(x, y, "validation ", model, loss, whole=whole), weight[0] if weight else None
