"""LazyImages: pictures in files that look like an array in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt

from minidl._typing import Array
from minidl._validation import shown
from minidl.data._folders import as_path
from minidl.data.image_file import Size, decode, picture_size
from minidl.ops.parallel import in_threads


class LazyImages:
    """The pictures of many files, uint8 (n, height, width, 3), each decoded anew whenever it is asked for.

    Index the first axis as an array's: a number gives one picture; a slice, numbers or a mask give a new batch, read
    as `read_image` does, on all cores. Memory holds what was asked for and nothing else. `numpy.asarray` decodes all.

    Arguments: `paths` of the files, in the order of the rows; `size` is (height, width), or one number for both.

    Raises: ValueError for a wrong `size`; TypeError for `paths` that are no list of paths; on access IndexError, and
    ImageFileError for the first file asked for that cannot be read.

    >>> images = LazyImages(["a.jpg", "b.jpg", "c.jpg"], size=(64, 64))
    >>> images.shape, images.dtype, len(images)
    ((3, 64, 64, 3), dtype('uint8'), 3)
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, paths: Iterable[str | os.PathLike[str]], size: Size) -> None:
        if isinstance(paths, (str, bytes, os.PathLike)) or not isinstance(paths, Iterable):
            raise TypeError(f"paths: expected a list of paths, received {shown(paths)}")
        self.size = picture_size(size)
        self.paths = tuple(as_path(path, f"paths[{i}]") for i, path in enumerate(paths))
        self._rows = np.arange(len(self.paths))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that all pictures together would be."""
        return (len(self.paths), *self.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Array:
        rows = self._rows[index]
        paths = [self.paths[row] for row in np.ravel(rows)]
        batch = np.empty((len(paths), *self.size, 3), np.uint8)
        with closing(in_threads(lambda path: decode(path, self.size), paths)) as pictures:
            for i, picture in enumerate(pictures):
                batch[i] = picture
        return batch.reshape(*np.shape(rows), *self.size, 3)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("LazyImages: pictures in files cannot become an array without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} pictures, size={self.size})"
