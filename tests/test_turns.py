"""Turns: which threads predict at the same time, and in which order they begin."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pytest

from minidl import Module, Sequential, _threads
from minidl._threads import Turns
from minidl._typing import Array

T = TypeVar("T")
PATIENT, LIMIT = threading.TIMEOUT_MAX, 20.0
"""Seconds that a thread waits for its turn where it must not give up, and that a test waits for a thread."""


class Watched(deque[Any]):
    """A queue that tells when a thread has joined it."""

    def __init__(self) -> None:
        super().__init__()
        self.joined = threading.Semaphore(0)

    def append(self, item: object) -> None:
        super().append(item)
        self.joined.release()


def watched(turns: Turns) -> Watched:
    turns.waiting = queue = Watched()
    return queue


def started(function: Callable[[], T]) -> Future[T]:
    """Run a function in a thread of its own, which ends with the process at the latest."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def go_through(turns: Turns) -> str:
    with turns.next():
        return "inside"


class Meeting(Module):
    """Its forward passes go on when there are so many of them at the same time."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def forward(self, x: Array) -> Array:
        self._barrier.wait(LIMIT)
        return x

    def backward(self, grad_output: Array) -> Array:
        raise NotImplementedError


@pytest.mark.parametrize("count", [1, 2, 3])
def test_so_many_threads_predict_at_once_and_no_more(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(count, PATIENT)
    monkeypatch.setattr(_threads, "_turns", turns)
    model, x = Sequential(Meeting(count)), np.ones((2, 1))
    for prediction in [started(lambda: model.predict(x)) for _ in range(4 * count)]:
        assert prediction.result(LIMIT).shape == (2, 1)
    queue = watched(turns)
    assert all(turns.take() for _ in range(count))
    waiting = started(turns.take)
    assert queue.joined.acquire(timeout=LIMIT)
    turns.give_back()
    assert waiting.result(LIMIT)


def test_there_are_as_many_turns_as_asked_for() -> None:
    turns = Turns(3, patience=0.0)
    assert [turns.take() for _ in range(4)] == [True, True, True, False]


def test_predictions_have_as_many_turns_as_there_are_cores() -> None:
    program = "from minidl._threads import _turns as turns, cores; turns.patience = 0.0; n = cores()"
    program += "; print([turns.take() for _ in range(n + 1)] == [True] * n + [False])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "True\n"


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    turns, served = Turns(1, PATIENT), list[int]()
    queue = watched(turns)

    def go_in(number: int) -> None:
        with turns.next():
            served.append(number)

    assert turns.take()
    entries = []
    for number in range(5):
        entries.append(started(partial(go_in, number)))
        assert queue.joined.acquire(timeout=LIMIT)
    turns.give_back()
    for entry in entries:
        entry.result(LIMIT)
    assert served == [0, 1, 2, 3, 4]


def test_another_thread_comes_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(1, PATIENT)
    monkeypatch.setattr(_threads, "_turns", turns)
    queue, served = watched(turns), list[str]()
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Module):
        def forward(self, x: Array) -> Array:
            served.append("a batch")
            inside.set()
            assert go_on.wait(LIMIT)
            return x

        def backward(self, grad_output: Array) -> Array:
            raise NotImplementedError

    long = started(lambda: Slow().predict(np.ones((2, 1)), batch_size=1))
    assert inside.wait(LIMIT)

    def come_between() -> None:
        with turns.next():
            served.append("another thread")

    other = started(come_between)
    assert queue.joined.acquire(timeout=LIMIT)
    go_on.set()
    other.result(LIMIT)
    assert long.result(LIMIT).shape == (2, 1)
    assert served == ["a batch", "another thread", "a batch"]


def test_a_thread_that_has_waited_long_enough_goes_on_and_has_no_turn_to_give_back() -> None:
    turns = Turns(1, patience=0.001)
    assert turns.take()
    assert started(lambda: go_through(turns)).result(LIMIT) == "inside"
    assert not turns.waiting
    assert not turns.take()  # the only turn still is out
    turns.give_back()
    assert turns.take()


def test_when_one_has_waited_in_vain_nobody_waits_until_a_turn_is_given_back() -> None:
    turns = Turns(1, patience=0.001)
    assert turns.take()
    queue = watched(turns)
    for waits in (True, False, False):
        assert not turns.take()
        assert queue.joined.acquire(blocking=False) == waits
    turns.give_back()
    assert turns.take()
    assert not turns.take()
    assert queue.joined.acquire(blocking=False)


def test_a_turn_that_comes_at_the_last_moment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(1, PATIENT)
    assert turns.take()

    class Late:
        def acquire(self, timeout: float = -1) -> bool:
            if timeout < 0:
                return True
            turns.give_back()
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(_threads, "Lock", Late)
    assert turns.take()
    assert turns.waiting == deque()


def test_neither_the_main_thread_nor_one_that_is_inside_waits() -> None:
    turns = Turns(1, PATIENT)
    assert isinstance(turns.next(), nullcontext)

    def again() -> bool:
        with turns.next():
            return isinstance(turns.next(), nullcontext)

    assert started(again).result(LIMIT)
    assert not turns.inside


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1, PATIENT)

    def fail() -> None:
        with turns.next():
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            started(fail).result(LIMIT)
    assert turns.take()
    assert not turns.inside


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_turns_of_its_own() -> None:
    program = (
        "import os; from minidl import _threads; _threads._turns = turns = _threads.Turns(1, 60); turns.take(); "
        "child = os.fork(); new = _threads._turns is not turns and _threads._turns.take(); "
        "status = child and os.waitpid(child, 0)[1]; print(new, status)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "True 0\nFalse 0\n"
