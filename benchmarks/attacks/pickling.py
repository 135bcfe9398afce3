"""Pickles and copies of everything that minidl has."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from benchmarks.attacks.limits import attempt
from benchmarks.attacks.outcome import Outcome, told
from benchmarks.attacks.pickled_things import Look, everything
from minidl import Module

BASES = {"Loss", "Metric", "Module", "Optimizer", "Callback"}  # of which only derived classes can be used
SECONDS = 20.0


def _pickled(thing: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol))


COPIES: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {number}": partial(_pickled, protocol=number) for number in range(2, pickle.HIGHEST_PROTOCOL + 1)},
    "deepcopy": copy.deepcopy,
}


def run(count: int, seed: int) -> Outcome:  # noqa: ARG001 - there is one of everything
    """Copy every layer, loss, optimizer, metric, callback, history, trainer, set of samples and error by pickle.

    Lost: a copy that answers otherwise than the original; one that shares arrays with it; a class of minidl that is not
    tried; an error of copying that does not say what cannot be pickled.
    """
    outcome, tried = Outcome("pickling"), set(BASES)
    for way, make_copy in COPIES.items():
        with tempfile.TemporaryDirectory() as folder:
            for name, (thing, look) in everything(Path(folder)).items():
                outcome.settle(*_judged(thing, look, make_copy), f"{name} by {way}")
                tried.add(type(thing).__name__)
    public = [getattr(minidl, name) for name in minidl.__all__]
    missing = [kind.__name__ for kind in public if inspect.isclass(kind) and kind.__name__ not in tried]
    outcome.settle("every class tried", [f"not tried: {missing}"] if missing else [], "the list")
    return outcome


def _judged(thing: Any, look: Look, make_copy: Callable[[Any], Any]) -> tuple[str, list[str]]:
    """Return how a copy ended, and what is wrong with it."""
    found = attempt(partial(make_copy, thing), SECONDS)
    if found.error is not None:
        is_kind = isinstance(found.error, (pickle.PicklingError, TypeError, AttributeError))
        is_clear = is_kind and re.search("pickle|local object", str(found.error)) is not None
        return "refused", [] if is_clear else [told(found.error)]
    shared = {id(buffer.data) for buffer in _buffers(thing)} & {id(buffer.data) for buffer in _buffers(found.result)}
    problems = [f"{len(shared)} arrays are shared"] if shared else []
    received, right = look(found.result), look(thing)
    if not _are_equal(right, received):
        problems.append(f"expected {right!r:.200}, received {received!r:.200}")
    return "the same", problems


def _buffers(thing: Any) -> list[Any]:
    return [buffer for _, buffer in thing.named_state()] if isinstance(thing, Module) else []


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(_are_equal(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return type(one) is type(other) and bool(one == other)
