"""Floating-point errors of NumPy that are none here, whatever a program has asked of `np.seterr`.

Underflow to 0 is a result. And "invalid value encountered in matmul" may be said of finite numbers with a right
product: a BLAS also computes with what happens to lie in its own memory, and drops the result (seen with OpenBLAS
0.3.31, in one of some ten million small products). NaN that comes of finite numbers has overflowed first, which is
still reported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

from minidl._context import variable

P = ParamSpec("P")
R = TypeVar("R")

_are_ignored = variable("false alarms are ignored", False)


def without_false_alarms(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that does the same, with NumPy's errors about underflow and invalid values off.

    The outermost of nested calls turns them off, which takes a microsecond; the others take a tenth of it.

    >>> with np.errstate(under="raise"):
    ...     without_false_alarms(np.exp)(-1000.0).item()
    0.0
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _are_ignored.get():
            return function(*args, **kwargs)
        try:
            _are_ignored.set(True)
            with np.errstate(under="ignore", invalid="ignore"):
                return function(*args, **kwargs)
        finally:
            _are_ignored.set(False)

    return call
