"""Tables with named columns, as a pandas DataFrame is, which needs no import to be read."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array


def is_table(value: Any) -> bool:
    """Return whether `value` is a table with columns of different types, as a pandas DataFrame is."""
    if not (hasattr(value, "columns") and hasattr(value, "dtypes") and hasattr(value, "to_numpy")):
        return False
    return all(hasattr(dtype, "kind") for dtype in value.dtypes)  # as those of NumPy and pandas do


def array_of_table(table: Any, name: str) -> Array:
    """Return the numbers of a table whose columns all hold numbers or truth values, without gaps.

    Raises: ValueError that names the columns of other types, or with gaps.
    """
    kinds = [(column, dtype) for column, dtype in zip(table.columns, table.dtypes, strict=True)]
    wrong = [f"{column!r} of {dtype}" for column, dtype in kinds if dtype.kind not in "fiub"]
    if wrong:
        raise ValueError(f"{name}: expected columns of numbers, received {', '.join(wrong)}")
    array: Array = np.asarray(table)
    if array.dtype.kind not in "fiub":  # columns of numbers beside some of truth values, or with gaps
        array = table.to_numpy(dtype=np.float64, na_value=np.nan)
    gaps = np.isnan(array).any(axis=0)
    if gaps.any():
        columns = ", ".join(repr(column) for column, _ in np.array(kinds, object)[gaps])
        raise ValueError(f"{name}: expected numbers without gaps, received NaN or missing values in {columns}")
    return array
