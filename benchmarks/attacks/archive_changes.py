"""Changes to the zip of a model file or checkpoint, checksums right again: what no checksum can find."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from random import Random

from benchmarks.attacks import json_changes

HEADER = "header.json"
Member = tuple[str, bytes]
NAMES = ("x", "../x", "/x", "a\\b", "", ".hidden", "x" * 300, "header.json.npy", "x\0y", "é", "0.weight", "CON")
SHAPES = (b"(0,)", b"(1,)", b"()", b"(4, 2)", b"(99999999999,)", b"(99999999999, 99999999999)", b"(-1,)", b"(1.0,)",
          b"(1,)" * 99, b"(10000000000000000000000,)", b"((1,),)", b"__import__('os')")  # fmt: skip
DTYPES = (b"<f8", b"<f2", b">f4", b"<i4", b"|O", b"|b1", b"|S4", b"<c8", b"<M8[s]", b"|V4", b"<f16", b"x")


def changed(data: bytes, rng: Random) -> tuple[str, bytes]:
    """Return what was done to an archive, and the new one."""
    members = unpacked(data)
    if rng.random() < 0.5:
        kind, text = json_changes.changed(members[0][1], rng)
        return f"header: {kind}", packed([(HEADER, text), *members[1:]])
    kind = rng.choice(list(CHANGES))
    return kind, CHANGES[kind](members, rng)


def unpacked(data: bytes) -> list[Member]:
    """Return the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def packed(members: list[Member], compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """Return a zip of these members."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that stand twice in it
        archive.comment = comment
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return file.getvalue()


def _some(members: list[Member], rng: Random) -> int:
    """Return the place of an array."""
    return rng.randrange(1, len(members))


def _exchange(members: list[Member], rng: Random) -> bytes:
    """Exchange the contents of two members, the header among them."""
    i, j = rng.randrange(len(members)), rng.randrange(len(members))
    (first, one), (second, other) = members[i], members[j]
    members[i], members[j] = (first, other), (second, one)
    return packed(members)


def _rename(members: list[Member], rng: Random) -> bytes:
    """Rename a member, the header among them."""
    i = rng.randrange(len(members))
    members[i] = (rng.choice(NAMES) + rng.choice((".npy", "")), members[i][1])
    return packed(members)


def _rename_in_header_too(members: list[Member], rng: Random) -> bytes:
    i, new = _some(members, rng), rng.choice(NAMES[:1] + NAMES[-3:])
    old, content = members[i]
    members[0] = (HEADER, members[0][1].replace(f'"{old[:-4]}"'.encode(), f'"{new}"'.encode()))
    members[i] = (f"{new}.npy", content)
    return packed(members)


def _remove(members: list[Member], rng: Random) -> bytes:
    del members[rng.randrange(len(members))]
    return packed(members)


def _repeat(members: list[Member], rng: Random) -> bytes:
    members += [rng.choice(members)] * rng.choice((1, 1, 500))
    return packed(members)


def _add(members: list[Member], rng: Random) -> bytes:
    members.insert(rng.randrange(len(members) + 1), (rng.choice(NAMES) + ".npy", rng.choice(members)[1]))
    return packed(members)


def _change_array_header(members: list[Member], rng: Random) -> bytes:
    i = _some(members, rng)
    name, content = members[i]
    pattern, new = rng.choice(
        (
            (rb"\([\d, ]*\)", rng.choice(SHAPES)),
            (rb"<f4", rng.choice(DTYPES)),
            (rb"False", rng.choice((b"True", b"None", b"0"))),
            (rb"\x93NUMPY..", rng.choice((b"\x93NUMPY\x02\x00", b"\x93NUMPY\x09\x09", b"\x93NUMPX\x01\x00"))),
            (rb"NUMPY\x01\x00..", b"NUMPY\x01\x00" + rng.randbytes(2)),
            (rb"\{'descr'", b"{'descr': '<f4', 'descr'"),
        )
    )
    members[i] = (name, re.sub(pattern, lambda _: new, content, count=1, flags=re.DOTALL))
    return packed(members)


def _cut_an_array(members: list[Member], rng: Random) -> bytes:
    i = _some(members, rng)
    name, content = members[i]
    keep = rng.randrange(len(content))
    members[i] = (name, content[:keep] if rng.random() < 0.5 else content + content[:keep])
    return packed(members)


def _write_not_a_number(members: list[Member], rng: Random) -> bytes:
    """Put NaN or infinity in the place of an array's last number."""
    i = _some(members, rng)
    name, content = members[i]
    members[i] = (name, content[:-4] + struct.pack("<f", rng.choice((float("nan"), float("inf")))))
    return packed(members)


def _compress(members: list[Member], rng: Random) -> bytes:
    """Compress everything, sometimes with an array that is a bomb."""
    if rng.random() < 0.8:
        return packed(members, rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    i = _some(members, rng)
    members[i] = (members[i][0], members[i][1] + bytes(2**26))
    return packed(members, zipfile.ZIP_DEFLATED)


def _write_into_directory(members: list[Member], rng: Random) -> bytes:
    """Overwrite a field of the directory: method, flags, checksum, sizes, place, length of name, number of entries."""
    data = bytearray(packed(members))
    starts = [match.start() for match in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06", bytes(data))]
    start, number = rng.choice(starts), rng.choice((0, 1, 8, 99, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
    place, width = start + rng.randrange(4, 46, 2), 4 if number > 0xFFFF else 2
    data[place : place + width] = number.to_bytes(width, "little")
    return bytes(data)


def _overlap(members: list[Member], rng: Random) -> bytes:
    """Let an entry of the directory point at another member's bytes."""
    data = bytearray(packed(members))
    starts = [match.start() for match in re.finditer(rb"PK\x01\x02", bytes(data))]
    one, other = rng.choice(starts), rng.choice(starts)
    data[one + 16 : one + 28], data[one + 42 : one + 46] = data[other + 16 : other + 28], data[other + 42 : other + 46]
    return bytes(data)


CHANGES: dict[str, Callable[[list[Member], Random], bytes]] = {
    "contents exchanged": _exchange,
    "a member renamed": _rename,
    "an array renamed in the header too": _rename_in_header_too,
    "a member removed": _remove,
    "a member repeated": _repeat,
    "a member added": _add,
    "an array's header changed": _change_array_header,
    "an array cut or lengthened": _cut_an_array,
    "NaN or infinity in an array": _write_not_a_number,
    "compressed": _compress,
    "the directory overwritten": _write_into_directory,
    "members that overlap": _overlap,
    "a comment": lambda members, rng: packed(members, comment=rng.randbytes(rng.randint(1, 60_000))),
    "the arrays reversed": lambda members, _: packed([members[0], *reversed(members[1:])]),
}
