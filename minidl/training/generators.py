"""The random generators that a run draws from: those of the batches, of the model's layers, and of an augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from minidl._attributes import attributes
from minidl._state import join
from minidl._typing import Generators as Generators
from minidl.data.batches import Batches
from minidl.module import Module


def random_generators(model: Module, batches: Batches) -> Generators:
    """Return every generator that the rest of a run draws from, by name, each once.

    >>> from minidl import Dropout, Sequential
    >>> model = Sequential(Dropout(0.5, rng=0))
    >>> list(random_generators(model, Batches(np.zeros((1, 1)), np.zeros(1))))
    ['batches', '0.rng']
    """
    seen: set[int] = set()
    found = dict(_search(batches.draws_from, "batches", seen))
    modules = {id(module): path for path, module in model.named_modules()}
    for path, module in model.named_modules():
        seen.update(key for key in modules if key != id(module))  # each under its own path
        seen.discard(id(module))
        found.update(_search(module, path, seen))
    found.update(_search(batches.augment, "batches.augment", seen))
    return found


@contextmanager
def left_alone(value: Any) -> Iterator[None]:
    """Put the states of the generators that an object holds back at the end, whatever has drawn from them.

    >>> rng = np.random.default_rng(0)
    >>> with left_alone([rng]):
    ...     first = rng.random()
    >>> first == rng.random()
    True
    """
    generators = dict(_search(value, "", set()))
    before = states_of(generators)
    try:
        yield
    finally:
        set_states(generators, before)


def share_a_generator(one: Any, other: Any) -> bool:
    """Return whether two objects hold the same generator somewhere.

    >>> rng = np.random.default_rng(0)
    >>> share_a_generator([rng], {"rng": rng}), share_a_generator([rng], {"rng": np.random.default_rng(0)})
    (True, False)
    """
    first, second = ({id(generator) for _, generator in _search(part, "", set())} for part in (one, other))
    return bool(first & second)


def states_of(generators: Generators) -> dict[str, Any]:
    """Return the state of each generator by name."""
    return {name: generator.bit_generator.state for name, generator in generators.items()}


def set_states(generators: Generators, states: Mapping[str, Any]) -> None:
    """Put the states of all generators back, or change none.

    Raises: ValueError for a state that does not belong to its kind of generator.
    """
    before = states_of(generators)
    try:
        for name, generator in generators.items():
            generator.bit_generator.state = states[name]
            if not _equal(generator.bit_generator.state, states[name]):
                raise ValueError("its numbers are out of range")
    except BaseException as error:
        for changed, generator in generators.items():
            generator.bit_generator.state = before[changed]
        if isinstance(error, Exception):
            raise ValueError(f"random generator {name}: expected the state of one of its kind: {error!r}") from None
        raise


def _equal(state: Any, other: Any) -> bool:
    """Return whether two states are equal: NumPy 1.26 takes numbers that are out of range, and changes them."""
    if isinstance(state, Mapping):
        return state.keys() == other.keys() and all(_equal(value, other[name]) for name, value in state.items())
    return bool(np.array_equal(state, other))


def _search(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield the generators in an object: in its attributes, items, arguments, closure and the globals that it names."""
    if id(value) in seen or value is None or isinstance(value, (str, bytes, int, float, type, ModuleType, np.ndarray)):
        return
    seen.add(id(value))
    if isinstance(value, np.random.Generator):
        yield path, value
        return
    for name, item in _parts(value):
        yield from _search(item, join(path, str(name)), seen)


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, (list, tuple, set, frozenset)):
        return enumerate(value)
    if isinstance(value, partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, MethodType):
        return [("self", value.__self__), ("func", value.__func__)]
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        closure = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
        used = {name: value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__}
        generators = {name: item for name, item in used.items() if isinstance(item, np.random.Generator)}
        return [*closure.items(), *generators.items(), ("defaults", value.__defaults__ or ())]
    return list(attributes(value))


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that the function around it has not set yet
        return False
