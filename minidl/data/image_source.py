"""What pictures are read from: paths, and what is in memory: bytes, open files, Pillow images and arrays of pixels."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, PngImagePlugin

from minidl._typing import Array
from minidl._validation import shown

Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | Array


class InMemory(NamedTuple):
    """A picture that is in memory: its file's bytes, a Pillow image or pixels, and what errors call it."""

    name: str
    data: bytes | Image.Image | Array


_copying = Lock()  # the first copy of an image decodes it, which two threads must not do at once


def as_source(value: Any, name: str) -> Path | InMemory:
    """Return a path as a Path, anything else that is a picture as InMemory, open files read.

    Files that can seek are read from their beginning and are then where they were; others are read to their end.

    Raises: TypeError for anything else, files opened as text among it; ValueError for an array that is no picture.
    """
    if isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str):
        return Path(value)
    if isinstance(value, Image.Image):
        return InMemory(f"{name}, a Pillow image", value)
    if isinstance(value, np.ndarray):
        return InMemory(f"{name}, an array", _pixels(value, name))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return InMemory(f"{name}, {len(bytes(value)):,} bytes", bytes(value))
    if callable(getattr(value, "read", None)):
        data, label = _content(value), getattr(value, "name", None)
        if isinstance(data, bytes):
            called = f" {label}" if isinstance(label, str) else ""
            return InMemory(f"{name}, an open file{called}", data)
    raise TypeError(
        f"{name}: expected a path, bytes, a file opened in binary mode, a Pillow image or an array of pixels, "
        f"received {shown(value)}"
    )


def image_of(data: Image.Image | Array) -> Image.Image:
    """Return a copy of a Pillow image, or pixels as one, that may be changed."""
    if isinstance(data, np.ndarray):
        return Image.fromarray(np.ascontiguousarray(data[:, :, 0] if data.shape[2:] == (1,) else data))
    with _copying:
        stored = data.tile[0][3] if isinstance(data, PngImagePlugin.PngImageFile) and data.tile else None
        copied = data.copy()
        scale_transparency(copied.info, stored)
    if hasattr(data, "tag_v2"):  # a TIFF file, which Pillow has turned upright by itself
        for key in ("exif", "xmp", "XML:com.adobe.xmp"):
            copied.info.pop(key, None)
    return copied


def scale_transparency(info: dict[Any, Any], stored: Any) -> None:
    """Bring the transparent colour of a PNG file to the 8 bits of its pixels, as Pillow does the pixels alone."""
    colour = info.get("transparency")
    if isinstance(colour, int) and stored in ("L;2", "L;4"):
        info["transparency"] = min(255, colour * (85 if stored == "L;2" else 17))
    elif isinstance(colour, tuple) and stored == "RGB;16B":
        info["transparency"] = tuple(value >> 8 for value in colour)


def _content(file: Any) -> Any:
    try:
        before = file.tell()
        file.seek(0)
    except (AttributeError, OSError):  # a pipe, or what comes over the network
        return file.read()
    try:
        return file.read()
    finally:
        file.seek(before)


def _pixels(array: Array, name: str) -> Array:
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not is_picture or array.size == 0:
        raise ValueError(
            f"{name}: expected uint8 pixels (height, width), or (height, width, channels) of 1, 3 or 4 channels, "
            f"received {array.dtype} {array.shape}"
        )
    return array
