"""Kinds of array-likes: the same numbers in other clothes, and what is no finite numbers at all."""

from __future__ import annotations

import warnings
from array import array
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
DTYPES = (
    "float16", "float32", "float64", "longdouble", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64", ">f8", ">f4", ">f2", ">i2", ">i8", ">u4",
)  # fmt: skip


class Wrapped:
    """An object that becomes an array when NumPy asks for one, and is nothing else."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.values, dtype=dtype)


class Sub(np.ndarray):
    """A class of arrays of somebody's own."""


def same_numbers(folder: Path) -> dict[str, Callable[[Array], Any]]:
    """Return functions that give the numbers of a float64 array, whole and from 0 to 100, in another form."""
    return {
        **{dtype: partial(_cast, dtype=dtype) for dtype in DTYPES},
        "list": lambda x: x.tolist(),
        "list of ints": lambda x: x.astype(int).tolist(),
        "tuple": lambda x: tuple(map(tuple, x.tolist())) if x.ndim > 1 else tuple(x.tolist()),
        "list of arrays": list,
        "deque": lambda x: deque(x.tolist()),
        "range of samples": lambda x: [x[i] for i in range(len(x))],
        "memoryview": lambda x: x.data,
        "array.array": lambda x: array("d", x.tolist()) if x.ndim == 1 else [array("d", row.ravel()) for row in x],
        "__array__": Wrapped,
        "subclass": lambda x: x.view(Sub),
        "matrix": _matrix,
        "Fortran order": np.asfortranarray,
        "negative strides": lambda x: np.ascontiguousarray(x[::-1])[::-1],
        "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
        "unaligned": _unaligned,
        "read-only": _read_only,
        "read-only float32": lambda x: _read_only(x.astype(np.float32)),
        "memmap": lambda x: _mapped(x, folder / "mapped.npy"),
        "memmap float32": lambda x: _mapped(x.astype(np.float32), folder / "mapped32.npy"),
        "object": lambda x: x.astype(object),
        "masked, no gaps": lambda x: np.ma.array(x, mask=False),
        "Decimal": lambda x: np.vectorize(Decimal, otypes=[object])(x),
        "Fraction": lambda x: np.vectorize(Fraction, otypes=[object])(x).tolist(),
        "complex": lambda x: x.astype(complex),
        "digits": lambda x: x.astype(str),
        "bytes": lambda x: x.astype("S4"),
        "datetime": lambda x: x.astype(int).astype("M8[s]"),
        "timedelta": lambda x: x.astype(int).astype("m8[s]"),
        "structured": lambda x: x.view([("value", "<f8")]),
    }  # fmt: skip


def no_numbers(folder: Path) -> dict[str, Callable[[Array], Any]]:
    """Return functions that spoil an array: what none can compute with."""
    return {
        "NaN": lambda x: _with(x, np.nan),
        "infinity": lambda x: _with(x, np.inf),
        "-infinity float32": lambda x: _with(x.astype(np.float32), -np.inf),
        "NaN float16": lambda x: _with(x.astype(np.float16), np.nan),
        "NaN in a list": lambda x: _with(x, np.nan).tolist(),
        "NaN longdouble": lambda x: _with(x.astype(np.longdouble), np.nan),
        "NaN object": lambda x: _with(x.astype(object), float("nan")),
        "None object": lambda x: _with(x.astype(object), None),
        "NaN in a memmap": lambda x: _mapped(_with(x, np.nan), folder / "nan.npy"),
        "NaN complex": lambda x: _with(x.astype(complex), complex(0, np.nan)),
        "masked": lambda x: np.ma.array(x, mask=np.arange(x.size).reshape(x.shape) == x.size - 1),
        "masked everywhere": lambda x: np.ma.array(x, mask=True),
        "ragged": lambda x: [row[: i + 1] for i, row in enumerate(x.reshape(len(x), -1).repeat(2, axis=1).tolist())],
        "no samples": lambda x: x[:0],
        "no samples in a list": lambda _: [],
        "no features": lambda x: np.empty((len(x), 0)),
        "0-d": lambda _: np.array(1.0),
        "a number": lambda _: 1.0,
        "None": lambda _: None,
        "text": lambda _: "text",
        "texts": lambda x: np.full(x.shape, "cat"),
        "set": lambda _: {1.0, 2.0},
        "dict": lambda x: dict(enumerate(x.tolist())),
        "generator": lambda x: (row for row in x),
        "two axes too many": lambda x: x[None, ..., None],
        "a class": lambda _: float,
    }


def too_large(folder: Path) -> dict[str, Callable[[Array], Any]]:
    """Return functions that put numbers in that float64 holds and float32 does not."""
    return {
        "1e39": lambda x: _with(x, 1e39),
        "-1e300": lambda x: _with(x, -1e300),
        "1e39 in a list": lambda x: _with(x, 1e39).tolist(),
        "1e39 object": lambda x: _with(x.astype(object), 1e39),
        "1e39 in a memmap": lambda x: _mapped(_with(x, 1e39), folder / "large.npy"),
        "a whole number above uint64": lambda x: _with(x.astype(object), 2**70),
        "1e400 longdouble": lambda x: _with(x.astype(np.longdouble), np.longdouble("1e400")),
    }


def _cast(x: Array, dtype: str) -> Array:
    return x.astype(dtype)


def _with(x: Array, value: Any) -> Array:
    changed = x.copy()
    changed[-1] = value
    return changed


def _matrix(x: Array) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.matrix(x) if x.ndim <= 2 else x


def _unaligned(x: Array) -> Array:
    memory = np.empty(x.nbytes + 1, np.uint8)
    moved = memory[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def _read_only(x: Array) -> Array:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _mapped(x: Array, path: Path) -> Array:
    np.save(path, x)
    mapped: Array = np.load(path, mmap_mode="r")
    return mapped
