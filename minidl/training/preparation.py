"""What `fit` and `evaluate` are given, checked before anything is trained and made into a Problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._samples import Samples, as_samples, is_outside_memory
from minidl._typing import Array
from minidl._validation import check_finite, is_finite
from minidl.errors import LayerInputError
from minidl.losses import Loss
from minidl.metrics import FunctionMetric, Metric, MetricFunction
from minidl.module import Module
from minidl.optimizers import Optimizer

RESERVED = ("loss", "accuracy", "seconds")  # names of what every run measures


class CheckedSlices:
    """Samples that are read as they are sliced, each slice an array that is checked then.

    This is how data larger than memory reaches a network: a `numpy.memmap`, or any array-like that slices by index.
    """

    def __init__(self, samples: Samples, name: str) -> None:
        self._samples, self._name = samples, name
        self.shape, self.dtype = samples.shape, samples.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Array) -> Array:
        part = np.asarray(self._samples[rows])
        if not is_finite(part):
            check_finite(part, self._name, np.arange(len(self))[rows])
        return part


def checked_data(x: Any, y: Any, prefix: str, model: Module, loss: Loss, *, whole: bool) -> tuple[Any, Array]:
    """Return samples and targets ready for a network and its loss, after all checks, the network's on one sample.

    Arguments: `prefix` stands before x and y in messages; `whole` means that all samples will be used at once, so that
    they are best read now. Floating samples and targets in memory are brought to the precision of the network once,
    and targets (n,) to the (n, 1) of a network with one output.

    Raises: ValueError for samples or targets that are empty, of different lengths, not finite, of the wrong shape or
    outside the loss's domain.
    """
    dtype = model.parameters()[0].data.dtype
    x, y = as_samples(x), np.asarray(y)
    if not x.shape or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{prefix}x and {prefix}y: expected at least one sample and one target for each, "
            f"received shapes {tuple(x.shape)} and {y.shape}"
        )
    if is_outside_memory(x) and not whole:
        x = CheckedSlices(x, f"{prefix}x")
    else:
        x = np.asarray(x[:])
        if x.dtype.kind == "f":
            x = x.astype(dtype, copy=False)
        check_finite(x, f"{prefix}x")
    check_finite(y, f"{prefix}y")
    loss.check_target(y)
    shape = (len(y), *_output_of_one(model, x).shape[1:])
    if y.ndim == 1 and shape == (len(y), 1):
        y = y[:, None]
    loss.check_shapes(shape, y)
    return x, loss.cast_target(y, dtype)


def _output_of_one(model: Module, x: Any) -> Array:
    """Return the network's output for the first sample."""
    with calling(training=False):
        try:
            return model(x[:1])
        except LayerInputError:
            if type(x) is np.ndarray:
                model(x)  # which says the same of the shape that the user knows
            raise


def checked_validation(validation_data: Any, model: Module, loss: Loss, *, whole: bool) -> tuple[Any, Array] | None:
    """Return the validation pair as `checked_data` does, None for None.

    Raises: ValueError for anything but a pair, and as `checked_data` does.
    """
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise ValueError(f"validation_data: expected a pair (x, y), received {type(validation_data).__name__}")
    x, y = validation_data
    return checked_data(x, y, "validation ", model, loss, whole=whole)


def checked_metrics(metrics: Mapping[str, Metric | MetricFunction] | None) -> dict[str, Metric]:
    """Return metrics by name, functions among them as `FunctionMetric`.

    Raises: TypeError for something that is neither; ValueError for a name that training uses itself.
    """
    checked: dict[str, Metric] = {}
    for name, metric in (metrics or {}).items():
        if not isinstance(name, str) or name in RESERVED or name.startswith("val_"):
            raise ValueError(f"Trainer metrics: expected names other than {', '.join(RESERVED)}, received {name!r}")
        if isinstance(metric, type) or not (isinstance(metric, Metric) or callable(metric)):
            raise TypeError(f"Trainer metrics[{name!r}]: expected a Metric or a function, received {metric!r}")
        checked[name] = metric if isinstance(metric, Metric) else FunctionMetric(metric)
    return checked


def check_parts(model: Any, loss: Any, optimizer: Any) -> None:
    """Raise TypeError for parts of another kind, and ValueError for an optimizer of another model's parameters."""
    for value, kind, name in ((model, Module, "model"), (loss, Loss, "loss"), (optimizer, Optimizer, "optimizer")):
        if not isinstance(value, kind):
            raise TypeError(f"Trainer {name}: expected a {kind.__name__}, received {value!r}")
    own = {id(parameter) for parameter in model.parameters()}
    for i, parameter in enumerate(optimizer.parameters):
        if id(parameter) not in own:
            raise ValueError(
                f"Trainer optimizer: its parameter {i}, {parameter!r}, is not the model's; "
                "make the optimizer with model.parameters() of this model"
            )
