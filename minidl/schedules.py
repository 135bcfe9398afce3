"""Learning-rate schedules: functions from the number of the epoch, counted from 0, to the learning rate in it.

With `LearningRateSchedule(schedule, per="step")` the numbers are those of training steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from minidl._validation import non_negative_number, positive_int, positive_number, shown

Schedule: TypeAlias = Callable[[int], float]
"""A learning rate for each epoch; any function of this form will do as one."""


def step_decay(initial: float, factor: float, every: int) -> Schedule:
    """Return a schedule that multiplies the learning rate by `factor` after each `every` epochs.

    Formula: `initial * factor ** floor(epoch / every)`.

    Raises: ValueError for numbers that are not finite and above 0, and an `every` that is no whole number above 0; the
    schedule, for an epoch whose rate would be too large for a float.

    >>> schedule = step_decay(0.5, factor=0.5, every=10)
    >>> schedule(0), schedule(9), schedule(10), schedule(25)
    (0.5, 0.5, 0.25, 0.125)
    """
    initial = positive_number(initial, "step_decay initial")
    factor = positive_number(factor, "step_decay factor")
    every = positive_int(every, "step_decay every")

    def schedule(epoch: int) -> float:
        try:
            rate = initial * factor ** (epoch // every)
        except OverflowError:
            rate = math.inf
        if rate == math.inf:
            raise ValueError(f"step_decay: the learning rate of epoch {epoch} is too large for a float")
        return rate

    return schedule


def cosine(initial: float, final: float, epochs: int) -> Schedule:
    """Return a schedule that falls from `initial` to `final` along half a wave, slowly at both ends.

    Formula: `final + (initial - final) * (1 + cos(pi * epoch / epochs)) / 2`, and `final` from epoch `epochs` on.

    Raises: ValueError for rates that are not finite and at least 0, and `epochs` that is no whole number above 0.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts (2017), formula 5.

    >>> schedule = cosine(0.5, 0.25, epochs=10)
    >>> schedule(0), round(schedule(5), 6), schedule(10), schedule(99)
    (0.5, 0.375, 0.25, 0.25)
    """
    initial, final = non_negative_number(initial, "cosine initial"), non_negative_number(final, "cosine final")
    epochs = positive_int(epochs, "cosine epochs")
    return lambda epoch: final + (initial - final) * ((1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2)


def warm_restarts(initial: float, final: float, epochs: int, growth: int = 1) -> Schedule:
    """Return a schedule that falls like `cosine` and starts again, each cycle `growth` times as long as the last.

    Formula: `final + (initial - final) * (1 + cos(pi * t / T)) / 2` in the cycle of length T, t epochs after its start;
    the cycles have the lengths `epochs`, `epochs * growth`, `epochs * growth^2`, ...

    Raises: ValueError for rates that are not finite and at least 0, and for `epochs` and a `growth` that are no whole
    numbers above 0.

    Source: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts (2017), formula 5.

    >>> schedule = warm_restarts(0.5, 0.25, epochs=2, growth=2)
    >>> [round(schedule(epoch), 3) for epoch in range(8)]
    [0.5, 0.375, 0.5, 0.463, 0.375, 0.287, 0.5, 0.49]
    """
    initial = non_negative_number(initial, "warm_restarts initial")
    final = non_negative_number(final, "warm_restarts final")
    epochs = positive_int(epochs, "warm_restarts epochs")
    growth = positive_int(growth, "warm_restarts growth")

    def schedule(epoch: int) -> float:
        length = epochs
        if growth == 1:
            epoch %= length
        while epoch >= length:
            epoch, length = epoch - length, length * growth
        return cosine(initial, final, length)(epoch)

    return schedule


def warm_up(schedule: Schedule, epochs: int) -> Schedule:
    """Return a schedule that climbs evenly to the first rate of another for so many epochs, then follows that one.

    Formula: `schedule(0) * (epoch + 1) / (epochs + 1)` before epoch `epochs`, then `schedule(epoch - epochs)`.

    Raises: ValueError for `epochs` that is no whole number above 0; TypeError for a schedule that is no function.

    >>> schedule = warm_up(step_decay(0.5, factor=0.1, every=30), epochs=4)
    >>> [schedule(epoch) for epoch in range(6)]
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]
    """
    if not callable(schedule):
        raise TypeError(f"warm_up schedule: expected a function of the epoch, received {shown(schedule)}")
    epochs = positive_int(epochs, "warm_up epochs")
    return lambda epoch: schedule(0) * ((epoch + 1) / (epochs + 1)) if epoch < epochs else schedule(epoch - epochs)
