"""Work arrays: memory that is used again as soon as nobody holds what was in it.

A new array of more than some hundred kilobytes is memory that the operating system hands out page by page, cleared, and
takes back when the array goes: for a layer of 1,000 x 64 numbers that takes as long as all its arithmetic. So while a
training loop runs, the arrays that its layers fill are kept, and one that only this store still refers to is handed
out again. Whoever holds an array, or a view of it, holds a reference: nothing that a caller has been given ever
changes later.
"""

from __future__ import annotations

from sys import getrefcount

import numpy as np
import numpy.typing as npt

from minidl._typing import Array

KINDS = 128  # shapes and dtypes to remember: more belong to pictures of ever new sizes, and would fill the memory


class WorkArrays:
    """Arrays that are free to be written into, by shape and dtype.

    >>> store = WorkArrays()
    >>> first = store.array((2, 3), np.float32)
    >>> np.shares_memory(first, store.array((2, 3), np.float32))
    False
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[tuple[int, ...], npt.DTypeLike], list[Array]] = {}

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array that nobody else holds, its numbers arbitrary.

        It is a view, whose shape and flags its holder may set at will; views of it refer to the array behind it.
        """
        arrays = self._arrays.get((shape, dtype))
        if arrays is None:
            if len(self._arrays) == KINDS:
                self._arrays.clear()
            arrays = self._arrays[shape, dtype] = []
        for array in arrays:
            if getrefcount(array) == HELD_HERE_ONLY:
                return array.view()
        arrays.append(np.empty(shape, dtype))
        return arrays[-1].view()


def _references_while_looping() -> int:
    for array in [np.empty(0)]:
        count = getrefcount(array)
    return count


HELD_HERE_ONLY = _references_while_looping()
