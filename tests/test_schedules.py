"""Schedules: their values, and that each is a learning rate an optimizer takes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import SGD, mlp
from minidl.schedules import cosine, step_decay, warm_restarts, warm_up

rates = st.floats(1e-6, 10)
lengths = st.integers(1, 50)


@given(rates, st.floats(0.1, 1), lengths, lengths)
def test_step_decay(initial: float, factor: float, every: int, epoch: int) -> None:
    schedule, expected = step_decay(initial, factor, every), initial
    for earlier in range(1, epoch + 1):
        if earlier % every == 0:
            expected *= factor
    assert schedule(epoch) == pytest.approx(expected, rel=1e-12)


@given(rates, rates, lengths)
def test_cosine(initial: float, final: float, epochs: int) -> None:
    schedule = cosine(initial, final, epochs)
    assert schedule(0) == pytest.approx(initial, rel=1e-12)
    assert schedule(epochs) == schedule(epochs + 7) == pytest.approx(final, rel=1e-12)
    for epoch in range(epochs):
        angle = math.pi * epoch / epochs
        assert schedule(epoch) == pytest.approx(initial * math.cos(angle / 2) ** 2 + final * math.sin(angle / 2) ** 2)


@given(rates, rates, st.integers(1, 9), st.integers(1, 3))
def test_warm_restarts(initial: float, final: float, epochs: int, growth: int) -> None:
    schedule = warm_restarts(initial, final, epochs, growth)
    expected = [cosine(initial, final, length)(t) for cycle in range(4) for length in [epochs * growth**cycle]
                for t in range(length)]  # fmt: skip
    assert [schedule(epoch) for epoch in range(len(expected))] == expected


@given(rates, lengths, lengths)
def test_warm_up(initial: float, epochs: int, decay: int) -> None:
    schedule = step_decay(initial, 0.5, decay)
    warm = warm_up(schedule, epochs)
    steps = [warm(epoch + 1) - warm(epoch) for epoch in range(epochs)]
    assert steps == pytest.approx([warm(0)] * epochs)
    assert [warm(epochs + epoch) for epoch in range(60)] == [schedule(epoch) for epoch in range(60)]


@given(rates, rates, lengths, lengths)
def test_every_rate_is_one_that_an_optimizer_takes(initial: float, final: float, epochs: int, warm: int) -> None:
    optimizer = SGD(mlp([2, 1]).parameters())
    schedule = warm_up(cosine(initial, final, epochs), warm)
    for epoch in range(epochs + warm + 3):
        optimizer.learning_rate = schedule(epoch)
        assert optimizer.learning_rate == schedule(epoch)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (step_decay, (0, 0.1, 5), "step_decay initial: expected a finite number above 0, received 0"),
        (step_decay, (1, math.nan, 5), "step_decay factor: expected a finite number above 0, received nan"),
        (step_decay, (1, 0.1, 0), "step_decay every: expected a whole number of at least 1, received 0"),
        (cosine, (1, -1, 5), "cosine final: expected a finite number of at least 0, received -1"),
        (cosine, (1, 0.1, 2.5), "cosine epochs: expected a whole number of at least 1, received 2.5"),
        (warm_restarts, (-1, 0, 5), "warm_restarts initial: expected a finite number of at least 0, received -1"),
        (warm_restarts, (1, 0, 5, 0.5), "warm_restarts growth: expected a whole number of at least 1, received 0.5"),
        (warm_up, (step_decay(1, 0.1, 5), 0), "warm_up epochs: expected a whole number of at least 1, received 0"),
    ],
)
def test_bad_arguments(make: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(*arguments)
