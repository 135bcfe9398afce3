"""Threads: any number of them may predict with one model, also while another one trains it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.training import Problem

READERS = 8
X = np.random.default_rng(0).normal(size=(24, 6, 6, 2)).astype(np.float32)
Y = X[:, 0, 0, :1] > 0


def network(*middle: Module) -> Sequential:
    return Sequential(
        Conv2D(2, 4, 3, padding="same", rng=0), BatchNorm(4), ReLU(), MaxPool2D(), *middle, Flatten(),
        Dropout(0.5, rng=1), Dense(36, 8, rng=2), BatchNorm(8), ReLU(), Dense(8, 1, rng=3), Sigmoid(),
    )  # fmt: skip


def state_of(model: Module) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def in_readers(read: Callable[[int], object]) -> None:
    """Run `read(number)` in eight threads that begin together, and raise what any of them raised."""
    begin = threading.Barrier(READERS)

    def run(number: int) -> None:
        begin.wait(60)
        read(number)

    with ThreadPoolExecutor(READERS) as threads:
        for result in [threads.submit(run, number) for number in range(READERS)]:
            result.result(120)


def test_many_threads_predict_with_a_model_that_stands_in_training_mode() -> None:
    model = network().train()
    expected = model.predict(X)
    before = state_of(model)

    def read(number: int) -> None:
        for i in range(20):
            rows = slice(number, number + 1 + i % 8)
            # A product of other rows may round another way.
            np.testing.assert_allclose(model.predict(X[rows]), expected[rows], rtol=1e-5)
            model.summary() if i == 0 else None
        assert model.training

    in_readers(read)
    assert state_of(model) == before
    assert all(module.training and module._saved is None for _, module in model.named_modules())


class Meeting(Module):
    """Stands in the middle of a network: training calls `meet` there, on its way forward and on its way back."""

    def __init__(self, meet: Callable[[], object]) -> None:
        self.meet = meet

    def forward(self, x: Array) -> Array:
        self.save_for_backward()
        if self.training:
            self.meet()
        return x.copy()

    def backward(self, grad_output: Array) -> Array:
        self.saved_for_backward()
        self.meet()
        return grad_output


class Recording(Trainer):
    """A trainer that keeps the state after each step; it takes the same steps as the plain one."""

    def train_step(self, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
        record = super().train_step(problem, x, y)
        self.__dict__.setdefault("states", []).append(self.model.state_dict())
        return record


def possible_answers(model: Module, states: list[dict[str, Array]]) -> Iterator[Array]:
    """Yield what `predict` may return before, after and in the middle of each step.

    In a step BatchNorm's statistics move first, layer by layer, and then the weights.
    """
    for before, after in pairwise(states):
        for moved in ((), ("1.running",), ("1.running", "8.running"), ("",)):
            model.load_state_dict(
                {name: (after if name.startswith(moved) else before)[name] for name in before} if moved else before
            )
            yield model.predict(X[:4])


@pytest.mark.parametrize("batch_size", [None, 8])
def test_every_answer_is_that_of_some_step(batch_size: int | None) -> None:
    """Eight threads predict while a ninth is in the middle of a training step, forward or backward."""
    barrier, answers, failures = threading.Barrier(READERS + 1), list[Array](), list[BaseException]()
    over = threading.Event()

    def meet() -> None:
        barrier.wait(60)  # all readers begin to predict,
        barrier.wait(60)  # and have ended

    def read() -> None:
        try:
            while True:
                barrier.wait(60)
                if over.is_set():
                    return
                answers.append(model.predict(X[:4]))
                barrier.wait(60)
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    model, twin = network(Meeting(meet)), network(Meeting(lambda: None))
    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        Recording(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, 0.9)).fit(X, Y, 4, batch_size, rng=0)
    finally:
        over.set()
        if not barrier.broken:
            barrier.wait(60)
        for reader in readers:
            reader.join(60)
    assert failures == []

    # The same run without readers ends in the same bits, statistics included: predicting has moved nothing.
    start = twin.state_dict()
    alone = Recording(twin, BinaryCrossEntropy(), SGD(twin.parameters(), 0.1, 0.9))
    alone.fit(X, Y, 4, batch_size, rng=0)
    assert state_of(model) == state_of(twin)
    states: list[dict[str, Array]] = alone.__dict__["states"]
    possible = list(possible_answers(twin, [start, *states]))
    assert len(answers) == READERS * 2 * len(states)
    assert max(min(np.abs(answer - right).max() for right in possible) for answer in answers) < 1e-6


@pytest.mark.parametrize("dual", [False, True])
def test_threads_may_predict_and_evaluate_without_pauses(dual: bool) -> None:
    """Training beside eight readers raises nothing and ends in the same bits as alone, in the dual form as well."""
    x = np.random.default_rng(1).normal(size=(20, 400)).astype(np.float32)
    y = x[:, 0] > 0
    models = [mlp([400, 6, 1], rng=0) for _ in range(2)]
    trainers = [Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, 0.9)) for model in models]
    over = threading.Event()

    def read(number: int) -> None:
        if number == 0:
            try:
                trainers[0].fit(x, y, 150, print_every=None, dual=dual)
            finally:
                over.set()
        while not over.is_set():
            answer = models[0].predict(x)
            assert ((answer >= 0) & (answer <= 1)).all()
            if number == 1:
                trainers[0].evaluate(x, y)

    in_readers(read)
    trainers[1].fit(x, y, 150, print_every=None, dual=dual)
    assert state_of(models[0]) == state_of(models[1])
