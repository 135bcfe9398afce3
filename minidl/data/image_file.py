"""One picture file of any kind as pixels of one size."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from minidl._typing import Array
from minidl.errors import ImageFileError

# A JPEG decoded at a fraction of its size, but at least three times as large as wanted, and then resized, differs from
# the whole one resized by 0.3 of 255 in the mean for photographs and by 0.7 for the worst of patterns (1.9 with 2).
DRAFT_GAP = 3

Transpose = Image.Transpose
# What shows a picture upright, by the value of its EXIF orientation; 1, or anything else, is upright already.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_QUARTER_TURNS = {_TURNS[value] for value in (5, 6, 7, 8)}


def read_image(path: str | os.PathLike[str], size: tuple[int, int]) -> Array:
    """Return one picture as uint8 (height, width, 3).

    Any file that Pillow reads: turned upright by its EXIF tag, of an animation the first frame, transparency laid on
    white, 16-bit grey brought to 8, squeezed to `size` = (height, width) with an antialiasing bicubic filter. Colour
    profiles are not applied. A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as long as `DRAFT_GAP` times the
    wanted size is left for the filter.

    Raises: ImageFileError for a file that is missing, broken, truncated, empty, no picture, or larger than Pillow's
    limit against decompression bombs.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (640, 480), "white").save(f"{folder}/photo.jpg")
    ...     read_image(f"{folder}/photo.jpg", size=(64, 64)).shape
    (64, 64, 3)
    """
    with pillow_warnings():
        return decode(Path(path), size)


@contextmanager
def pillow_warnings() -> Iterator[None]:
    """Turn Pillow's warning of a decompression bomb into an error, and silence those of odd metadata.

    The filters are the whole process's: enter this once, around the threads, never inside them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        yield


def decode(path: Path, size: tuple[int, int]) -> Array:
    """Return what `read_image` does; to be called inside `pillow_warnings`."""
    with opened(path, at_once=True) as picture:
        side = DRAFT_GAP * max(size)  # of both sides, since the picture may yet be turned by a quarter
        reduced = picture.draft(None, (side, side))
        turn = _turn(picture)
        height, width = size[::-1] if turn in _QUARTER_TURNS else size
        box = None if reduced is None else reduced[1]  # ends inside the last pixel where a side was no multiple of 8
        small = _to_rgb(picture).resize((width, height), Image.Resampling.BICUBIC, box)
        return np.asarray(small if turn is None else small.transpose(turn))


@contextmanager
def opened(path: Path, at_once: bool = False) -> Iterator[Image.Image]:
    """Open a picture, its header read and its pixels not; whatever fails inside becomes an `ImageFileError`.

    For pixels, too, read the file `at_once`: every small piece that Pillow reads is a turn of waiting among threads.
    """
    try:
        with _identified(io.BytesIO(path.read_bytes()) if at_once else path) as picture:
            yield picture
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit against decompression bombs"
        raise ImageFileError(path, reason) from None
    except Exception as error:  # Pillow's decoders raise nearly any exception on a damaged file
        reason = "the file is empty" if path.is_file() and path.stat().st_size == 0 else _reason(error, path)
        raise ImageFileError(path, reason) from error


def upright_rgb(picture: Image.Image) -> Image.Image:
    """Return the picture in RGB as it is meant to be seen, at its own size."""
    turn = _turn(picture)
    rgb = _to_rgb(picture)
    return rgb if turn is None else rgb.transpose(turn)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """Load the picture and return what turns it upright."""
    picture.load()  # first, because a PNG may have its EXIF behind its pixels
    try:
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata, of many kinds, does not spoil sound pixels: they stand as they are stored
        return None


def _identified(source: Path | io.BytesIO) -> Image.Image:
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        # Pillow registers its rarer formats on the first file of an unknown kind; where another thread was about it,
        # this one may have seen only some of them.
        Image.init()
        return Image.open(source)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255 instead of scaling
        return _from_grey(np.asarray(picture).astype(np.float64) / 257)
    if picture.mode == "F":  # floating grey goes by no rule: from 0 to 1, or as bytes
        grey = np.nan_to_num(np.asarray(picture).astype(np.float64))
        return _from_grey(grey * 255 if grey.max() <= 1 else grey)
    if picture.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB") or picture
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def _from_grey(grey: Array) -> Image.Image:
    return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"broken picture ({str(error).replace(str(path), path.name) or type(error).__name__})"
