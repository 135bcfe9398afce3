"""The buffer pool: the same bits as with new arrays, and no array that is still referred to ever changes."""

from __future__ import annotations

import gc
import pickle
import threading
import time
import tracemalloc
import warnings
import weakref
from _thread import interrupt_main
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from copy import deepcopy
from functools import partial
from itertools import combinations, pairwise
from operator import methodcaller
from queue import Queue
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from strategies import networks, seeds

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Conv2D,
    Dense,
    Flatten,
    MaxPool2D,
    Metric,
    Module,
    ReLU,
    Run,
    Sequential,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.ops import buffers, parallel, tuning
from minidl.ops.buffers import BufferPool, empty, pool
from minidl.training import run as run_module

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def set_tuning(patch: pytest.MonkeyPatch, **constants: Any) -> None:
    patch.setattr(tuning, "TUNING", tuning.TUNING._replace(**constants))


def count_free(store: BufferPool) -> int:
    return sum(map(len, store._free.values()))


def address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


# --- one pool --------------------------------------------------------------------------------------------------------


def test_a_buffer_is_taken_again_when_its_array_is_gone() -> None:
    store = BufferPool()
    first = store.empty((2, 3), FLOAT32)
    place = address(first)
    assert (first.shape, first.dtype, first.strides) == ((2, 3), FLOAT32, (12, 4))
    assert first.flags.c_contiguous
    assert first.flags.writeable
    assert not np.shares_memory(store.empty((2, 3), FLOAT32), first)
    assert not np.shares_memory(store.empty((3, 2), FLOAT32), first)
    del first
    second = store.empty((2, 3), FLOAT32)
    assert address(second) == place
    del second
    other = store.empty((3,), FLOAT64)  # of as many bytes
    assert (address(other), other.shape, other.dtype) == (place, (3,), FLOAT64)
    del other
    assert address(store.empty((2, 4), FLOAT32)) != place


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 0, 2)])
def test_shapes_of_few_numbers_or_none(shape: tuple[int, ...]) -> None:
    store = BufferPool()
    first, second = store.empty(shape, FLOAT64), store.empty(shape, FLOAT64)
    assert first.shape == second.shape == shape
    first[...], second[...] = 1, 2
    assert (first == 1).all()


class Own(np.ndarray[Any, Any]):
    """A user's kind of array."""


HOLDS: dict[str, Callable[[Array], Any]] = {
    "row": lambda a: a[0],
    "reshaped": lambda a: a.reshape(6),
    "transposed part": lambda a: a.T[1:],
    "other dtype": lambda a: a.view(np.int32),
    "bytes": lambda a: a.view(np.uint8),
    "backwards": lambda a: a[::-1, ::-2],
    "new axis": lambda a: a[:, None],
    "flat": lambda a: a.flat,
    "broadcast": lambda a: np.broadcast_to(a, (5, 2, 3)),
    "windows": lambda a: sliding_window_view(a, 2, axis=1),
    "strides": lambda a: as_strided(a, (2, 2), (4, 4)),
    "split": lambda a: np.split(a, 3, axis=1)[2],
    "subclass": lambda a: a.view(Own),
    "view of a subclass": lambda a: a.view(Own)[0].view(np.ndarray)[1:],
    "masked": lambda a: np.ma.masked_array(a)[1:],
    "view of a view": lambda a: a[1:][0][1:],
    "view of views of many kinds": lambda a: np.squeeze(a.reshape(1, 6)[:, 2:].T.reshape(2, 2)[1:].view(np.uint32)),
    "memoryview": lambda a: view_of(a),
    "memoryview of a view": lambda a: view_of(a[1:].reshape(-1)),
    "part of a memoryview": lambda a: view_of(a).cast("B")[4:8],
    "array of a memoryview": lambda a: np.frombuffer(view_of(a[1]), np.float32)[1:],
    "data": lambda a: a[1].data,
    "dlpack": lambda a: np.from_dlpack(a[1:]),
    "pickle buffer": lambda a: pickle.PickleBuffer(view_of(a)),
    "shallow pickle": lambda a: shallow_pickle(a),
    "ctypes": lambda a: np.ctypeslib.as_ctypes(a[1]),
    "iterator": lambda a: iter(a[1:]),
    "method": lambda a: a.sum,
    "in a list in a closure": lambda a: (lambda kept: lambda: kept)([a[0]]),
    "read-only": lambda a: read_only(a),
    "reshaped in place": lambda a: reshaped_in_place(a),
}


def view_of(array: Any) -> memoryview:
    return memoryview(array)


def shallow_pickle(array: Array) -> Any:
    parts: list[pickle.PickleBuffer] = []
    content = pickle.dumps(array, protocol=5, buffer_callback=parts.append)
    return pickle.loads(content, buffers=parts)


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def reshaped_in_place(array: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 advises against it
        array.shape = (6,)
    return array


@pytest.mark.parametrize("hold", HOLDS.values(), ids=HOLDS)
def test_whatever_refers_to_a_part_of_an_array_keeps_its_buffer(hold: Callable[[Array], Any]) -> None:
    store = BufferPool()
    first = store.empty((2, 3), FLOAT32)
    first[...] = np.arange(6).reshape(2, 3)
    place = address(first)
    held = hold(first)
    watched = as_strided(np.ndarray((6,), FLOAT32, first.base), (6,))  # the memory itself, past the lease
    del first
    gc.collect()
    others = [store.empty((2, 3), FLOAT32) for _ in range(3)]
    for other in others:
        other[...] = -1
    assert place not in map(address, others)
    assert watched.tolist() == list(range(6))
    del held
    gc.collect()
    assert address(store.empty((2, 3), FLOAT32)) == place


OPERATIONS: list[Callable[[Array], Any]] = [
    lambda a: a[: len(a) // 2 + 1],
    lambda a: a[len(a) // 3 :],
    lambda a: a.reshape(-1),
    lambda a: a.T,
    lambda a: np.atleast_2d(a),
    lambda a: a[::-1],
    lambda a: a.view(Own),
    lambda a: np.asarray(view_of(a)),
    lambda a: np.broadcast_to(a, (2, *a.shape))[1],
]


Views = list[tuple[Array, int]]


def assert_apart(live: list[Views]) -> None:
    for views in live:
        assert all((view == value).all() for view, value in views)
    for one, other in combinations(live, 2):
        assert not np.shares_memory(one[0][0], other[0][0])


ACTIONS = st.tuples(st.sampled_from("TTVVDA"), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))


@settings(max_examples=200)
@given(st.lists(ACTIONS, max_size=40))
def test_any_taking_viewing_and_dropping_leaves_all_live_arrays_apart(actions: list[tuple[str, int, int, int]]) -> None:
    """Each array is filled with a number of its own; whatever is done to others, it and its views keep that."""
    store = BufferPool()
    live: list[Views] = []
    most = 0
    for number, (action, i, j, k) in enumerate(actions):
        if action == "T" or not live:
            live.append([(store.empty([(4,), (2, 2), (8,), (2, 4)][i % 4], FLOAT64), number)])
            live[-1][0][0][...] = number
        else:
            views = live[i % len(live)]
            if action == "V":  # a view of an array or of one of its views
                view, value = views[j % len(views)]
                views.append((OPERATIONS[k % len(OPERATIONS)](view), value))
                del view
            if action == "D":  # one of them goes
                del views[j % len(views)]
            if action == "A" or not views:  # all of them go
                del live[i % len(live)]
            del views
        most = max(most, len(live))
        assert_apart(live)
        assert count_free(store) + len(live) <= 2 * most  # of either size as many as were ever needed


def test_an_object_that_its_finalizer_makes_reachable_again_keeps_its_array() -> None:
    """In a reference cycle, weak references to its objects are cleared before `__del__` runs."""
    store, reached = BufferPool(), list[Array]()

    class Returning:
        def __init__(self, array: Array) -> None:
            self.array, self.myself = array, self

        def __del__(self) -> None:
            reached.append(self.array)

    Returning(store.empty((3,), FLOAT64)[:2])
    gc.collect()
    (kept,) = reached
    kept[...] = 7
    store.empty((3,), FLOAT64)[...] = 1
    assert kept.tolist() == [7, 7]


def test_sizes_that_keep_changing_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    set_tuning(monkeypatch, pool_sizes=8)
    store = BufferPool()
    tracemalloc.start()
    for i in range(1000):
        store.empty((10_000 + i,), FLOAT64)[0] = 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store._free) <= 8
    assert peak < 10 * 88_000  # eight free buffers, and the one that is made


def test_arrays_of_sizes_that_were_given_up_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    set_tuning(monkeypatch, pool_sizes=8)
    store = BufferPool()
    held = [store.empty((1 + i % 100,), FLOAT32) for i in range(1000)]
    for i, array in enumerate(held):
        array[...] = i
    assert all((array == i).all() for i, array in enumerate(held))
    assert not any(np.shares_memory(first, second) for first, second in pairwise(held))
    assert len(store._free) <= 8
    del held, array
    assert len(store._free) <= 8
    assert count_free(store) <= 1000


def test_a_hundred_sizes_are_all_kept() -> None:
    """A deep network has as many; none of them may be made anew in each step."""
    store = BufferPool()
    places = [address(store.empty((size,), FLOAT64)) for size in range(1000, 1100)]
    assert [address(store.empty((size,), FLOAT64)) for size in range(1000, 1100)] == places


def test_threads_never_share_an_array() -> None:
    store, start, clashes = BufferPool(), threading.Barrier(4), list[int]()

    def work(number: int) -> None:
        start.wait()
        for _ in range(3000):
            array, other = store.empty((4,), np.dtype(np.int64)), store.empty((4,), np.dtype(np.int64))
            array[:], other[:] = number, -number
            if (array != number).any() or (other != -number).any():
                clashes.append(number)

    run_threads([partial(work, number) for number in range(1, 5)])
    assert not clashes
    assert count_free(store) <= 16  # two arrays each, and two that replace them


def run_threads(works: list[Callable[[], object]]) -> None:
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_arrays_that_other_threads_drop_are_taken_again() -> None:
    """Two threads take and fill, two check and drop."""
    store, handed = BufferPool(), Queue[Any](maxsize=20)
    clashes: list[Any] = []

    def take(number: int) -> None:
        for i in range(2000):
            array = store.empty((16 + i % 3,), np.dtype(np.int64))
            array[:] = value = number * 10_000 + i
            handed.put((array[3:], value))
            del array
        handed.put(None)

    def check() -> None:
        while (item := handed.get()) is not None:
            array, value = item
            if (array != value).any():
                clashes.append(value)

    run_threads([partial(take, 1), partial(take, 2), check, check])
    assert not clashes
    assert count_free(store) <= 3 * 26  # what 20 that wait and 4 threads hold at once, of each size


def test_threads_may_take_while_sizes_keep_changing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_tuning(monkeypatch, pool_sizes=3)
    store, clashes = BufferPool(), list[int]()

    def work(number: int) -> None:
        held: deque[Array] = deque(maxlen=3)
        for i in range(3000):
            array = store.empty((1 + i * number % 11,), np.dtype(np.int64))
            array[:] = number
            held.append(array)
            if any((other != number).any() for other in held):
                clashes.append(number)

    run_threads([partial(work, number) for number in (1, 2, 3, 5)])
    assert not clashes


def test_ctrl_c_at_the_moment_at_which_an_array_goes_is_not_lost() -> None:
    """An error in the callback of a weak reference is printed and forgotten: KeyboardInterrupt would be, too."""
    store = BufferPool()
    held = [store.empty((3,), FLOAT64)]
    place = address(held[0])
    with pytest.raises(KeyboardInterrupt):
        # Both are called by compiled code, so that Python looks for signals only when the array is gone.
        deque(map(methodcaller("__call__"), [interrupt_main, held.clear]), maxlen=0)
    assert held == []
    assert address(store.empty((3,), FLOAT64)) == place


# --- the current pool ------------------------------------------------------------------------------------------------


def test_only_inside_the_block_and_from_a_certain_size_on() -> None:
    large = tuning.TUNING.pooled_bytes // 4
    assert empty((large,), FLOAT32).flags.owndata
    with pool():
        assert not empty((large,), FLOAT32).flags.owndata
        assert not empty((2, large // 2), FLOAT32).flags.owndata
        assert empty((large - 1,), FLOAT32).flags.owndata
        place = address(empty((large,), FLOAT32))
        assert address(empty((large // 2,), FLOAT64)) == place
    assert empty((large,), FLOAT32).flags.owndata


def test_pools_inside_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    set_tuning(monkeypatch, pooled_bytes=0)
    with pool() as outer:
        place = address(empty((5,), FLOAT64))
        with suppress(OSError), pool() as inner:
            assert inner is not outer
            held = empty((5,), FLOAT64)
            assert address(held) != place
            raise OSError
        assert address(empty((5,), FLOAT64)) == place
        held[...] = 3
        del inner
        gc.collect()
        assert held.tolist() == [3] * 5


def test_arrays_outlive_their_pool_and_all_else_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_tuning(monkeypatch, pooled_bytes=0)
    tracemalloc.start()
    with pool() as store:
        held = [empty((1000,), FLOAT64)[10:] for _ in range(3)]
        free = [empty((1000,), FLOAT64) for _ in range(20)]
        del free
        assert tracemalloc.get_traced_memory()[0] > 23 * 8000
    after, _ = tracemalloc.get_traced_memory()
    assert 3 * 8000 <= after < 4 * 8000
    for i, array in enumerate(held):
        array[...] = i
    del array
    assert not any(np.shares_memory(one, other) for one, other in combinations(held, 2))
    assert [set(array.tolist()) for array in held] == [{0}, {1}, {2}]
    del held
    assert tracemalloc.get_traced_memory()[0] < 8000  # one array; leases and lists are half of it
    tracemalloc.stop()
    assert count_free(store) == 0


def test_other_threads_have_no_pool_and_those_that_work_for_the_block_have_its_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_tuning(monkeypatch, pooled_bytes=0, cache_block=1)
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    both = threading.Barrier(2, timeout=60)
    pools: list[Any] = []
    with pool() as store:
        run_threads([lambda: pools.append(buffers._current.get())])
        assert pools == [None]

        def work(_: slice) -> tuple[int, Any]:
            both.wait()
            return threading.get_ident(), buffers._current.get()

        found = parallel.in_blocks(work, 2, 100)
        assert len({thread for thread, _ in found}) == 2
        assert all(current is store for _, current in found)
    assert buffers._current.get() is None


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture
def _small_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small networks of these tests take all their arrays from the pool."""
    set_tuning(monkeypatch, pooled_bytes=0)


SMALL = pytest.mark.usefixtures("_small_arrays")


def both_ways(train: Callable[[], Any]) -> list[Any]:
    """Return what `train` returns without the pool and with it, where it must be in use."""
    results = []
    for use in (nullcontext, pool):
        with pytest.MonkeyPatch.context() as patch:
            set_tuning(patch, pooled_bytes=0)
            taken = count_taken(patch)
            patch.setattr(run_module, "pool", use)
            results.append(train())
            assert bool(taken) is (use is pool)
    return results


def count_taken(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each array that a pool gives adds its address."""
    taken: list[int] = []

    class Counting(BufferPool):
        def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
            array = super().empty(shape, dtype)
            taken.append(address(array))
            return array

    patch.setattr(buffers, "BufferPool", Counting)
    return taken


def trainer_for(model: Sequential) -> Trainer:
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.9))


def convnet() -> Sequential:
    block = Conv2D(1, 3, 3, padding="same", rng=0), BatchNorm(3), ReLU(), MaxPool2D(2)
    return Sequential(*block, Flatten(), *mlp([12, 4, 1], rng=1))


X = np.random.default_rng(0).normal(size=(11, 4, 4, 1)).astype(np.float32)
Y = np.arange(11) % 2
FORMS = pytest.mark.parametrize("options", [{}, {"batch_size": 4}], ids=["full batch", "mini-batches"])


def assert_same_results(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[:-1] == other[:-1]
    assert one[-1].keys() == other[-1].keys()
    for name, value in one[-1].items():
        assert value.tobytes() == other[-1][name].tobytes(), name


@settings(max_examples=40)
@given(networks(), st.one_of(st.none(), st.integers(1, 5)), seeds)
def test_the_bits_are_those_of_new_arrays(
    network: tuple[Sequential, Array, Array], batch_size: int | None, seed: int
) -> None:
    model, x, y = network
    start = model.state_dict()

    def train() -> tuple[Any, ...]:
        model.load_state_dict(start)
        history = trainer_for(model).fit(x, y, 5, batch_size, (x, y), print_every=None, rng=seed, dual=False)
        return history["loss"], history["val_loss"], model.state_dict()

    assert_same_results(*both_ways(train))


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_the_bits_of_a_convnet_in_batches_of_unequal_size(
    batch_size: int | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tuning(monkeypatch, cache_block=20)
    monkeypatch.setattr(parallel, "cores", lambda: cores)

    def train() -> tuple[Any, ...]:
        model = convnet()
        trainer = trainer_for(model)
        history = trainer.fit(X, Y, 4, batch_size, validation_data=(X, Y), print_every=None, rng=0)
        return history["loss"], history["val_loss"], {**model.state_dict(), "predictions": model.predict(X)}

    assert_same_results(*both_ways(train))


def test_the_bits_in_the_dual_form() -> None:
    x = X.reshape(11, 16)

    def train() -> tuple[Any, ...]:
        model = mlp([16, 4, 1], rng=0)
        trainer = trainer_for(model)
        history = trainer.fit(x, Y, 9, validation_data=(x, Y), print_every=None, dual=True)
        return history["loss"], history["val_loss"], model.state_dict()

    assert_same_results(*both_ways(train))


@FORMS
def test_buffers_are_used_again_from_step_to_step(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    set_tuning(monkeypatch, pooled_bytes=0)
    counts = []
    for epochs in (3, 9):
        taken = count_taken(monkeypatch)
        trainer_for(convnet()).fit(X, Y, epochs, print_every=None, rng=0, **options)
        counts.append((len(taken), len(set(taken))))
    (_, few), (many_taken, many) = counts
    assert many == few
    assert many_taken > 4 * many


class KeepingCallback(Callback):
    """A user's callback that keeps whatever it can reach, and a copy to compare it with."""

    def __init__(self) -> None:
        self.held: list[tuple[Array, Array]] = []

    def keep(self, *arrays: Any) -> None:
        self.held += [(array, array.copy()) for array in arrays if isinstance(array, np.ndarray)]

    def look(self, run: Run) -> None:
        self.keep(run.model.predict(X), run.model(X))
        self.keep(*(parameter.grad for parameter in run.problem.model.parameters()))
        for model in (run.model, run.problem.model):
            for _, module in model.named_modules():
                self.keep(*(module._saved or ()))

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        self.look(run)
        self.keep(*record.values())

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.look(run)

    def on_fit_end(self, run: Run) -> None:
        self.look(run)

    def check(self, *, at_least: int) -> None:
        assert len(self.held) >= at_least
        for array, copy in self.held:
            np.testing.assert_array_equal(array, copy)


@SMALL
@FORMS
def test_what_a_callback_keeps_never_changes(options: dict[str, Any]) -> None:
    keeping = KeepingCallback()
    trainer = trainer_for(convnet())
    for _ in range(2):
        trainer.fit(X, Y, 3, print_every=None, rng=0, callbacks=[keeping], **options)
        gc.collect()
    leased = [array for array, _ in keeping.held if not array.flags.owndata]
    assert len(leased) > 60
    keeping.check(at_least=150)


@SMALL
def test_gradients_left_behind_stay_as_they_are() -> None:
    model = convnet()
    trainer = trainer_for(model)
    trainer.fit(X, Y, 2, print_every=None)
    held = [parameter.grad for parameter in model.parameters()]
    copies = [np.array(gradient) for gradient in held]
    trainer.fit(X, Y, 2, print_every=None)
    for gradient, copy in zip(held, copies, strict=True):
        assert gradient is not None
        np.testing.assert_array_equal(gradient, copy)


class KeepingLayer(Module):
    """A user's layer that keeps all its inputs, or parts of them."""

    def __init__(self) -> None:
        self.inputs: list[tuple[Array, Array]] = []

    def forward(self, x: Array) -> Array:
        self.inputs.append((x[1:], x[1:].copy()))
        return x

    def backward(self, grad_output: Array) -> Array:
        self.inputs.append((grad_output, grad_output.copy()))
        return grad_output


class FreezingLayer(KeepingLayer):
    """A user's layer that makes its input read-only, and of another shape."""

    def forward(self, x: Array) -> Array:
        x.flags.writeable = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            x.shape = (len(x), -1, 1)
        return super().forward(x).reshape(len(x), -1)


@SMALL
@FORMS
@pytest.mark.parametrize("kind", [KeepingLayer, FreezingLayer])
def test_what_a_users_layer_keeps_never_changes(kind: type[KeepingLayer], options: dict[str, Any]) -> None:
    keeper = kind()
    model = Sequential(Dense(4, 3, rng=0), ReLU(), keeper, Dense(3, 1, rng=0))
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1))
    x = X.reshape(-1, 4)[:11]
    trainer.fit(x, Y, 5, print_every=None, rng=0, validation_data=(x, Y), **options)
    assert len(keeper.inputs) >= 10
    for array, copy in keeper.inputs:
        np.testing.assert_array_equal(array, copy)


class KeepingLoss(BinaryCrossEntropy):
    """A user's loss that keeps the predictions that it is given."""

    def __init__(self) -> None:
        super().__init__(from_logits=True)
        self.kept: list[tuple[Array, Array]] = []

    def value(self, prediction: Array, target: Array) -> float:
        self.kept.append((prediction, prediction.copy()))
        return super().value(prediction, target)

    def gradient(self, prediction: Array, target: Array) -> Array:
        gradient = super().gradient(prediction, target)
        self.kept.append((gradient, gradient.copy()))
        return gradient


class AllPredictions(Metric):
    """A user's metric that measures the predictions of a batch as they are."""

    def __init__(self) -> None:
        self.kept: list[tuple[Array, Array]] = []

    def measure(self, prediction: Array, target: Array) -> Any:
        self.kept.append((prediction, prediction.copy()))
        return [prediction]

    def result(self, measured: Any) -> float:
        assert len(np.concatenate(measured)) == 11
        return float(np.concatenate(measured).mean())


@SMALL
@FORMS
def test_what_a_users_loss_metric_and_augmentation_keep_never_changes(options: dict[str, Any]) -> None:
    images: list[tuple[Array, Array]] = []

    def augment(x: Array) -> Array:
        images.append((x, x.copy()))
        return x

    loss, metric = KeepingLoss(), AllPredictions()
    model = convnet()[:-1]
    trainer = Trainer(model, loss, SGD(model.parameters(), 0.1), {"mean": metric})
    history = trainer.fit(X, Y, 4, print_every=None, rng=0, validation_data=(X, Y), augment=augment, **options)
    expected = trainer.evaluate(X, Y, options.get("batch_size"))["mean"]
    assert history["val_mean"][-1] == pytest.approx(expected, rel=1e-5)
    for kept in (loss.kept, metric.kept, images):
        assert len(kept) >= 4
        for array, copy in kept:
            np.testing.assert_array_equal(array, copy)


class Stop(Callback):
    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        raise self.error


@SMALL
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("dual", [False, True])
def test_no_buffer_is_kept_after_fit(
    error: type[BaseException] | None, dual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[weakref.ref[BufferPool]] = []
    sizes: list[int] = []

    @contextmanager
    def watched() -> Iterator[BufferPool]:
        with pool() as store:
            pools.append(weakref.ref(store))
            yield store
            sizes.append(len(store._free))
        assert count_free(store) == 0

    monkeypatch.setattr(run_module, "pool", watched)
    model = mlp([16, 4, 1], rng=0) if dual else convnet()
    trainer = trainer_for(model)
    callbacks = [] if error is None else [Stop(error)]
    with suppress(OSError):
        trainer.fit(X.reshape(11, 16) if dual else X, Y, 3, print_every=None, callbacks=callbacks, dual=dual)
    assert buffers._current.get() is None
    assert len(pools) == 1
    assert error is not None or sizes[0] > 0
    gc.collect()
    assert pools[0]() is None
    assert model.predict(X.reshape(11, 16) if dual else X).flags.owndata


@SMALL
def test_the_memory_of_a_run_is_free_after_it() -> None:
    x, y = np.zeros((300, 1000), np.float32), np.arange(300) % 2
    model = mlp([1000, 500, 1], rng=0)
    trainer = trainer_for(model)
    trainer.fit(x, y, 1, print_every=None, dual=False)
    peaks = []

    class Peak(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            peaks.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    trainer.fit(x, y, 3, print_every=None, dual=False, callbacks=[Peak()])
    trainer.run = None
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gradients = sum(parameter.data.nbytes for parameter in model.parameters())
    activations = 300 * 500 * 4
    assert peaks[-1] > gradients + activations
    assert after < gradients + activations // 2


class Copy(Callback):
    """Keeps copies of the model, and looks whether their arrays are their own."""

    def __init__(self) -> None:
        self.copies: list[tuple[Module, dict[str, Array]]] = []

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        for twin in (deepcopy(run.model), pickle.loads(pickle.dumps(run.model))):
            assert all(module._saved is None for _, module in twin.named_modules())
            gradients = {f"{name}.grad": parameter.grad for name, parameter in twin.named_parameters()}
            assert all(isinstance(gradient, np.ndarray) for gradient in gradients.values())
            for name, parameter in run.model.named_parameters():
                assert parameter.grad is not None
                assert not np.shares_memory(gradients[f"{name}.grad"], parameter.grad)
            state = {name: np.array(gradient) for name, gradient in gradients.items()} | twin.state_dict()
            self.copies.append((twin, state))


@SMALL
@FORMS
def test_copies_made_during_training_have_memory_of_their_own(options: dict[str, Any]) -> None:
    keep = Copy()
    trainer_for(convnet()).fit(X, Y, 3, print_every=None, rng=0, callbacks=[keep], **options)
    assert len(keep.copies) >= 6
    for twin, state in keep.copies:
        for name, parameter in twin.named_parameters():
            np.testing.assert_array_equal(parameter.grad, state[f"{name}.grad"])
        for name, value in twin.state_dict().items():
            np.testing.assert_array_equal(value, state[name])


@SMALL
def test_threads_that_predict_during_training_have_arrays_of_their_own() -> None:
    trainer, done = trainer_for(convnet()), threading.Event()
    kept: list[tuple[Array, Array]] = []

    def predict() -> None:
        try:
            while not done.is_set():
                output = trainer.model.predict(X)
                assert output.flags.owndata
                kept.append((output, output.copy()))
        finally:
            done.set()

    class Wait(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            while epoch == 30 and len(kept) < 10 and not done.is_set():
                time.sleep(0.001)  # training does not end before the other threads have begun

    def train() -> None:
        try:
            trainer.fit(X, Y, 60, print_every=None, rng=0, batch_size=4, callbacks=[Wait()])
        finally:
            done.set()

    run_threads([predict, predict, train])
    assert len(kept) >= 10
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)
