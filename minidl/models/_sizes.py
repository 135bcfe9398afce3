"""Lists of sizes, as ready networks take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._validation import shown, size


def list_of_sizes(values: Any, name: str, *, at_least: int = 1, exactly: int | None = None) -> list[int]:
    """Return a list of sizes as integers.

    Raises: ValueError for something else, and for another number of them than is required.

    >>> list_of_sizes((2, np.int64(4)), "layer_dims")
    [2, 4]
    """
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str) or np.shape(values) == ():
        raise ValueError(f"{name}: expected a list of sizes, such as [2, 4, 1], received {shown(values)}")
    sizes = [size(value, f"{name}[{i}]") for i, value in enumerate(values)]
    if len(sizes) < at_least or exactly not in (None, len(sizes)):
        count = f"{exactly}" if exactly else f"at least {at_least}"
        raise ValueError(f"{name}: expected {count} sizes, received {sizes}")
    return sizes
