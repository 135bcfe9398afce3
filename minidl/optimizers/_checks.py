"""What several optimizers ask of their arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._validation import fraction, positive_number, shown, within
from minidl.parameter import Parameter


def checked_betas(betas: Any, name: str) -> tuple[float, float]:
    """Return two numbers in [0, 1).

    Raises: ValueError for anything else.
    """
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(f"{name} betas: expected two numbers in [0, 1), received {shown(betas)}")
    return fraction(betas[0], f"{name} betas[0]"), fraction(betas[1], f"{name} betas[1]")


def checked_epsilon(epsilon: Any, parameters: Sequence[Parameter], name: str) -> float:
    """Return a number above 0 that stands beside the root of squares in every parameter's dtype.

    Raises: ValueError for anything else.
    """
    value = positive_number(epsilon, f"{name} epsilon")
    for parameter in parameters:  # smaller than the root of the smallest square, it would count for nothing
        least = math.sqrt(np.finfo(parameter.data.dtype).tiny)
        within(parameter.data.dtype, value, f"{name} epsilon", least)
    return value
