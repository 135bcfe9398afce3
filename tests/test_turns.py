"""Turns: which threads predict at the same time, and in which order they begin."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from minidl import Module, Sequential, _threads
from minidl._threads import Turns
from minidl._typing import Array

LONG = 60.0
"""Seconds: the patience of threads that must not lose it in a test."""


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


def go_through(turns: Turns) -> str:
    with turns.next():
        return "inside"


class Counting(Module):
    """Counts the threads that are in its forward pass at the same time."""

    def __init__(self) -> None:
        self.now = self.most = self.calls = 0
        self._lock = threading.Lock()

    def forward(self, x: Array) -> Array:
        with self._lock:
            self.now += 1
            self.calls += 1
            self.most = max(self.most, self.now)
        result = x @ np.ones((x.shape[1], 1), x.dtype)  # lets other threads go on
        with self._lock:
            self.now -= 1
        return result

    def backward(self, grad_output: Array) -> Array:
        raise NotImplementedError


@pytest.mark.parametrize("count", [1, 2, 3])
def test_so_many_threads_predict_at_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_turns", Turns(count, LONG))
    counting = Counting()
    model, x = Sequential(counting), np.ones((4, 2000), np.float32)
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda _: model.predict(x), range(200)))
    assert (np.array(outputs) == 2000).all()
    assert counting.calls == 200
    assert 1 <= counting.most <= count


def test_the_first_to_come_is_the_first_to_be_served() -> None:
    turns, served = Turns(1, LONG), list[int]()
    queue = watched(turns)

    def go_in(number: int) -> None:
        with turns.next():
            served.append(number)

    assert turns.take()
    threads = [threading.Thread(target=go_in, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
        assert queue.joined.acquire(timeout=LONG)
    turns.give_back()
    for thread in threads:
        thread.join(LONG)
    assert served == [0, 1, 2, 3, 4]


def test_a_thread_that_has_waited_long_enough_goes_on_and_has_no_turn_to_give_back() -> None:
    turns = Turns(1, patience=0.001)
    assert turns.take()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_through, turns).result(LONG)
    assert not turns.take()  # the only turn still is out
    turns.give_back()
    assert turns.take()


def test_a_turn_that_comes_at_the_last_moment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(1, LONG)
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
    turns = Turns(1, LONG)
    assert turns.take()
    assert isinstance(turns.next(), nullcontext)
    turns.give_back()

    def twice() -> bool:
        with turns.next(), turns.next() as inner:
            return inner is None and not turns.waiting

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(twice).result(LONG)
    assert not turns.inside


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1, LONG)

    def fail() -> None:
        with turns.next():
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                pool.submit(fail).result(LONG)
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
