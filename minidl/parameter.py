"""Buffer and Parameter: the arrays that a module's state consists of."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import float_dtype


class Buffer:
    """An array that belongs to a module's state but has no gradient, such as a running mean.

    `data` is the live array, a copy of what the constructor is given.

    >>> Buffer(np.zeros(7, np.float32))
    Buffer(shape=(7,), dtype=float32)
    """

    data: Array

    def __init__(self, data: Any) -> None:
        self.data = np.array(data)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the data."""
        return self.data.shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.data.dtype})"


class Parameter(Buffer):
    """An array that training changes, and beside it the gradient of the loss with respect to it.

    `data` is the live array, a copy of what the constructor is given, float32 or float64; `grad` is None until a
    backward pass writes it, then of the same shape.

    Raises: ValueError for data of another dtype.

    >>> Parameter(np.zeros((20, 7))).shape
    (20, 7)
    """

    grad: Array | None

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        float_dtype(self.data.dtype)
        self.grad = None
