"""Opening picture files that may be anything: in no outside program, within the limit of pixels, without warnings."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from minidl.data.image_metadata import correct_tags, is_tiff, orientation_of
from minidl.data.image_source import InMemory, image_of, scale_transparency
from minidl.errors import ImageFileError

READ_AT_ONCE = 2**25
"""Files of up to so many bytes are read into memory, where every small piece that Pillow reads costs less."""

# Pillow draws EPS with Ghostscript. What is embedded in an IPTC file it opens as any format, so that may be EPS again.
STARTING_PROGRAMS = ("EPS", "IPTC")

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
QUARTER_TURNS = {_TURNS[value] for value in (5, 6, 7, 8)}


@contextmanager
def opened(source: Path | InMemory, at_once: bool = False) -> Iterator[Image.Image]:
    """Open a picture, its header read and its pixels not; whatever fails inside becomes an `ImageFileError`.

    For pixels, too, read the file `at_once`: every small piece that Pillow reads is a turn of waiting among threads.
    """
    path = source if isinstance(source, Path) else source.name
    try:
        with _picture(source, at_once) as picture:
            _check_pixels(picture)
            yield picture
    except ImageFileError:
        raise
    except MemoryError:  # also of Pillow for sides that its decoders cannot count
        raise ImageFileError(path, "not enough memory for its pixels") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels, Pillow's limit against decompression bombs"
        raise ImageFileError(path, reason) from None
    except Exception as error:  # Pillow's decoders raise nearly any exception on a damaged file
        raise ImageFileError(path, "the file is empty" if _is_empty(source) else _reason(error, path)) from error


def load(picture: Image.Image) -> Image.Transpose | None:
    """Decode the pixels and return what turns them upright."""
    if isinstance(picture, PngImagePlugin.PngImageFile) and picture.tile:
        scale_transparency(picture.info, picture.tile[0][3])
    picture.load()
    if hasattr(picture, "tag_v2"):  # Pillow has turned a TIFF file upright by itself
        return None
    return _TURNS.get(orientation_of(picture.info))  # now, because a PNG may have its EXIF behind its pixels


def _check_pixels(picture: Image.Image) -> None:
    """Raise DecompressionBombError for more pixels than Pillow allows; Pillow itself warns, up to twice as many."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        raise Image.DecompressionBombError


def _is_empty(source: Path | InMemory) -> bool:
    if isinstance(source, Path):
        return source.is_file() and source.stat().st_size == 0
    return isinstance(source.data, bytes) and not source.data


@contextmanager
def _picture(source: Path | InMemory, at_once: bool) -> Iterator[Image.Image]:
    if isinstance(source, Path):
        content = _file(source, at_once)
    elif isinstance(source.data, bytes):
        content = _in_memory(source.data)
    else:
        yield image_of(source.data)
        return
    with content as file, _identified(file) as picture:
        yield picture


def _file(path: Path, at_once: bool) -> IO[bytes]:
    """Return an open file: a small one in memory if it is read `at_once` or a TIFF file, whose tags are corrected."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "neither a file nor a folder; reading a pipe or device may never end")
    if status.st_size > READ_AT_ONCE or not (at_once or _is_tiff_file(path)):
        return path.open("rb")
    with path.open("rb") as file:
        # In one piece: between two reads, other threads would take the GIL and keep it for a while.
        return _in_memory(file.read(status.st_size))


def _is_tiff_file(path: Path) -> bool:
    with path.open("rb") as file:
        return is_tiff(file.read(4))


def _in_memory(content: bytes) -> IO[bytes]:
    """Return the bytes of a file as one, the tags of a TIFF file corrected."""
    source = io.BytesIO(content)
    if is_tiff(content[:4]):
        with source.getbuffer() as data:
            correct_tags(data)
    return source


def _identified(source: IO[bytes]) -> ImageFile.ImageFile:
    """Return what `Image.open` returns, of formats that Pillow reads by itself, and without its warnings."""
    prefix = source.read(16)
    tried = set(STARTING_PROGRAMS)
    hints = []  # of formats that this Pillow was built without
    for register in (Image.preinit, Image.init):  # the usual formats, then, as it takes longer, all
        register()
        for name, (factory, accept) in Image.OPEN.copy().items():  # a copy, as other threads may be registering
            try:
                answer = name not in tried and (accept is None or accept(prefix))
            except (IndexError, TypeError, struct.error):  # some count on more bytes than a tiny file has
                answer = False
            tried.add(name)
            if isinstance(answer, str):
                hints.append(answer)
            elif answer:
                source.seek(0)
                try:
                    return _Jpeg(source) if factory is JpegImagePlugin.jpeg_factory else factory(source, "")
                except (SyntaxError, IndexError, TypeError, struct.error):
                    continue  # which is how a reader says that the file is of another format
    raise UnidentifiedImageError(*hints)


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG picture whose metadata is not parsed while it is opened, as Pillow does for its resolution."""

    def getexif(self) -> Image.Exif:
        return Image.Exif()


def _reason(error: Exception, path: Path | str) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "; ".join(("not a picture that Pillow can read by itself", *map(str, error.args)))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"broken picture ({str(error).replace(os.fspath(path), Path(path).name) or type(error).__name__})"
