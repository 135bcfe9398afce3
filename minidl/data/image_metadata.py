"""The metadata of pictures: how a picture is to be turned, and the tags of a TIFF file.

Pillow warns of odd metadata, and the warnings filters are the caller's: under "error" a sound picture would not be
read, and changing them would change them for all threads. So the orientation is read here, and the tags of a TIFF file
are corrected before Pillow reads them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import ExifTags, TiffTags

Buffer: TypeAlias = bytes | memoryview

BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
TEXTS = (1, 2, 7)  # types whose bytes are one value
WHOLE_NUMBERS = (1, 3, 4)
NO_TYPE = 0  # tags of an unknown type are ignored by all readers


@dataclass(frozen=True)
class _Tag:
    """One entry of a directory: where it begins, its number, its type, how many values it has and where they are."""

    at: int
    number: int
    kind: int
    count: int
    values_at: int
    inside: bool  # the entry has room for its values, and holds them itself


def is_tiff(prefix: bytes) -> bool:
    """Return whether a file that begins so is a TIFF file.

    >>> is_tiff(b"MM\\0*"), is_tiff(b"GIF89a")
    (True, False)
    """
    return prefix[:2] in (b"II", b"MM") and prefix[2:4].strip(b"\0") in (b"*", b"+")


def correct_tags(data: memoryview) -> None:
    """Change, in place, those tags of a TIFF file that Pillow would warn of.

    A tag whose values are not inside the file, and one that leads to further metadata, is disabled; of several values
    where there can be one, the first is kept, as Pillow does.

    Raises: ValueError for a directory that is not inside the file.
    """
    order, wide = _layout(data)
    room, total = (8, 0) if wide else (4, 0)
    try:
        for tag in _tags(data):
            unit = BYTES_OF_TYPE.get(tag.kind, 0)
            size = unit * tag.count
            is_missing = not tag.inside and (tag.values_at + size > len(data) or total + size > len(data))
            if is_missing or tag.number in TiffTags.TAGS_V2_GROUPS:
                struct.pack_into(f"{order}H", data, tag.at + 2, NO_TYPE)
                continue
            total += 0 if tag.inside else size
            if tag.count > 1 and tag.kind not in TEXTS and TiffTags.lookup(tag.number).length == 1:
                struct.pack_into(f"{order}{'Q' if wide else 'L'}", data, tag.at + 4, 1)
                if unit <= room:
                    first = tag.at + 4 + room
                    data[first : first + unit] = bytes(data[tag.values_at : tag.values_at + unit])
    except (struct.error, OverflowError):
        raise ValueError("its directory of tags is not inside the file") from None


def orientation_of(info: Mapping[Any, Any]) -> int:
    """Return the EXIF orientation in the `info` of a picture; 1, upright, where there is none.

    >>> exif = b"Exif\\0\\0MM\\0*" + struct.pack(">LHHHLHHL", 8, 1, 0x112, 3, 1, 6, 0, 0)
    >>> orientation_of({"exif": exif})
    6
    """
    try:
        found = _in_exif(_exif_of(info))
    except (ValueError, struct.error, OverflowError):
        found = None  # damaged metadata does not spoil sound pixels: they stay as they are stored
    return found or _in_xmp(info) or 1


def _exif_of(info: Mapping[Any, Any]) -> bytes:
    data = info.get("exif")
    if data is None and "Raw profile type exif" in info:  # how ImageMagick writes it into PNG files
        data = bytes.fromhex("".join(str(info["Raw profile type exif"]).split("\n")[3:]))
    return bytes(data or b"").removeprefix(b"Exif\0\0")


def _in_exif(data: bytes) -> int | None:
    for tag in _tags(data):
        if tag.number == ExifTags.Base.Orientation and tag.kind in WHOLE_NUMBERS and tag.inside:
            value = data[tag.values_at : tag.values_at + BYTES_OF_TYPE[tag.kind]]
            return int.from_bytes(value, "big" if data[:2] == b"MM" else "little")
    return None


def _in_xmp(info: Mapping[Any, Any]) -> int | None:
    xmp = info.get("XML:com.adobe.xmp") or info.get("xmp")
    if not xmp:
        return None
    match = re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp.encode() if isinstance(xmp, str) else xmp)
    return int(match[1]) if match else None


def _layout(data: Buffer) -> tuple[str, bool]:
    """Return the byte order as `struct` writes it, and whether numbers are 64 bits wide."""
    return ">" if data[:2] == b"MM" else "<", data[2:3] == b"+"


def _tags(data: Buffer) -> Iterator[_Tag]:
    """Yield the tags of the first directory of a TIFF file; EXIF metadata has the same form.

    Raises: struct.error or OverflowError where the data ends before the directory.
    """
    if not is_tiff(bytes(data[:4])):
        return
    order, wide = _layout(data)
    long, room, counter = ("Q", 8, "Q") if wide else ("L", 4, "H")
    (at,) = struct.unpack_from(order + long, data, room)
    (number_of_tags,) = struct.unpack_from(order + counter, data, at)
    at += struct.calcsize(order + counter)
    for _ in range(number_of_tags):
        number, kind, count = struct.unpack_from(f"{order}HH{long}", data, at)
        values_at = at + 4 + room
        (offset,) = struct.unpack_from(order + long, data, values_at)
        inside = BYTES_OF_TYPE.get(kind, 0) * count <= room
        yield _Tag(at, number, kind, count, values_at if inside else offset, inside)
        at += 4 + 2 * room
    struct.unpack_from(order + long, data, at)  # where the next directory begins, which Pillow reads, too
