"""Array-likes of every kind at every place that takes some."""

from __future__ import annotations

import copy
import re
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from benchmarks.attacks.limits import attempt
from benchmarks.attacks.odd_kinds import no_numbers, same_numbers, too_large
from benchmarks.attacks.outcome import Outcome, told
from minidl import (
    SGD,
    BinaryCrossEntropy,
    Dense,
    Flatten,
    MeanSquaredError,
    Rescale,
    Sequential,
    SoftmaxCrossEntropy,
    Trainer,
    metrics,
)
from minidl.data import Batches, train_test_split
from minidl.testing import gradcheck

Array = np.ndarray
SECONDS = 20.0
PACKAGE = str(Path(minidl.__file__).parent)
X = np.random.default_rng(0).integers(0, 2, (6, 4)).astype(float)
Y = np.array([0, 1, 1, 0, 1, 0], float)
PIXELS = np.random.default_rng(1).integers(0, 100, (6, 2, 2, 1)).astype(float)
CLASSES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]], float)


@dataclass
class Entry:
    """A place that takes an array: a call, a right array for it, and how its errors may name the argument.

    `echoes` means that numbers are only handed on, so that any may come.
    """

    call: Callable[[Any], Any]
    plain: Array
    names: str
    echoes: bool = False


def run(count: int, seed: int) -> Outcome:  # noqa: ARG001 - there is one matrix
    """Give array-likes of all kinds to all entry points; the matrix is whole for any count.

    Lost: an answer other than that of the plain float array; an answer to what is no finite numbers; an answer that is
    not finite to numbers beyond float32; an error other than a ValueError or TypeError that minidl raises and that
    names the argument, or the layer that the argument is for; a warning; an input that has changed.
    """
    outcome = Outcome("odd_arrays")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        groups = ("same", same_numbers(folder)), ("none", no_numbers(folder)), ("large", too_large(folder))
        for place, entry in entries().items():
            right = entry.call(entry.plain)
            for group, kinds in groups:
                for kind, make in kinds.items():
                    odd = make(entry.plain)
                    answer, problems = _judged(entry, odd, right, group)
                    outcome.settle(f"{group}: {answer}", problems, f"{place} of {kind}")
    return outcome


def _model(*first: minidl.Module) -> Sequential:
    return Sequential(*first, Dense(4, 3, rng=0), minidl.Tanh(), Dense(3, 1, rng=1))


def _trainer() -> Trainer:
    model = _model()
    return Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1))


def _fit(x: Any, y: Any, **options: Any) -> list[Any]:
    trainer = _trainer()
    history = trainer.fit(x, y, 2, rng=0, print_every=None, **options)
    return [history["loss"], *trainer.model.state_dict().values(), history.get("val_loss", 0)]


def entries() -> dict[str, Entry]:
    """Return the entry points by name."""
    x, y, p, t = r"\bx\b|layer|Dense", r"\by\b|target", "prediction|batch|too large|classes", "target|too large"
    pixels, softmax = _model(Rescale(), Flatten()), SoftmaxCrossEntropy()
    guess = np.array([0, 1, 1, 0, 1, 1], float)
    found = {
        "predict": Entry(_model().predict, X, x),
        "predict in batches": Entry(lambda x: _model().predict(x, batch_size=4), X, x),
        "predict of pixels": Entry(pixels.predict, PIXELS, f"{x}|Rescale"),
        "fit x": Entry(lambda x: _fit(x, Y), X, x),
        "fit x in batches": Entry(lambda x: _fit(x, Y, batch_size=4), X, x),
        "fit y": Entry(lambda y: _fit(X, y), Y, y),
        "fit y in batches": Entry(lambda y: _fit(X, y, batch_size=4), Y[:, None], y),
        "validation x": Entry(lambda x: _fit(X, Y, validation_data=(x, Y)), X, f"validation.*({x})|{x}"),
        "validation y": Entry(lambda y: _fit(X, Y, validation_data=(X, y)), Y, f"validation.*({y})|{y}"),
        "evaluate x": Entry(lambda x: _trainer().evaluate(x, Y), X, x),
        "evaluate y": Entry(lambda y: _trainer().evaluate(X, y), Y, y),
        "batches x": Entry(lambda x: [b[0] for b in Batches(x, Y, 4, rng=0)], X, x, echoes=True),
        "batches y": Entry(lambda y: [b[1] for b in Batches(X, y, 4, rng=0)], Y, y, echoes=True),
        "split x": Entry(lambda x: train_test_split(x, Y, 2)[:2], X, x, echoes=True),
        "split y": Entry(lambda y: train_test_split(X, y, 2)[2:], Y, f"{y}|stratify", echoes=True),
        "gradcheck x": Entry(lambda x: [gradcheck(_model(), x) < 1e-5], X, x),
        "gradcheck target": Entry(lambda y: [gradcheck((_model(), MeanSquaredError()), X, y) < 1e-5], Y[:, None], t),
        "majority_baseline": Entry(metrics.majority_baseline, Y, t),
        "softmax targets": Entry(lambda y: softmax(CLASSES, y), CLASSES, t),
        "softmax predictions": Entry(lambda p: softmax(p, CLASSES), CLASSES, p),
    }
    found["probabilities, prediction"] = Entry(lambda p: BinaryCrossEntropy()(p, Y), Y, p)
    found["probabilities, target"] = Entry(lambda t: BinaryCrossEntropy()(Y, t), Y, t)
    measures: dict[str, Callable[[Any, Any], Any]] = {
        "accuracy": metrics.accuracy, "recall": metrics.recall, "F1": metrics.F1(),
        "balanced_accuracy": metrics.balanced_accuracy, "LogLoss": metrics.LogLoss(True), "RocAuc": metrics.RocAuc(),
        "AveragePrecision": metrics.AveragePrecision(), "logits": BinaryCrossEntropy(from_logits=True),
        "squares": MeanSquaredError(),
    }  # fmt: skip
    for name, measure in measures.items():
        found[f"{name}, prediction"] = Entry(partial(_swapped, measure, Y), guess, p)
        found[f"{name}, target"] = Entry(partial(measure, guess), Y, t)
    return found


def _swapped(measure: Callable[[Any, Any], Any], target: Array, prediction: Any) -> Any:
    return measure(prediction, target)


def _judged(entry: Entry, odd: Any, right: Any, group: str) -> tuple[str, list[str]]:
    """Return how a call with an odd array ended, and what is wrong with that."""
    before, problems = _image(odd), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = attempt(partial(entry.call, odd), SECONDS)
    if _image(odd) != before:
        problems.append("the input has changed")
    if found.error is not None:
        return "refused", problems + _trouble_with(found.error, entry.names)
    if group == "same" and not _are_equal(found.result, right):
        problems.append(f"received {found.result!r:.200}, expected {right!r:.200}")
    if group == "none" and not entry.echoes:
        problems.append(f"received {found.result!r:.200}, expected to be refused")
    if group == "large" and not entry.echoes and not np.isfinite(_flat(found.result)).all():
        problems.append(f"received {found.result!r:.200}")
    return "answered", problems


def _trouble_with(error: BaseException, names: str) -> list[str]:
    """Return what is wrong with an error, if it is not minidl's own about this argument."""
    place = traceback.extract_tb(error.__traceback__)[-1].filename
    is_own = type(error) in (ValueError, TypeError) or isinstance(error, minidl.LayerInputError)
    if is_own and place.startswith(PACKAGE) and re.search(names, str(error)):
        return []
    return [f"expected an error that names the argument, received {told(error)}"]


def _image(value: Any) -> Any:
    """Return what would show a change."""
    if isinstance(value, np.ma.MaskedArray):
        return value.data.tobytes(), value.mask.tobytes()
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return copy.deepcopy(value.tolist()).__repr__()
    if isinstance(value, np.ndarray):
        return value.tobytes(), value.dtype.str, value.flags.writeable, value.strides
    return repr(value) if not hasattr(value, "values") or isinstance(value, dict) else value.values.tobytes()


def _flat(value: Any) -> Array:
    """Return all numbers in a result."""
    if isinstance(value, dict):
        value = list(value.values())
    parts = [np.asarray(part) for part in (value if isinstance(value, (list, tuple)) else [value])]
    return np.concatenate([(part if part.dtype.kind == "c" else part.astype(float)).ravel() for part in parts])


def _are_equal(found: Any, right: Any) -> bool:
    """Return whether two results are the same, in shape and up to the rounding of the lowest precision, float16."""
    one, other = _flat(found), _flat(right)
    shapes = [np.shape(value) for value in (found, right) if isinstance(value, np.ndarray)]
    return one.shape == other.shape and len(set(shapes)) <= 1 and np.allclose(one, other, rtol=2e-3, atol=2e-3)
