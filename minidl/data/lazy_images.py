"""LazyImages: pictures in files that look like an array in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._validation import positive_int
from minidl.data.image_file import decode, pillow_warnings
from minidl.ops.parallel import in_threads


class LazyImages:
    """The pictures of many files, uint8 (n, height, width, 3), each decoded anew whenever it is asked for.

    Index the first axis as an array's: a number gives one picture; a slice, numbers or a mask give a new batch, read
    as `read_image` does, on all cores. Memory holds what was asked for and nothing else. `numpy.asarray` decodes all.

    Arguments: `paths` of the files, in the order of the rows; `size` is (height, width).

    Raises: ValueError for a size below 1; on access IndexError, and ImageFileError for the first file asked for that
    cannot be read.

    >>> images = LazyImages(["a.jpg", "b.jpg", "c.jpg"], size=(64, 64))
    >>> images.shape, images.dtype, len(images)
    ((3, 64, 64, 3), dtype('uint8'), 3)
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, paths: Iterable[str | os.PathLike[str]], size: tuple[int, int]) -> None:
        self.size = positive_int(size[0], "size[0]"), positive_int(size[1], "size[1]")
        self.paths = tuple(Path(path) for path in paths)
        self._rows = np.arange(len(self.paths))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that all pictures together would be."""
        return (len(self.paths), *self.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Array:
        rows = self._rows[index]
        paths = [self.paths[row] for row in np.atleast_1d(rows)]
        batch = np.empty((len(paths), *self.size, 3), np.uint8)
        with pillow_warnings(), closing(in_threads(lambda path: decode(path, self.size), paths)) as pictures:
            for i, picture in enumerate(pictures):
                batch[i] = picture
        return batch if np.ndim(rows) else batch[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("LazyImages: pictures in files cannot become an array without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} pictures, size={self.size})"
