"""The line through logarithms: how a cost grows with a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Line(NamedTuple):
    """`factor * size ** exponent`."""

    factor: float
    exponent: float

    def at(self, size: float) -> float:
        """Return the value at a size."""
        return float(self.factor * size**self.exponent)

    def reaches(self, value: float) -> float:
        """Return the size with this value, infinity where the line does not rise, or hardly.

        >>> Line(2.0, 1.0).reaches(6.0)
        3.0
        """
        if self.exponent <= 0:
            return math.inf
        try:
            return float((value / self.factor) ** (1 / self.exponent))
        except OverflowError:
            return math.inf


def fitted(sizes: Sequence[float], values: Sequence[float]) -> Line:
    """Return the line of least squares through the logarithms of the upper half of the points, two at the least.

    >>> line = fitted([1, 2, 4, 8], [50, 1, 2, 4])
    >>> round(line.exponent, 6), round(line.at(16), 6)
    (1.0, 8.0)
    """
    upper = slice(min(len(sizes) // 2, len(sizes) - 2), None)
    exponent, height = np.polyfit(np.log(sizes[upper]), np.log(values[upper]), 1)
    return Line(math.exp(height), float(exponent))
