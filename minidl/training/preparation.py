"""What `fit` is given, checked before anything is trained and made into a Problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from minidl._samples import as_samples, each
from minidl._validation import as_array, as_generator, check_finite, fraction, is_finite, positive_number, shown
from minidl.data.batches import Batches
from minidl.data.split import rows_of, train_test_split
from minidl.errors import LayerInputError
from minidl.layers import BatchNorm
from minidl.losses import Loss, WeightedLoss
from minidl.losses.weighted import checked_weight
from minidl.metrics import FunctionMetric, Metric, MetricFunction
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback, Checkpoint, TensorBoard
from minidl.training.checked_batches import checked_source
from minidl.training.checked_data import Data, KnownOfModel, checked_data, checked_validation
from minidl.training.diagnosis import layer_outputs
from minidl.training.mixed_targets import checked_mixing
from minidl.training.problem import Problem
from minidl.training.weights import weighted

RESERVED = ("loss", "seconds")  # names of what every run measures
Metrics: TypeAlias = Mapping[str, Metric | MetricFunction] | Sequence[Metric | MetricFunction] | None


def checked_metrics(metrics: Metrics) -> dict[str, Metric]:
    """Return metrics by name, functions among them as `FunctionMetric`; those of a list have their own names.

    Raises: TypeError for something that is neither; ValueError for a name that training uses itself, one that no name
    is, and two metrics of a list with the same name.
    """
    if isinstance(metrics, (str, bytes)) or not isinstance(metrics, (Iterable, type(None))):
        raise TypeError(f"Trainer metrics: expected a mapping or a list of metrics, received {shown(metrics)}")
    is_mapping, checked = isinstance(metrics, Mapping), {}
    pairs: Iterable[tuple[Any, Any]] = metrics.items() if isinstance(metrics, Mapping) else enumerate(metrics or ())
    for key, given in pairs:
        if isinstance(given, type) or not (isinstance(given, Metric) or callable(given)):
            raise TypeError(f"Trainer metrics[{key!r}]: expected a Metric or a function, received {given!r}")
        metric = given if isinstance(given, Metric) else FunctionMetric(given)
        name = key if is_mapping else metric.name
        if not isinstance(name, str) or name in RESERVED or name.startswith("val_"):
            raise ValueError(f"Trainer metrics: expected names other than {', '.join(RESERVED)}, received {name!r}")
        if not is_mapping and (name in checked or not name.isidentifier()):
            problem = "that differ" if name in checked else "that can be recorded"
            raise ValueError(
                f"Trainer metrics[{key}]: expected names {problem}, received {name!r}; a mapping gives metrics any name"
            )
        checked[name] = metric
    return checked


def check_parts(model: Any, loss: Any, optimizer: Any) -> None:
    """Raise TypeError for parts of another kind, and ValueError for an optimizer of another model's parameters."""
    for value, kind, name in ((model, Module, "model"), (loss, Loss, "loss"), (optimizer, Optimizer, "optimizer")):
        if not isinstance(value, kind):
            raise TypeError(f"Trainer {name}: expected a {kind.__name__}, received {value!r}")
    if isinstance(loss, WeightedLoss):
        raise TypeError(f"Trainer loss: expected {loss.loss!r}, and the weights given to fit, received {loss!r}")
    own = {id(parameter) for parameter in model.parameters()}
    for i, parameter in enumerate(optimizer.parameters):
        if id(parameter) not in own:
            raise ValueError(
                f"Trainer optimizer: its parameter {i}, {parameter!r}, is not the model's; "
                "make the optimizer with model.parameters() of this model"
            )


def check_trainable(model: Module, optimizer: Optimizer) -> None:
    """Raise a ValueError for weights that are not finite, and where nothing is to train."""
    for name, buffer in model.named_state():
        if not is_finite(buffer.data):
            raise ValueError(f"model: expected finite weights, received NaN or infinity in {name}")
    if all(parameter.frozen for parameter in optimizer.parameters):
        raise ValueError("model: expected a parameter to train, but all of the optimizer's are frozen: unfreeze() some")


def checked_callbacks(callbacks: Any) -> list[Callback]:
    """Return the callbacks as a list, an empty one for None, in the order in which they are called.

    TensorBoard is first, to see the learning rate of an epoch before others set the next; checkpoints are last, to
    hold what the others have made.

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
    return sorted(checked, key=lambda c: isinstance(c, Checkpoint) - isinstance(c, TensorBoard))


def written_problem(
    model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
) -> Problem:
    """Return the problem as its user has written it, after all checks.

    Raises: ValueError as `checked_data`, `weighted` and `Batches` do, where nothing is to train, and for a last batch
    of one sample before a BatchNorm that needs two.
    """
    check_trainable(model, optimizer)
    if given.y is None:
        problem = _problem_of_source(model, loss, optimizer, metrics, given)
        check_last_batch(model, problem.batches)
        return problem
    given = with_validation_part(given, loss)
    whole = given.batch_size is None
    data = checked_data(given.x, given.y, "", model, loss, whole=whole)
    validation = checked_validation(given.validation_data, model, loss, whole=whole)
    targets = weighted(loss, metrics, data, validation, given.sample_weight, given.class_weight)
    augment = checked_mixing(given.augment, targets.y, loss, KnownOfModel(model))
    batches = Batches(data.x, targets.y, given.batch_size, given.rng, augment, given.drop_last)
    check_last_batch(model, batches)
    validation_pair = None if validation is None else (validation[0].x, targets.validation_y)
    return Problem(model, targets.loss, optimizer, batches, validation_pair, metrics)


def problem_to_evaluate(
    model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
) -> Problem:
    """Return the problem whose batches are the samples to evaluate on, after all checks.

    Raises: ValueError as `checked_data` and `weighted` do.
    """
    if given.y is None:
        return _problem_of_source(model, loss, optimizer, metrics, given)
    data = checked_data(given.x, given.y, "", model, loss, whole=given.batch_size is None)
    targets = weighted(loss, metrics, data, None, given.sample_weight, None)
    return Problem(model, targets.loss, optimizer, Batches(data.x, targets.y), metrics=metrics)


def _problem_of_source(
    model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
) -> Problem:
    """Return the problem whose batches a user's own iterable gives; of the validation data none may have weights."""
    batches = checked_source(given, model, loss)
    validation = checked_validation(given.validation_data, model, loss, whole=False)
    if validation is not None and validation[1] is not None:
        raise ValueError("validation_data: expected a pair (x, y) beside batches (x, y), received weights with it")
    validation_pair = None if validation is None else (validation[0].x, validation[0].y)
    return Problem(model, loss, optimizer, batches, validation_pair, metrics)


def with_validation_part(given: Data, loss: Loss) -> Data:
    """Return the data with a part of the samples, drawn by `rng`, as validation data, where a share is given.

    For a loss that classifies, of one class a sample, both parts have the classes in the set's proportions.

    Raises: ValueError for a share that leaves one part empty, or one beside `validation_data`.
    """
    if given.validation_split is None:
        return given
    if given.validation_data is not None:
        raise ValueError("validation_split: expected None beside validation_data, received both")
    share = positive_number(fraction(given.validation_split, "validation_split"), "validation_split")
    x, y, rng = as_samples(given.x), as_array(given.y, "y"), as_generator(given.rng)
    if not x.shape or y.ndim == 0 or len(x) != len(y) or not 0 < round(share * len(y)) < len(y):
        raise ValueError(
            f"validation_split: expected a sample and a target in each of two parts, received x and y of shapes "
            f"{tuple(x.shape)} and {y.shape}, and a share of {share:g}"
        )
    check_finite(y, "y")
    weight = None if given.sample_weight is None else checked_weight(given.sample_weight, y.shape[:1], "sample_weight")
    rows = np.arange(len(y))
    try:
        if not loss.classifies or y.size != len(y) or not np.array_equal(y, np.rint(y)):
            raise ValueError("these targets are no classes")
        train, held_out, _, _ = train_test_split(rows, y, share, rng=rng)
    except ValueError:  # or a class has too few samples for both parts
        train, held_out, _, _ = train_test_split(rows, y, share, stratify=False, rng=rng)
    held_out_weight = () if weight is None else (weight[held_out],)
    return given._replace(
        x=rows_of(x, train), y=y[train], rng=rng, sample_weight=None if weight is None else weight[train],
        validation_data=(rows_of(x, held_out), y[held_out], *held_out_weight), validation_split=None,
    )  # fmt: skip


def check_last_batch(model: Module, batches: Batches) -> None:
    """Raise a ValueError where training would come to a batch of one sample that a BatchNorm cannot be trained on."""
    size = batches.batch_size or len(batches.y)
    if min(size, len(batches.y)) > 1 and (len(batches.y) % size != 1 or batches.drop_last):
        return
    for entry in layer_outputs(model, each(np.asarray, batches.x[:1])):
        layer = entry.layer
        if isinstance(layer, BatchNorm) and not layer.has_fixed_statistics and entry.x.size == layer.features:
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
