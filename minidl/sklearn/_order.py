"""The order of the samples, drawn as scikit-learn draws it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array


class SampleOrder(np.random.Generator):
    """A generator whose permutations are those of scikit-learn's epochs: each shuffles the order of the one before.

    Arguments: `random_state` is a `numpy.random.RandomState`, or None for samples that keep their order.

    >>> SampleOrder(None).permutation(3).tolist()
    [0, 1, 2]
    """

    def __init__(self, random_state: Any) -> None:
        super().__init__(np.random.PCG64(0))
        self._random_state = random_state
        self._order: Array | None = None

    def permutation(self, x: Any, axis: int = 0) -> Array:
        """Return the order of an epoch of `x` samples."""
        order = np.arange(x) if self._order is None else self._order
        if self._random_state is not None:
            rows = np.arange(x)
            self._random_state.shuffle(rows)
            order = order[rows]
        self._order = order
        return order
