"""LazyImages: pictures in files that look like an array in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import numpy as np

from minidl._typing import Array, DTypeLike
from minidl._validation import non_negative_int, shown
from minidl.data.image_file import Size, decode, picture_size
from minidl.data.image_source import Source, as_source
from minidl.ops.parallel import in_threads


class LazyImages:
    """The pictures of many files, uint8 (n, height, width, 3), each decoded anew whenever it is asked for.

    Index the first axis as an array's: a number gives one picture; a slice, numbers or a mask give a new batch, read
    as `read_image` does, on all cores. Memory holds what was asked for, and of the decoded pictures as many as go into
    `cache_bytes`: the first ones in order, each from when it is first asked for. `numpy.asarray` decodes all.

    Arguments: `sources`, paths or whatever `read_image` takes, in the order of the rows; open files are read into
    memory at once, everything else is kept as it is given; `size` is (height, width), or one number for both;
    `cache_bytes`, 0 or more, of which a picture takes `3 * height * width`. A file that changes after its picture was
    cached is not read again.

    Raises: ValueError for a wrong `size` or `cache_bytes`; TypeError for `sources` that are no list of such; on access
    IndexError, and ImageFileError for the first file asked for that cannot be read.

    >>> images = LazyImages(["a.jpg", "b.jpg", "c.jpg"], size=(64, 64))
    >>> images.shape, images.dtype, len(images)
    ((3, 64, 64, 3), dtype('uint8'), 3)
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, sources: Iterable[Source], size: Size, cache_bytes: int = 0) -> None:
        is_one = isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(sources, "read")
        if is_one or not isinstance(sources, Iterable):
            raise TypeError(f"sources: expected a list of paths or pictures, received {shown(sources)}")
        self.size = picture_size(size)
        self.sources = tuple(as_source(source, f"sources[{i}]") for i, source in enumerate(sources))
        self.cache_bytes = non_negative_int(cache_bytes, "cache_bytes")
        self._rows = np.arange(len(self.sources))
        self._make_cache()

    def _make_cache(self) -> None:
        """Begin with an empty cache; the memory of its rows is the system's until they are written."""
        count = min(len(self.sources), self.cache_bytes // (3 * math.prod(self.size)))
        self._cache = np.empty((count, *self.size, 3), np.uint8)
        self._is_cached = np.zeros(len(self.sources), bool)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array that all pictures together would be."""
        return (len(self.sources), *self.size, 3)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: Any) -> Array:
        rows = self._rows[index]
        wanted = rows.ravel()
        is_cached = self._is_cached[wanted]
        batch = np.empty((len(wanted), *self.size, 3), np.uint8)
        batch[is_cached] = self._cache[wanted[is_cached]]
        missing = np.flatnonzero(~is_cached)
        sources = [self.sources[row] for row in wanted[missing]]
        with closing(in_threads(lambda source: decode(source, self.size), sources)) as pictures:
            for i, picture in zip(missing, pictures, strict=True):
                batch[i] = picture
        if len(self._cache):
            self._keep(wanted[missing], batch[missing])
        return batch.reshape(*rows.shape, *self.size, 3)

    def _keep(self, rows: Array, pictures: Array) -> None:
        fits = rows < len(self._cache)
        self._cache[rows[fits]] = pictures[fits]
        self._is_cached[rows[fits]] = True  # last, as another thread may read the cache

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("LazyImages: pictures in files cannot become an array without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_cache", "_is_cached")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_cache()

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} pictures, size={self.size})"
