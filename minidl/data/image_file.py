"""One picture file of any kind as pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from minidl._typing import Array
from minidl._validation import shown
from minidl._validation import size as side_length
from minidl.data._image_opening import QUARTER_TURNS, load, opened
from minidl.data.image_pixels import resized
from minidl.data.image_source import InMemory, Source, as_source

Size: TypeAlias = int | tuple[int, int]
"""Height and width in pixels, or one number for both."""

# A JPEG decoded at a fraction of its size, but at least three times as large as wanted, and then resized, differs from
# the whole one resized by 0.3 of 255 in the mean for photographs and by 0.7 for the worst of patterns (1.9 with 2).
DRAFT_GAP = 3


def read_image(source: Source, size: Size) -> Array:
    """Return one picture as uint8 (height, width, 3).

    Any file that Pillow reads without the help of another program: turned upright by its EXIF tag, of an animation the
    first frame, transparency laid on white, 16-bit grey brought to 8, squeezed to `size` = (height, width), or one
    number for both, with an antialiasing bicubic filter. Colour profiles are not applied. A large JPEG is decoded at
    1/2, 1/4 or 1/8 of its size, as long as `DRAFT_GAP` times the wanted size is left for the filter.

    Arguments: `source` is a path; the bytes of a file; a file opened in binary mode, which is left open, and where it
    was if it can seek; a Pillow image, which stays as it is and is not decoded at a fraction of its size; or uint8
    pixels (height, width) or (height, width, channels), grey, RGB or RGBA.

    Raises: ImageFileError for a file that is missing, broken, truncated, empty, no picture, or larger than Pillow's
    limit against decompression bombs, `PIL.Image.MAX_IMAGE_PIXELS`, and for pixels that are NaN or infinite;
    ValueError for a wrong `size` and for an array that is no picture; TypeError for a `source` of another kind.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (640, 480), "white").save(f"{folder}/photo.jpg")
    ...     read_image(f"{folder}/photo.jpg", size=(64, 64)).shape
    (64, 64, 3)
    """
    return decode(as_source(source, "source"), picture_size(size))


def picture_size(size: Any) -> tuple[int, int]:
    """Return `size` as (height, width).

    Raises: ValueError for anything but one or two whole numbers of at least 1.

    >>> picture_size(64), picture_size((48, 64))
    ((64, 64), (48, 64))
    """
    if isinstance(size, (Sequence, np.ndarray)) and not isinstance(size, (str, bytes)) and np.ndim(size) == 1:
        if len(size) == 2:
            return side_length(size[0], "size[0]"), side_length(size[1], "size[1]")
        raise ValueError(f"size: expected (height, width) or one number for both, received {shown(size)}")
    side = side_length(size, "size")
    return side, side


def decode(source: Path | InMemory, size: tuple[int, int]) -> Array:
    """Return what `read_image` does of arguments that have been checked."""
    with opened(source, at_once=True) as picture:
        side = DRAFT_GAP * max(size)  # of both sides, since the picture may yet be turned by a quarter
        reduced = picture.draft(None, (side, side))
        turn = load(picture)
        height, width = size[::-1] if turn in QUARTER_TURNS else size
        box = None if reduced is None else reduced[1]  # ends inside the last pixel where a side was no multiple of 8
        small = resized(picture, (width, height), box)
        return np.asarray(small if turn is None else small.transpose(turn))
