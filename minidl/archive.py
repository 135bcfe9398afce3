"""The container of model files and checkpoints: named arrays and a JSON header in one file, without pickle.

It is an uncompressed zip that `numpy.load` opens as an `.npz`:

    header.json      {"format": "minidl model", "version": 1, "arrays": ["0.weight", ...], ...}
    0.weight.npy     one member an array, in the header's order

Equal contents make equal bytes: the members carry no time. The reader trusts nothing that the file says of itself: it
accepts only what the writer writes, and allocates an array after comparing its declared shape with the bytes at hand.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._files import FilePath, atomic_write, check_regular
from minidl._typing import Array
from minidl._validation import shown
from minidl.errors import ModelFileError

# `json` and `zipfile` are imported where they are used: `import minidl` need not wait for them.
if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

VERSION = 1
HEADER = "header.json"
OWN_KEYS = ("format", "version", "arrays")  # of the header
HEADER_LIMIT = 2**24  # bytes; Python objects take some twenty times the memory of their JSON

# Patterns stay strings: `re` compiles them at their first use and keeps them, and `import minidl` need not wait.
_NAME = r"\w[\w.-]{0,199}"  # safe to unpack: no separators, no dots in front
_DTYPE = r"\|[biu]1|[<>][iuf][248]"
# What numpy writes in front of an array of these dtypes in C order; anything else is refused unread.
_NPY_HEADER = (
    rb"(?s)\x93NUMPY\x01\x00..\{'descr': '(%b)', 'fortran_order': False, "
    rb"'shape': \((|\d{1,18},|\d{1,18}(?:, \d{1,18}){1,63})\), \} *\n" % _DTYPE.encode()
)


def write_archive(path: FilePath, kind: str, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a header and named arrays into one file, which takes the place of `path` when it is complete.

    Arguments: `kind` says what the file is, such as "model"; `header` holds JSON values (see `as_json`);
    `arrays` hold booleans or real numbers of up to 64 bits, and their names consist of letters, digits and `_.-`.

    Raises: ValueError, before anything is written, for a header or an array that the file cannot hold.
    """
    import json
    from zipfile import ZipFile, ZipInfo

    def member(name: str) -> ZipInfo:
        info = ZipInfo(name)  # dated 1980-01-01, the zero of zip's calendar
        info.create_system = 3  # Unix on every system, so that the permissions count: those of an ordinary file
        info.external_attr = 0o644 << 16
        return info

    if not header.keys().isdisjoint(OWN_KEYS):
        raise ValueError(f"header: {', '.join(OWN_KEYS)} are the file's own, expected other names")
    own = dict(zip(OWN_KEYS, (f"minidl {kind}", VERSION, list(arrays)), strict=True))
    header = {**own, **as_json(dict(header), "header")}
    text = json.dumps(header, indent=1).encode()
    if len(text) > HEADER_LIMIT:
        raise ValueError(f"header: expected at most {HEADER_LIMIT:,} bytes of JSON, received {len(text):,}")
    for name, array in arrays.items():
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"array {name!r}: expected a name of at most 200 letters, digits and _.-")
        if not re.fullmatch(_DTYPE, array.dtype.str):
            raise ValueError(f"array {name}: expected booleans or real numbers, received dtype {array.dtype}")
    with atomic_write(path) as file:
        archive = ZipFile(file, "w")
        try:
            archive.writestr(member(HEADER), text)
            for name, array in arrays.items():
                in_order = np.asarray(array, order="C")
                with archive.open(member(f"{name}.npy"), "w", force_zip64=array.nbytes > 2**30) as out:
                    np.lib.format.write_array(out, in_order, version=(1, 0), allow_pickle=False)
            archive.close()
        except BaseException:
            archive.fp = None  # half a file needs no table of contents, and in a member it cannot be written
            raise


def read_archive(path: FilePath, kind: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the header and the arrays of a file that `write_archive` wrote, bit for bit.

    Raises: ModelFileError naming the file and what is wrong with it; OSError where it cannot be opened.
    """
    with _opened(path, kind) as (archive, members, header):
        return header, {name.removesuffix(".npy"): _read_array(archive, info) for name, info in members.items()}


def read_header(path: FilePath, kind: str) -> dict[str, Any]:
    """Return the header alone, without reading the arrays.

    Raises: as `read_archive` does.
    """
    with _opened(path, kind) as (_, _, header):
        return header


def as_json(value: Any, name: str) -> Any:
    """Return `value` as JSON will give it back, which is as it is but for tuples, which become lists.

    Raises: ValueError for what JSON has no word for, NaN and infinity among it: they belong into an array.

    >>> as_json({"size": (128, 128), "labels": ["cat", 1]}, "metadata")
    {'size': [128, 128], 'labels': ['cat', 1]}
    >>> as_json({"labels": {1: "cat"}}, "metadata")
    Traceback (most recent call last):
    ValueError: metadata.labels: expected names that are strings, received 1
    """
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{name}: expected names that are strings, received {key!r}")
        return {key: as_json(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if value is None or isinstance(value, (int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(
        f"{name}: expected what JSON can hold (None, booleans, finite numbers, strings, lists, dicts), "
        f"received {value!r}"
    )


@contextmanager
def _opened(path: FilePath, kind: str) -> Iterator[tuple[ZipFile, dict[str, ZipInfo], dict[str, Any]]]:
    """Yield the zip, the members that are arrays, and the header, and turn whatever goes wrong into ModelFileError."""
    from zipfile import BadZipFile, ZipFile

    check_regular(path)
    with Path(path).open("rb") as file:
        try:
            with ZipFile(file) as archive:
                members = _checked_members(archive, os.fstat(file.fileno()).st_size)
                yield archive, members, _read_header(archive, members, kind)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error
        # Between them these are what zipfile, json and numpy raise on bytes that make no sense.
        except (BadZipFile, struct.error, ValueError, EOFError, OSError, OverflowError, RuntimeError) as error:
            raise ModelFileError(f"{path}: damaged, or not a minidl {kind}: {error}") from error


def _checked_members(archive: ZipFile, file_size: int) -> dict[str, ZipInfo]:
    """Return the members by name after checking that they are plain and together no larger than the file."""
    members: dict[str, ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename
        if name in members:
            raise ModelFileError(f"member {name!r} stands twice in it")
        if name != HEADER and not (name.endswith(".npy") and re.fullmatch(_NAME, name.removesuffix(".npy"))):
            raise ModelFileError(f"expected {HEADER} and arrays, received a member {name!r:.100}")
        if info.compress_type or info.compress_size != info.file_size:
            raise ModelFileError(f"member {name!r}: expected it uncompressed")
        members[name] = info
    # Members may lie inside of one another, each claiming the same bytes once more.
    if sum(info.file_size for info in members.values()) > file_size:
        raise ModelFileError(f"its members claim more than the file's {file_size:,} bytes")
    return members


def _read_header(archive: ZipFile, members: dict[str, ZipInfo], kind: str) -> dict[str, Any]:
    """Take the header out of `members` and return it, without the file's own keys, if these are right."""
    import json

    info = members.pop(HEADER, None)
    if info is None:
        raise ModelFileError(f"not a minidl {kind}: it has no {HEADER}")
    if info.file_size > HEADER_LIMIT:
        raise ModelFileError(f"{HEADER}: expected at most {HEADER_LIMIT:,} bytes, received {info.file_size:,}")
    header = json.loads(archive.read(info))
    if not isinstance(header, dict) or header.get("format") != f"minidl {kind}":
        found = header.get("format") if isinstance(header, dict) else None
        raise ModelFileError(f"expected a file of format 'minidl {kind}', received {shown(found)}")
    version = header.get("version")
    if version != VERSION:
        raise ModelFileError(
            f"expected format version {VERSION}, received {shown(version)}; a newer minidl may read it"
        )
    if header.get("arrays") != [name.removesuffix(".npy") for name in members]:
        raise ModelFileError(f"its arrays are not those that {HEADER} lists")
    return {key: value for key, value in header.items() if key not in OWN_KEYS}


def _read_array(archive: ZipFile, info: ZipInfo) -> Array:
    with archive.open(info) as member:
        start = member.read(10)  # magic, version, and the length of the header that follows
        match = re.fullmatch(_NPY_HEADER, start + member.read(int.from_bytes(start[8:], "little")))
        if match is None:
            raise ModelFileError(f"member {info.filename!r}: expected an array of booleans or real numbers")
        dtype = np.dtype(match[1].decode())
        shape = tuple(int(length) for length in match[2].split(b",") if length)
        declared, held = math.prod(shape) * dtype.itemsize, info.file_size - match.end()
        if declared != held:
            raise ModelFileError(
                f"member {info.filename!r}: shape {shape} of {dtype} takes {declared:,} bytes, the file holds {held:,}"
            )
        # zipfile compares the checksum as it reads the last byte.
        return np.ndarray(shape, dtype, buffer=member.read()).copy()
