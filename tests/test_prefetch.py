"""Reading ahead: the same items, errors and bits as without, few items in memory, and no thread left behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outside_memory import Noise, Rows, prefetching_threads
from PIL import Image

from minidl import SGD, BinaryCrossEntropy, Dense, Dropout, Flatten, ReLU, Rescale, Sequential, Sigmoid, Trainer
from minidl._prefetch import AHEAD, Prefetched, slices
from minidl._samples import JointSamples
from minidl._typing import Array
from minidl.data import Augment, Batches, ImageFileError, LazyImages, train_test_split

X = np.random.default_rng(0).normal(size=(14, 3)).astype(np.float32)
Y = X[:, 0] > 0


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not prefetching_threads()


@given(st.lists(st.integers()), st.integers(0, 12))
def test_the_items_in_order_and_the_error_in_its_turn(items: list[int], failing: int) -> None:
    def made() -> Iterator[int]:
        for i, item in enumerate(items):
            if i == failing:
                raise KeyError(i)
            yield item

    prefetched, received = Prefetched(made(), then=lambda item: -item), list[int]()
    with pytest.raises(KeyError, match=f"{failing}") if failing < len(items) else nullcontext():
        received.extend(prefetched)
    assert received == [-item for item in items[:failing]]
    assert list(prefetched) == []


@given(st.integers(0, 9), st.integers(0, 9))
def test_few_items_are_made_before_their_turn_and_none_after_the_end(count: int, taken: int) -> None:
    begun, over = 0, False

    def made() -> Iterator[int]:
        nonlocal begun
        for i in range(count):
            begun += 1
            assert not over
            yield i

    prefetched: Prefetched[int] = Prefetched(made())
    for number in range(min(taken, count)):
        assert next(prefetched) == number
        assert begun <= number + 1 + AHEAD
    prefetched.close()
    over = True
    assert next(prefetched, None) is None
    prefetched.close()


def test_the_next_batch_is_read_while_one_trains() -> None:
    asked = [threading.Event() for _ in range(5)]

    class Noting(Rows):
        reads = 0

        def __getitem__(self, index: Any) -> Array:
            if np.ndim(index):
                asked[self.reads].set()
                self.reads += 1
            return super().__getitem__(index)

    for i, _ in enumerate(Batches(Noting(X), Y, 3, rng=0)):
        assert all(event.wait(60) for event in asked[: i + AHEAD])
    assert len(asked) == i + 1


def test_what_is_dropped_half_way_ends_its_thread() -> None:
    iterator = iter(Batches(Rows(X), Y, 3, rng=0))
    next(iterator)
    assert isinstance(iterator, Prefetched)
    thread = iterator._thread
    assert thread.is_alive()
    del iterator
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def a_trainer(dropout: Any = 1) -> Trainer:
    model = Sequential(Dense(3, 4, rng=0), ReLU(), Dropout(0.3, rng=dropout), Dense(4, 1, rng=2), Sigmoid())
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.9))


def trained(wrap: Callable[[Array], Any], works_ahead: bool, shared: bool) -> tuple[dict[str, Any], Noise]:
    """Return all that a run with augmentation leaves, with one generator for it and Dropout or with two."""
    rng = np.random.default_rng(5)
    trainer, augment = a_trainer(rng if shared else 1), Noise(rng, works_ahead)
    batches = np.random.default_rng(6)
    history = trainer.fit(wrap(X), Y, 3, 4, (wrap(X), Y), print_every=None, rng=batches, augment=augment)
    left = {name: array.tolist() for name, array in trainer.model.state_dict().items()}
    left |= {name: values for name, values in history.items() if name != "seconds"}
    left |= {"evaluated": trainer.evaluate(wrap(X), Y, 4)}
    left |= {"predicted": trainer.model.predict(wrap(X), 4).tolist()}
    return left | {"augment": rng.bit_generator.state, "batches": batches.bit_generator.state}, augment


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("works_ahead", [False, True])
def test_training_in_the_same_bits_as_from_memory(works_ahead: bool, shared: bool) -> None:
    expected, _ = trained(np.array, works_ahead, shared)
    for prefetch in (True, False):
        found, augment = trained(partial(Rows, prefetch=prefetch), works_ahead, shared)
        assert found == expected
        # A generator that Dropout draws from, too, must be drawn from in turn.
        is_ahead = prefetch and works_ahead and not shared
        assert (threading.main_thread() not in augment.threads) == is_ahead


@pytest.mark.parametrize("prefetch", [True, False])
def test_rows_that_must_be_read_where_they_were_made(prefetch: bool) -> None:
    rows = Rows(X, prefetch)
    joint = JointSamples([rows, Rows(X)])
    part, *_ = train_test_split(rows, Y, 0.3, rng=0)
    read: list[Callable[[], Any]] = [
        lambda: list(Batches(rows, Y, 4)),
        lambda: list(Batches(joint, Y, 4)),
        lambda: list(Batches(part, Y[: len(part)], 4)),
        lambda: list(slices(rows, 4)),
        lambda: a_trainer().model.predict(rows, 4),
    ]
    for run in read:
        rows.threads.clear()
        run()
        assert (threading.main_thread() in rows.threads) == (not prefetch)


@pytest.mark.parametrize("where", ["fit", "evaluate", "predict"])
def test_a_broken_file_is_named_and_the_run_is_as_after_the_last_good_epoch(where: str, tmp_path: Path) -> None:
    for i in range(9):
        Image.new("RGB", (6, 6), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "7.png").read_bytes()
    (tmp_path / "7.png").write_bytes(whole[:-30])
    x, y = LazyImages(sorted(tmp_path.iterdir()), 1), np.arange(9) % 2
    model = Sequential(Rescale(), Flatten(), Dense(3, 1, rng=0), Sigmoid())
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()))
    augment, rng = Augment(flip=True, rng=3), np.random.default_rng(0)
    run: dict[str, Callable[[], Any]] = {
        "fit": lambda: trainer.fit(x, y, 2, 2, print_every=None, rng=rng, augment=augment),
        "evaluate": lambda: trainer.evaluate(x, y, 2),
        "predict": lambda: model.predict(x, 2),
    }
    before = model.state_dict()["2.weight"].copy(), augment.rng.bit_generator.state, rng.bit_generator.state
    with pytest.raises(ImageFileError, match=r"7\.png: broken picture"):
        run[where]()
    np.testing.assert_array_equal(model.state_dict()["2.weight"], before[0])
    assert (augment.rng.bit_generator.state, rng.bit_generator.state) == before[1:]


def test_an_error_of_a_step_ends_the_reading() -> None:
    class Failing(Trainer):
        def train_step(self, problem: Any, x: Array, y: Array) -> dict[str, Any]:
            raise RuntimeError("in the step")

    trainer = a_trainer()
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    failing = Failing(trainer.model, trainer.loss, trainer.optimizer)
    with pytest.raises(RuntimeError, match="in the step"):
        failing.fit(Rows(X), Y, 2, 3, print_every=None, rng=rng)
    assert not prefetching_threads()
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("batch_size", [2, 3])
def test_errors_of_numpy_are_those_of_the_caller(batch_size: int) -> None:
    class Dividing(Rows):
        def __getitem__(self, index: Any) -> Array:
            return super().__getitem__(index) / np.float32(0)

    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        list(slices(Dividing(X), batch_size))
    with np.errstate(all="ignore"):
        assert len(list(slices(Dividing(X), batch_size))) > 1
