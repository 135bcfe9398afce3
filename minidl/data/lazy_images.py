"""LazyImages: pictures in files that look like an array in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import numpy as np

from minidl._typing import Array, DTypeLike
from minidl._validation import shown
from minidl.data.image_file import Size, decode, picture_size
from minidl.data.image_source import Source, as_source
from minidl.ops.parallel import in_threads


class LazyImages:
    """The pictures of many files, uint8 (n, height, width, 3), each decoded anew whenever it is asked for.

    Index the first axis as an array's: a number gives one picture; a slice, numbers or a mask give a new batch, read
    as `read_image` does, on all cores. Memory holds what was asked for and nothing else. `numpy.asarray` decodes all.

    Arguments: `sources`, paths or whatever `read_image` takes, in the order of the rows; open files are read into
    memory at once, everything else is kept as it is given; `size` is (height, width), or one number for both.

    Raises: ValueError for a wrong `size`; TypeError for `sources` that are no list of such; on access IndexError, and
    ImageFileError for the first file asked for that cannot be read.

    >>> images = LazyImages(["a.jpg", "b.jpg", "c.jpg"], size=(64, 64))
    >>> images.shape, images.dtype, len(images)
    ((3, 64, 64, 3), dtype('uint8'), 3)
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, sources: Iterable[Source], size: Size) -> None:
        is_one = isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(sources, "read")
        if is_one or not isinstance(sources, Iterable):
            raise TypeError(f"sources: expected a list of paths or pictures, received {shown(sources)}")
        self.size = picture_size(size)
        self.sources = tuple(as_source(source, f"sources[{i}]") for i, source in enumerate(sources))
        self._rows = np.arange(len(self.sources))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that all pictures together would be."""
        return (len(self.sources), *self.size, 3)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Array:
        rows = self._rows[index]
        sources = [self.sources[row] for row in np.ravel(rows)]
        batch = np.empty((len(sources), *self.size, 3), np.uint8)
        with closing(in_threads(lambda source: decode(source, self.size), sources)) as pictures:
            for i, picture in enumerate(pictures):
                batch[i] = picture
        return batch.reshape(*np.shape(rows), *self.size, 3)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("LazyImages: pictures in files cannot become an array without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} pictures, size={self.size})"
