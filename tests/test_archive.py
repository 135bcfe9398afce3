"""The archive: exact round trips, whole files or none, and nothing but ModelFileError from bytes of any kind."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl import ModelFileError
from minidl._files import atomic_write
from minidl._typing import Array
from minidl.archive import HEADER_LIMIT, as_json, read_archive, read_header, write_archive

DTYPES = ["?", "u1", "i1", "<u2", "<i4", "<i8", "<u8", "<f2", "<f4", "<f8", ">f4", ">i2"]
HEADER = {"format": "minidl model", "version": 1, "arrays": ["a"]}

names = st.from_regex(r"\w[\w.-]{0,20}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
any_arrays = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


def written(header: dict[str, Any], arrays: dict[str, Array], folder: Path) -> bytes:
    write_archive(folder / "a.npz", "model", header, arrays)
    return (folder / "a.npz").read_bytes()


def assert_same(received: tuple[dict[str, Any], dict[str, Array]], header: Any, arrays: dict[str, Array]) -> None:
    assert json.dumps(received[0]) == json.dumps(header)  # distinguishes -0.0 from 0.0, 1 from 1.0, and orders
    assert list(received[1]) == list(arrays)
    for name, array in received[1].items():
        assert (array.shape, array.dtype) == (arrays[name].shape, arrays[name].dtype)
        assert array.tobytes() == arrays[name].tobytes()  # NaNs too, bit for bit
        assert array.flags.writeable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all draws of a property."""
    return tmp_path_factory.mktemp("archive")


@settings(max_examples=40)
@given(
    st.dictionaries(st.text().filter(lambda key: key not in HEADER), json_values), st.dictionaries(names, any_arrays)
)
def test_round_trip(folder: Path, header: dict[str, Any], arrays: dict[str, Array]) -> None:
    content = written(header, arrays, folder)
    assert_same(read_archive(folder / "a.npz", "model"), header, arrays)
    assert json.dumps(read_header(folder / "a.npz", "model")) == json.dumps(header)
    assert written(header, arrays, folder) == content
    with np.load(folder / "a.npz") as archive:
        for name, array in arrays.items():
            assert archive[name].tobytes() == array.tobytes()


def test_the_layout_in_memory_does_not_matter(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    expected = written({}, {"a": array}, tmp_path)
    assert written({}, {"a": np.asfortranarray(array)}, tmp_path) == expected
    assert written({}, {"a": np.repeat(array, 2, axis=1)[:, ::2]}, tmp_path) == expected
    header = ["header.json", "a.npy"]
    assert [(i.filename, i.date_time[:3]) for i in zipfile.ZipFile(tmp_path / "a.npz").infolist()] == [
        (name, (1980, 1, 1)) for name in header
    ]


@pytest.mark.parametrize(
    ("header", "arrays", "message"),
    [
        ({"a": [1, float("nan")]}, {}, r"header\.a\[1\]: expected what JSON can hold \(.*\), received nan"),
        ({"a": {"b": -np.inf}}, {}, r"header\.a\.b: .* received -inf"),
        ({"a": np.float32(1)}, {}, r"header\.a: .* received (np\.float32\(1\.0\)|1\.0)"),
        ({"a": {2: 1}}, {}, r"header\.a: expected names that are strings, received 2"),
        ({"version": 2}, {}, r"header: format, version, arrays are the file's own"),
        ({"a": "x" * HEADER_LIMIT}, {}, r"header: expected at most 16,777,216 bytes of JSON, received 16,777,2"),
        ({}, {"a": np.array([None])}, r"array a: expected booleans or real numbers, received dtype object"),
        ({}, {"a": np.array(["x"])}, r"array a: expected booleans or real numbers, received dtype <U1"),
        ({}, {"a": np.zeros(1, "f4,f4")}, r"array a: expected booleans or real numbers, received dtype \["),
        ({}, {"a": np.zeros(1, complex)}, r"array a: expected booleans or real numbers, received dtype complex128"),
        ({}, {"../a": np.zeros(1)}, r"array '\.\./a': expected a name of at most 200 letters, digits and _\.-"),
        ({}, {"": np.zeros(1)}, r"array '': expected a name"),
    ],
)
def test_what_cannot_be_written(header: Any, arrays: Any, message: str, tmp_path: Path) -> None:
    before = written({"old": True}, {}, tmp_path)
    with pytest.raises(ValueError, match=message):
        write_archive(tmp_path / "a.npz", "model", header, arrays)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_as_json_makes_lists_of_tuples() -> None:
    value = {"a": ((1, 2), [{"b": (None,)}])}
    assert as_json(value, "value") == {"a": [[1, 2], [{"b": [None]}]]}
    assert value == {"a": ((1, 2), [{"b": (None,)}])}


# ---------------------------------------------------------------------------------------------- whole files or none


def failing(*arguments: Any) -> None:
    raise OSError("the disk is full")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written({}, {"a": np.ones(3)}, tmp_path)
    monkeypatch.setattr(os, call, failing)
    with pytest.raises(OSError, match="the disk is full"):
        write_archive(tmp_path / "a.npz", "model", {}, {"a": np.zeros(3)})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_the_system_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def spy(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*arguments: Any) -> Any:
            calls.append((name, (tmp_path / "a").exists()))
            return original(*arguments)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, spy(name))
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
    folder_too = [("fsync", True)] if os.name != "nt" else []
    assert calls == [("fsync", False), ("replace", False), *folder_too]


def test_a_link_keeps_pointing_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with atomic_write(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


# ----------------------------------------------------------------------------------------------------- hostile bytes


def member(name: str, content: bytes, **changes: Any) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def zipped(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return file.getvalue()


def npy(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def declared(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


START = member("header.json", json.dumps(HEADER).encode())
ONE = npy(declared("(1,)"), bytes(4))


def test_what_the_hostile_files_are_made_from_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(zipped(START, member("a.npy", ONE)))
    assert_same(read_archive(tmp_path / "a.npz", "model"), {}, {"a": np.zeros(1, np.float32)})


def test_the_form_for_members_above_four_gigabytes_is_accepted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(*START)
        with archive.open("a.npy", "w", force_zip64=True) as out:
            out.write(ONE)
    assert_same(read_archive(tmp_path / "a.npz", "model"), {}, {"a": np.zeros(1, np.float32)})


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "damaged, or not a minidl model: File is not a zip file"),
        (lambda: b"\x80\x04 a pickle", "damaged, or not a minidl model: File is not a zip file"),
        (lambda: zipped(), "not a minidl model: it has no header.json"),
        (lambda: zipped(member("a.npy", ONE)), "not a minidl model: it has no header.json"),
        (lambda: zipped(member("header.json", b"{")), "damaged, or not a minidl model: Expecting property name"),
        (lambda: zipped(member("header.json", b"\xff\xfe\x00")), "damaged, or not a minidl model: "),
        (lambda: zipped(member("header.json", b"[" * 10**6)), "damaged, or not a minidl model: "),
        (lambda: zipped(member("header.json", b"9" * 5000)), "damaged, or not a minidl model: |received None"),
        (lambda: zipped(member("header.json", b"[]")), "expected a file of format 'minidl model', received None"),
        (
            lambda: zipped(member("header.json", b'{"format": "minidl checkpoint", "version": 1}')),
            "expected a file of format 'minidl model', received 'minidl checkpoint'",
        ),
        (
            lambda: zipped(member("header.json", b'{"format": "minidl model", "version": 2}')),
            "expected format version 1, received 2; a newer minidl may read it",
        ),
        (
            lambda: zipped(member("header.json", b" " * HEADER_LIMIT + b"{}")),
            "header.json: expected at most 16,777,216 bytes, received 16,777,218",
        ),
        (lambda: zipped(START), "its arrays are not those that header.json lists"),
        (lambda: zipped(START, member("b.npy", ONE)), "its arrays are not those that header.json lists"),
        (lambda: zipped(START, member("a.npy", ONE), member("b.npy", ONE)), "its arrays are not those that header"),
        (lambda: zipped(START, START), "member 'header.json' stands twice in it"),
        (lambda: zipped(START, member("a.npy", ONE), member("a.npy", ONE)), "member 'a.npy' stands twice in it"),
        (lambda: zipped(START, member("../a.npy", ONE)), r"received a member '\.\./a\.npy'"),
        (lambda: zipped(START, member("/etc/a.npy", ONE)), r"received a member '/etc/a\.npy'"),
        (lambda: zipped(START, member("a\\b.npy", ONE)), r"received a member 'a\\\\b\.npy'"),
        (lambda: zipped(START, member("a.pkl", ONE)), r"expected header\.json and arrays, received a member 'a\.pkl'"),
        (
            lambda: zipped(START, member("a.npy", bytes(10**6), compress_type=zipfile.ZIP_DEFLATED)),
            "member 'a.npy': expected it uncompressed",
        ),
        (
            lambda: zipped(member("header.json", START[1], compress_type=zipfile.ZIP_DEFLATED)),
            "member 'header.json': expected it uncompressed",
        ),
    ],
)
def test_files_that_are_refused(make: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(make())
    with pytest.raises(ModelFileError, match=message) as error:
        read_archive(tmp_path / "a.npz", "model")
    assert str(error.value).startswith(f"{tmp_path / 'a.npz'}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an array of booleans or real numbers"),
        (b"\x93NUMPY\1\0\xff\xff{", "expected an array of booleans or real numbers"),
        (npy(declared("(1,)", "'|O'"), bytes(8)), "expected an array"),
        (npy(declared("(1,)", "[('a', '<f4')]"), bytes(4)), "expected an array"),
        (npy(declared("(1,)", "'<f16'"), bytes(16)), "expected an array"),
        (npy(declared("(2, 3)", order="True"), bytes(24)), "expected an array"),
        (npy(declared("(1,)"), bytes(4), version=b"\2\0"), "expected an array"),
        (npy(declared("(-1,)"), b""), "expected an array"),
        (npy(declared("(2)"), bytes(8)), "expected an array"),
        (npy("-" * 60000 + "1"), "expected an array"),
        (npy(declared("(2,)"), bytes(4)), r"shape \(2,\) of float32 takes 8 bytes, the file holds 4$"),
        (npy(declared("(2,)"), bytes(12)), r"shape \(2,\) of float32 takes 8 bytes, the file holds 12$"),
        (npy(declared("()"), b""), r"shape \(\) of float32 takes 4 bytes, the file holds 0$"),
        (
            npy(declared("(1000000000, 1000000000)"), bytes(4)),
            r"takes 4,000,000,000,000,000,000 bytes, the file holds 4",
        ),
        (npy(declared("(9223372036854775808, 2)"), b""), "expected an array"),
        (npy(declared(f"(0, {10**18 - 1}, {10**18 - 1})"), b""), "damaged, or not a minidl model: "),
        (npy(declared(f"({', '.join('1' * 80)})"), bytes(4)), "expected an array"),
    ],
    ids=range(17),
)
def test_arrays_that_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(zipped(START, member("a.npy", content)))
    with pytest.raises(ModelFileError, match=message):
        read_archive(tmp_path / "a.npz", "model")
    assert read_header(tmp_path / "a.npz", "model") == {}


def patched_size(file_size: int) -> bytes:
    """A zip whose directory claims another size for its last member than is stored."""
    content = zipped(START, member("a.npy", npy(declared("(1000,)"), bytes(4000))))
    at = content.rindex(b"PK\1\2") + 24
    return content[:at] + struct.pack("<I", file_size) + content[at + 4 :]


@pytest.mark.parametrize("file_size", [0, 4000, 2**31])
def test_a_size_other_than_the_stored_one_is_refused(file_size: int, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(patched_size(file_size))
    with pytest.raises(ModelFileError, match=r"member 'a\.npy': expected it uncompressed"):
        read_archive(tmp_path / "a.npz", "model")


def test_members_inside_of_members_are_refused(tmp_path: Path) -> None:
    inner = zipped(member("b.npy", npy(declared("(5000,)"), bytes(20000))))
    inner = inner[: inner.rindex(b"PK\1\2")]
    outer = npy(declared(f"({len(inner)},)", "'|u1'"), inner)
    header = {**HEADER, "arrays": ["a", "b"]}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("a.npy", outer)
        hidden = zipfile.ZipFile(io.BytesIO(zipped(member("b.npy", inner[35:])))).infolist()[0]
        hidden.header_offset = archive.fp.tell() - len(inner)  # type: ignore[union-attr]
        archive.filelist.append(hidden)
    with pytest.raises(ModelFileError, match=r"its members claim more than the file's [\d,]+ bytes|Overlapped entries"):
        read_archive(tmp_path / "a.npz", "model")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(START, member("a.npy", ONE)))
    content[content.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ModelFileError, match="encrypted"):
        read_archive(tmp_path / "a.npz", "model")


def test_a_missing_file_is_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_archive(tmp_path / "nowhere.npz", "model")


def same_or_refused(content: bytes, folder: Path, header: Any, arrays: dict[str, Array]) -> bool:
    """Read damaged bytes; return whether they were refused."""
    path = folder / "damaged.npz"
    path.write_bytes(content)
    try:
        received = read_archive(path, "model")
    except ModelFileError:
        return True
    assert_same(received, header, arrays)
    return False


EXAMPLE_HEADER = {"labels": ["cat", "other"], "scale": 1 / 255}
EXAMPLE: dict[str, Array] = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.zeros(2),
    "größe": np.array(3),
}


def test_every_flipped_byte_is_harmless_or_seen(tmp_path: Path) -> None:
    content = written(EXAMPLE_HEADER, EXAMPLE, tmp_path)
    masks = np.random.default_rng(0).integers(1, 256, len(content))
    refused = 0
    for position, mask in enumerate(masks):
        damaged = bytearray(content)
        damaged[position] ^= int(mask)
        refused += same_or_refused(bytes(damaged), tmp_path, EXAMPLE_HEADER, EXAMPLE)
    assert refused > 0.8 * len(content)  # only dates, permissions and the like may differ unseen


def test_every_truncation_is_seen(tmp_path: Path) -> None:
    content = written(EXAMPLE_HEADER, EXAMPLE, tmp_path)
    for length in range(len(content)):
        assert same_or_refused(content[:length], tmp_path, EXAMPLE_HEADER, EXAMPLE)


@given(st.data())
def test_random_damage_is_harmless_or_seen(folder: Path, data: st.DataObject) -> None:
    content = written(EXAMPLE_HEADER, EXAMPLE, folder)
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(start + 8, len(content))))
    inserted = data.draw(st.binary(max_size=8))
    same_or_refused(content[:start] + inserted + content[stop:], folder, EXAMPLE_HEADER, EXAMPLE)


@given(st.integers(0, 2**64 - 1), st.sampled_from([2, 4, 8]), st.data())
def test_absurd_numbers_in_the_zip_allocate_nothing(folder: Path, number: int, width: int, data: st.DataObject) -> None:
    content = bytearray(written(EXAMPLE_HEADER, EXAMPLE, folder))
    position = data.draw(st.integers(0, len(content) - width))
    content[position : position + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
    tracemalloc.start()
    try:
        same_or_refused(bytes(content), folder, EXAMPLE_HEADER, EXAMPLE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_memory_is_of_the_order_of_the_file(tmp_path: Path) -> None:
    arrays = {str(i): np.zeros(2**17) for i in range(4)}
    write_archive(tmp_path / "a.npz", "model", {}, arrays)
    tracemalloc.start()
    try:
        read_archive(tmp_path / "a.npz", "model")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * (tmp_path / "a.npz").stat().st_size
