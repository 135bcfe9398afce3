"""The state of the last completed epoch, to fall back on when the next one is interrupted or goes wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.training.generators import Generators, set_states, states_of
from minidl.training.problem import Problem


class LastGoodState:
    """A copy of all that training moves, as it was after an epoch.

    That is parameters and buffers, what the optimizer remembers, and the states of the random generators.

    All arrays are kept in one row of numbers, because one copy and one check of it are far cheaper than many small
    ones. Two rows take turns: the spare one is filled first and then replaces the other in a single assignment, so
    that an interruption at any moment finds a whole state and the number of epochs that belongs to it.
    """

    def __init__(self, problem: Problem, generators: Generators, epochs: int) -> None:
        self._buffers = [buffer for _, buffer in problem.model.named_state()]
        self._optimizer, self._generators = problem.optimizer, generators
        arrays = self._arrays()
        dtype = np.result_type(*arrays) if arrays else np.dtype(np.float32)
        self._weights = sum(buffer.data.size for buffer in self._buffers)
        self._spare = np.empty(sum(array.size for array in arrays), dtype)
        self._last = (epochs, self._counts(), states_of(generators), np.empty_like(self._spare))
        self._copy(self._last[3])

    @property
    def epochs(self) -> int:
        """How many epochs had been completed."""
        return self._last[0]

    def prepare(self) -> bool:
        """Copy the present state into the spare row and return whether all weights and buffers are finite."""
        self._copy(self._spare)
        weights = self._spare[: self._weights]
        return math.isfinite(np.dot(weights, weights)) or is_finite(weights)

    def publish(self, epochs: int) -> None:
        """Take the prepared state as the last good one."""
        last = epochs, self._counts(), states_of(self._generators), self._spare
        self._last, self._spare = last, self._last[3]

    def restore(self) -> None:
        """Put the last good state back."""
        _, counts, states, row = self._last
        self._optimizer.steps, self._optimizer.frozen_steps[:] = counts
        set_states(self._generators, states)
        start = 0
        for array in self._arrays():
            stop = start + array.size
            array[...] = row[start:stop].reshape(array.shape)
            start = stop

    def _counts(self) -> tuple[int, list[int]]:
        return self._optimizer.steps, self._optimizer.frozen_steps.copy()

    def _arrays(self) -> list[Array]:
        moments = (array for state in self._optimizer.state for array in state.values())
        return [*(buffer.data for buffer in self._buffers), *moments]

    def _copy(self, row: Array) -> None:
        arrays: list[Any] = [array.ravel() for array in self._arrays()]
        if arrays:
            np.concatenate(arrays, out=row, casting="same_kind")
