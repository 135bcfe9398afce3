"""Underflow to 0, which is a result and no error, whatever a program has asked of `np.seterr`."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

_is_ignored: ContextVar[bool] = ContextVar("underflow is ignored", default=False)


def underflow_to_zero(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that does the same, with NumPy's errors about underflow off.

    The outermost of nested calls turns them off, which takes a microsecond; the others take a tenth of it.

    >>> with np.errstate(under="raise"):
    ...     underflow_to_zero(np.exp)(-1000.0).item()
    0.0
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if _is_ignored.get():
            return function(*args, **kwargs)
        token = _is_ignored.set(True)
        try:
            with np.errstate(under="ignore"):
                return function(*args, **kwargs)
        finally:
            _is_ignored.reset(token)

    return call
