"""What `fit` and `evaluate` are given, checked before anything is trained and made into a Problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._samples import Samples, as_samples, each, is_outside_memory, of_each
from minidl._typing import Array, Seed
from minidl._validation import as_array, cast, check_finite, is_finite
from minidl.data.batches import Batches
from minidl.errors import LayerInputError
from minidl.layers import BatchNorm
from minidl.losses import Loss
from minidl.metrics import FunctionMetric, Metric, MetricFunction
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback, Checkpoint
from minidl.training.diagnosis import layer_outputs
from minidl.training.problem import Problem

RESERVED = ("loss", "accuracy", "seconds")  # names of what every run measures


class CheckedSlices:
    """Samples that are read as they are sliced, each slice an array that is checked then.

    This is how data larger than memory reaches a network: a `numpy.memmap`, or any array-like that slices by index.
    """

    def __init__(self, samples: Samples, name: str) -> None:
        self._samples, self._name = samples, name
        self.shape: tuple[int, ...] = samples.shape
        self.dtype = samples.dtype

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
    and targets (n,) to the (n, 1) of a network with one output. A tuple of inputs becomes JointSamples.

    Raises: ValueError for samples or targets that are empty, of different lengths, not finite, of the wrong shape or
    outside the loss's domain.
    """
    dtype = model.parameters()[0].data.dtype
    x, y = as_samples(x, f"{prefix}x"), as_array(y, f"{prefix}y")
    if not x.shape or y.ndim == 0 or len(x) != len(y) or y.size == 0:
        raise ValueError(
            f"{prefix}x and {prefix}y: expected at least one sample and one target for each, "
            f"received shapes {tuple(x.shape)} and {y.shape}"
        )
    x = of_each(lambda part, name: _checked_part(part, name, dtype, whole=whole), x, f"{prefix}x")
    check_finite(y, f"{prefix}y")
    loss.check_target(y)
    shape = (len(y), *_output_of_one(model, x).shape[1:])
    if y.ndim == 1 and shape == (len(y), 1):
        y = y[:, None]
    loss.check_shapes(shape, y)
    if loss.count(y) == 0:
        raise ValueError(f"{prefix}y: expected at least one target that counts, received {loss!r} and none")
    return x, loss.cast_target(y, dtype)


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


def checked_callbacks(callbacks: Any) -> list[Callback]:
    """Return the callbacks as a list, an empty one for None; checkpoints last, to hold what the others have made.

    Raises: TypeError for anything but instances of Callback in an iterable.
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a list of Callbacks, received {callbacks!r}")
    checked = list(callbacks)
    for i, callback in enumerate(checked):
        if not isinstance(callback, Callback):
            hint = "; make an instance of it" if isinstance(callback, type) else ""
            raise TypeError(f"callbacks[{i}]: expected a Callback, received {callback!r}{hint}")
    return sorted(checked, key=lambda callback: isinstance(callback, Checkpoint))


def written_problem(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    metrics: Mapping[str, Metric],
    x: Any,
    y: Any,
    batch_size: int | None,
    rng: Seed,
    augment: Any,
    validation_data: Any,
) -> Problem:
    """Return the problem as its user has written it, after all checks.

    Raises: ValueError as `checked_data` and `Batches` do, and for a last batch of one sample before a BatchNorm that
    needs two.
    """
    for name, buffer in model.named_state():
        if not is_finite(buffer.data):
            raise ValueError(f"model: expected finite weights, received NaN or infinity in {name}")
    whole = batch_size is None
    x, y = checked_data(x, y, "", model, loss, whole=whole)
    validation = checked_validation(validation_data, model, loss, whole=whole)
    batches = Batches(x, y, batch_size, rng, augment)
    _check_last_batch(model, batches)
    return Problem(model, loss, optimizer, batches, validation, metrics)


def _check_last_batch(model: Module, batches: Batches) -> None:
    """Raise a ValueError where training would come to a batch of one sample that a BatchNorm cannot be trained on."""
    size = batches.batch_size or len(batches.y)
    if min(size, len(batches.y)) > 1 and len(batches.y) % size != 1:
        return
    for entry in layer_outputs(model, each(np.asarray, batches.x[:1])):
        if isinstance(entry.layer, BatchNorm) and entry.x.size == entry.layer.features:
            raise ValueError(
                f"batch_size: expected batches of at least two samples for {entry.place}, which takes their variance; "
                f"received {len(batches.y)} samples in batches of {size}"
            )


@contextmanager
def errors_with_paths_of(model: Module) -> Iterator[None]:
    """Let errors about a layer's input name the layer as the user's model does, not as a rewritten one."""
    try:
        yield
    except LayerInputError as error:
        raise error.at(model.path_of(error.layer)) from None
