"""Picture files that may be anything: bombs, damaged and odd files, formats that start programs, links in circles."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageFile, PngImagePlugin

from minidl._typing import Array
from minidl.data import (
    ImageFileError,
    LazyImages,
    _image_opening,
    audit_images,
    image_metadata,
    image_pixels,
    load_image_folders,
    open_image_folders,
    read_image,
)
from minidl.ops import parallel

RED = (200, 30, 40)
ORIENTATION = 0x0112


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, kind: int, rows: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG file of these bytes; each row begins with a zero."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 11, height: int = 13, mode: str = "RGB") -> Image.Image:
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 256 + 99)
    if mode in ("I", "F"):
        return rgb.convert("L").convert(mode)
    return rgb.convert(mode)


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- The limit of pixels, and the warnings filters of the process -----------------------------------------------------


@pytest.mark.parametrize("action", ["error", "always", "ignore"])
@pytest.mark.parametrize(
    ("limit", "is_read"), [(None, True), (77, True), (76, False), (39, False), (38, False), (1, False)]
)
def test_the_limit_of_pixels_is_that_of_the_moment(
    action: Any, limit: int | None, is_read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "p.png", encoded(noise(7, 11), "PNG"))
    lazy = LazyImages([path], 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter(action)
        before = list(warnings.filters)
        calls: list[Callable[[], Array]] = [lambda: read_image(path, 4), lambda: lazy[0]]
        for read in calls:
            if is_read:
                assert read().shape == (4, 4, 3)
            else:
                with pytest.raises(ImageFileError, match=f"more than {limit} pixels, Pillow's limit against"):
                    read()
        assert warnings.filters == before
    assert not said


@pytest.mark.filterwarnings("ignore")
def test_an_icon_that_holds_more_than_its_header_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = encoded(noise(40, 40), "PNG")
    path = written(tmp_path / "p.ico", struct.pack("<3H4B2H2L", 0, 1, 1, 8, 8, 0, 0, 1, 32, len(inside), 22) + inside)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageFileError, match="more than 1,000 pixels"):
        read_image(path, 4)


def test_threads_read_bombs_and_sound_pictures_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing of the process's that one thread switches and another one meets."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(parallel, "cores", lambda: 4)
    names = [f"{kind}{i:02}" for i in range(12) for kind in ("bomb", "fine", "huge")]
    for name in names:
        side = {"bomb": 40, "fine": 30, "huge": 50}[name[:4]]
        for folder in "ab":
            written(tmp_path / folder / f"{name}.png", encoded(noise(side, side), "PNG"))
    paths = [tmp_path / "a" / f"{name}.png" for name in names]

    def answer(path: Path) -> str:
        try:
            return str(read_image(path, 5).shape)
        except ImageFileError as error:
            return error.reason

    refused = "more than 1,000 pixels, Pillow's limit against decompression bombs"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        for name in ("catch_warnings", "simplefilter", "filterwarnings", "resetwarnings"):
            monkeypatch.setattr(warnings, name, None)
        with ThreadPoolExecutor(8) as executor:
            answers = list(executor.map(answer, paths * 3))
        loaded = load_image_folders(tmp_path, 5)
        found = open_image_folders(tmp_path, 5)
        audit = audit_images(tmp_path)
        assert warnings.filters == before
        monkeypatch.undo()
    assert not said
    assert answers == ["(5, 5, 3)" if "fine" in name else refused for name in names] * 3
    for dataset in (loaded, found):
        assert {path.name[:4] for path in dataset.paths} == {"fine"}
        assert [reason for _, reason in dataset.skipped] == [refused] * 48
    assert [reason for _, reason in audit.unreadable] == [refused] * 48


def test_what_no_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise MemoryError

    written(tmp_path / "p.png", encoded(noise(), "PNG"))
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(ImageFileError, match=r"p\.png: not enough memory for its pixels"):
        read_image(tmp_path / "p.png", 4)


# --- Formats ----------------------------------------------------------------------------------------------------------


def iptc(inside: bytes) -> bytes:
    """An IPTC file that holds another file."""

    def field(record: int, number: int, data: bytes) -> bytes:
        length = struct.pack(">H", len(data)) if len(data) < 128 else b"\x84\0" + struct.pack(">L", len(data))
        return bytes([0x1C, record, number]) + length + data

    fields = {60: b"\1\0", 20: b"\0\7", 30: b"\0\7", 120: b"\5"}
    return b"".join(field(3, number, data) for number, data in fields.items()) + field(8, 10, inside) + bytes(5)


EPS = encoded(Image.new("RGB", (7, 7), RED), "EPS")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The programs that were started; none of them really is."""
    programs: list[Any] = []

    def start(self: Any, command: Any, *arguments: Any, **options: Any) -> None:
        programs.append(command)
        raise OSError("no programs here")

    monkeypatch.setattr(subprocess.Popen, "__init__", start)
    return programs


@pytest.mark.parametrize("name", ["cat.jpg", "cat.eps", "cat.png", "cat.iim", "cat"])
@pytest.mark.parametrize("data", [EPS, iptc(EPS)], ids=["EPS", "EPS in IPTC"])
def test_no_picture_starts_a_program(data: bytes, name: str, tmp_path: Path, started: list[Any]) -> None:
    path = written(tmp_path / "a" / name, data)
    for folder in "ab":
        written(tmp_path / folder / "fine.png", encoded(noise(), "PNG"))
    for dataset in (load_image_folders(tmp_path, 4), open_image_folders(tmp_path, 4)):
        assert [skipped for skipped, _ in dataset.skipped] == [path]
    assert [unreadable for unreadable, _ in audit_images(tmp_path).unreadable] == [path]
    calls: list[Callable[[], Array]] = [lambda: read_image(path, 4), lambda: LazyImages([path], 4)[:]]
    for read in calls:
        with pytest.raises(ImageFileError, match="not a picture that Pillow can read by itself"):
            read()
    assert started == []


@pytest.mark.parametrize("data", [EPS, iptc(EPS)], ids=["EPS", "EPS in IPTC"])
def test_pillow_alone_would_start_one(data: bytes, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if data != EPS and int(PIL.__version__.split(".")[0]) < 11:
        pytest.skip("this Pillow cannot read what is in an IPTC file, and leaves it open")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with Image.open(io.BytesIO(data)) as picture, pytest.raises(OSError, match="Ghostscript"):
        picture.load()
    assert started[0][0] == "gs"


Image.init()
# Those that Pillow writes and reads again; the others need hand-made files.
FORMATS = sorted(set(Image.SAVE) & set(Image.OPEN) - {"EPS", "BUFR", "GRIB", "HDF5", "WMF"})


def savable(kind: str, mode: str) -> bytes | None:
    size = (16, 16)  # the smallest icon
    try:
        return encoded(noise(*size, mode), kind)
    except (OSError, ValueError, KeyError, SystemError):
        return None  # this format has no such pixels


@pytest.mark.filterwarnings("ignore:IM image format:DeprecationWarning")
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_pillow_reads_by_itself(kind: str, tmp_path: Path) -> None:
    data = next(data for mode in ("RGB", "L", "P", "1", "F") if (data := savable(kind, mode)))
    path = written(tmp_path / "picture", data)
    with Image.open(path) as picture:
        expected = np.asarray(picture.convert("RGB")).astype(int)
    # Pillow drops the fraction of floating pixels, which are rounded here.
    np.testing.assert_allclose(read_image(path, expected.shape[:2]), expected, atol=1 if picture.mode == "F" else 0)


def test_a_format_that_a_plugin_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin(ImageFile.ImageFile):
        format = "PLUGIN"

        def _open(self) -> None:
            self._size, self._mode = (3, 2), "L"
            tile: Any = ("raw", (0, 0, 3, 2), 6, ("L", 0, 1))
            self.tile = [tile]

    path = written(tmp_path / "p.plugin", b"PLUGIN" + bytes(range(6)))
    with pytest.raises(ImageFileError, match="not a picture"):
        read_image(path, (2, 3))
    monkeypatch.setattr(Image, "ID", [*Image.ID])
    monkeypatch.setattr(Image, "OPEN", {**Image.OPEN})
    Image.register_open("PLUGIN", Plugin, lambda prefix: prefix.startswith(b"PLUGIN"))
    assert read_image(path, (2, 3))[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_format_that_pillow_was_built_without_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    webp = Image.OPEN["WEBP"][0]
    support: Callable[[bytes], str] = lambda prefix: "image file could not be identified: no WEBP support"  # noqa: E731
    monkeypatch.setattr(Image, "OPEN", {"WEBP": (webp, support)})
    with pytest.raises(ImageFileError, match="by itself; image file could not be identified: no WEBP support"):
        read_image(written(tmp_path / "p.webp", b"RIFF1234WEBP"), 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageFileError, match=r"pipe\.jpg: neither a file nor a folder"):
        read_image(tmp_path / "pipe.jpg", 4)


# --- Damaged and odd files --------------------------------------------------------------------------------------------


def oriented(number: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    exif[0x010F] = "a camera"
    return exif


def seeds_of_mutation() -> dict[str, bytes]:
    modes = ("RGB", "L", "P", "RGBA", "1", "I;16", "F", "CMYK", "LA")
    # Pillow 13 warns of every IM file, whatever is in it, and of icons of another size than their header says.
    files = {
        f"{kind} {mode}": data
        for kind in FORMATS
        for mode in modes
        if kind not in ("IM", "ICO") and (data := savable(kind, mode)) is not None
    }
    for kind in ("JPEG", "PNG", "WEBP"):
        files[f"{kind} with EXIF"] = encoded(noise(), kind, exif=oriented())
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"):
        files[f"TIFF {compression}"] = encoded(noise(), "TIFF", compression=compression)
    files["APNG"] = encoded(
        noise(), "PNG", save_all=True, append_images=[noise().transpose(Image.Transpose.ROTATE_180)]
    )
    files["MPO"] = encoded(noise(), "MPO", save_all=True, append_images=[noise()])
    files["EPS"] = EPS
    files["IPTC"] = iptc(EPS)
    return files


def mutated(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    reach = min(len(data), 200) if rng.random() < 0.6 else len(data)  # most of what matters stands at the beginning
    for _ in range(rng.choice([1, 1, 2, 4])):
        at = rng.randrange(reach)
        changed[at] = rng.choice([0, 1, 127, 255, rng.randrange(256), changed[at] ^ (1 << rng.randrange(8))])
    return bytes(changed)


@pytest.mark.parametrize("action", ["error", "always"])
def test_damaged_files_are_read_or_refused(action: Any, tmp_path: Path, started: list[Any]) -> None:
    rng, path = random.Random(action), tmp_path / "p.jpg"
    answers = {"read": 0, "refused": 0}
    for name, data in seeds_of_mutation().items():
        for _ in range(4):
            path.write_bytes(mutated(data, rng))
            caused_by: list[BaseException | None] = []
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter(action)
                try:
                    assert read_image(path, (5, 4)).shape == (5, 4, 3)
                    answers["read"] += 1
                except ImageFileError as error:
                    answers["refused"] += 1
                    caused_by.append(error.__cause__)
            warned = [*said, *(cause for cause in caused_by if isinstance(cause, Warning))]
            assert not warned, f"{name}: {warned[0]}"
    assert min(answers.values()) > 100, "both kinds are tried"
    assert started == []


MANY_TAGS = {
    "an entry whose values are not in the file": (0x010E, 2, 5000, 100_000),
    "several values where there is one": (0x0128, 3, 2, 0x00020002),
    "many values where there is one": (0x011A, 5, 3, 8),
    "metadata of a camera that is none": (0x8769, 4, 1, 3),
    "metadata of a place that is none": (0x8825, 4, 1, 1_000_000),
    "an unknown tag of an unknown type": (0xC000, 99, 7, 0),
}


def tagged(entry: tuple[int, int, int, int], order: str, data: bytes = b"") -> bytes:
    """A TIFF file, or EXIF metadata, that turns by a quarter and has one odd entry."""
    entries = sorted([entry, (ORIENTATION, 3, 1, 6 << 16 if order == ">" else 6), *pixel_tags(order, len(data))])
    packed = b"".join(struct.pack(f"{order}HHLL", *values) for values in entries)
    start = 8 + len(data)
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}L", start)
    return head + data + struct.pack(f"{order}H", len(entries)) + packed + bytes(4)


def pixel_tags(order: str, count: int) -> list[tuple[int, int, int, int]]:
    """What makes `count` bytes, from the 8th on, the pixels of a grey picture three pixels wide."""
    numbers = {256: 3, 257: count // 3, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: count // 3, 279: count}
    return [(number, 4, 1, value) for number, value in numbers.items()] if count else []


STORED = bytes(range(0, 120, 20))  # two rows of three, which stand upright as three rows of two
TURNED = [[60, 0], [80, 20], [100, 40]]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("entry", MANY_TAGS.values(), ids=list(MANY_TAGS))
def test_odd_tags_of_sound_tiff_files(
    entry: tuple[int, int, int, int], order: str, at_once: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = written(tmp_path / "a" / "p.tif", tagged(entry, order, STORED))
    written(tmp_path / "b" / "p.tif", tagged(entry, order, STORED))
    if at_once:
        assert read_image(path, (3, 2))[..., 0].tolist() == TURNED
    else:
        assert len(open_image_folders(tmp_path, (3, 2))) == len(audit_images(tmp_path).duplicates[0]) == 2
    assert not recwarn.list


def exif_jpeg(metadata: bytes) -> bytes:
    return encoded(noise(), "JPEG", exif=b"Exif\0\0" + metadata, quality=100, subsampling=0)


def exif_png(metadata: bytes) -> bytes:
    return encoded(noise(), "PNG", exif=metadata)


def exif_webp(metadata: bytes) -> bytes:
    return encoded(noise(), "WEBP", exif=metadata, lossless=True)


def profile_png(metadata: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(metadata):8}\n{(b'Exif' + bytes(2) + metadata).hex()}\n")
    return encoded(noise(), "PNG", pnginfo=info)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("entry", MANY_TAGS.values(), ids=list(MANY_TAGS))
@pytest.mark.parametrize("save", [exif_jpeg, exif_png, exif_webp, profile_png])
def test_odd_metadata_of_sound_pictures(
    save: Callable[[bytes], bytes], entry: tuple[int, int, int, int], order: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "p.png", save(tagged(entry, order)))
    upright = np.rot90(np.asarray(noise()), -1)
    np.testing.assert_allclose(read_image(path, (11, 13)).astype(int), upright, atol=3)


def test_pillow_alone_would_warn_of_the_odd_entries(tmp_path: Path) -> None:
    said = set()
    for name, entry in MANY_TAGS.items():
        for data in (tagged(entry, ">", STORED), exif_jpeg(tagged(entry, ">"))):
            with warnings.catch_warnings(record=True) as found:
                warnings.simplefilter("always")
                try:
                    with Image.open(io.BytesIO(data)) as picture:
                        picture.load()
                        picture.getexif().get(ORIENTATION)
                except OSError:  # in old versions even more than a warning
                    said.add(name)
            said |= {name} if found else set()
    assert len(said) >= 3


def test_a_damaged_directory_of_several_pictures(tmp_path: Path) -> None:
    """A JPEG that says, wrongly, that further pictures follow is a JPEG."""
    data = encoded(noise(), "JPEG")
    marker = b"\xff\xe2" + struct.pack(">H", 2 + 4 + 16) + b"MPF\0" + b"MM\0*" + bytes(12)
    path = written(tmp_path / "p.jpg", data[:2] + marker + data[2:])
    np.testing.assert_array_equal(read_image(path, (13, 11)), read_image(written(tmp_path / "q.jpg", data), (13, 11)))


@pytest.mark.parametrize("name", ["xmp", "XML:com.adobe.xmp"])
def test_the_orientation_in_xmp_counts_where_exif_has_none(name: str) -> None:
    text = '<x tiff:Orientation="8"/>'
    xmp: Any = text.encode() if name == "xmp" else text
    assert image_metadata.orientation_of({name: xmp}) == 8
    assert image_metadata.orientation_of({name: xmp, "exif": b"Exif\0\0" + tagged(MANY_TAGS.popitem()[1], "<")}) == 6
    assert image_metadata.orientation_of({}) == 1


tiff_like = st.builds(
    lambda head, offset, count, rest: head + struct.pack("<LH", offset, count) + rest,
    st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM+\0"]), st.sampled_from([8, 2**24 * 8, 2**32 - 1]),
    st.sampled_from([1, 3, 2**8, 2**16 - 1]), st.binary(max_size=80),
)  # fmt: skip


@given(st.one_of(st.binary(max_size=60), tiff_like))
@example(b"II+\0" + bytes([8, 0, 0, 0]) + b"\xff" * 16)
def test_metadata_of_any_bytes(data: bytes) -> None:
    assert image_metadata.orientation_of({"exif": data}) >= 0
    buffer = bytearray(data)
    with memoryview(buffer) as view:
        try:
            image_metadata.correct_tags(view)
        except ValueError as error:
            assert "directory" in str(error)  # noqa: PT017
    assert len(buffer) == len(data)


# --- Pixels and memory ------------------------------------------------------------------------------------------------

MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "LAB", "I;16", "I", "F"]


def stored(mode: str, picture: Image.Image) -> bytes:
    return encoded(picture, "TIFF" if mode in ("CMYK", "LAB", "I", "F") else "PNG")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(5, 6), (30, 90), (90, 30), (3, 200)])
@pytest.mark.parametrize(("width", "height"), [(61, 43), (1, 700), (900, 2)])
def test_strips_give_what_the_whole_gives(
    mode: str, size: tuple[int, int], width: int, height: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "p", stored(mode, noise(width, height, mode)))
    whole = read_image(path, size).astype(int)
    monkeypatch.setattr(image_pixels, "STRIP", 100)
    np.testing.assert_allclose(read_image(path, size), whole, atol=2)  # columns before rows round in another order
    at_once = audit_images({name: copies(path, tmp_path / name) for name in "ab"})
    monkeypatch.undo()
    audit = audit_images({name: tmp_path / name for name in "ab"})
    assert audit == at_once
    assert len(audit.duplicates) == 1


def copies(path: Path, folder: Path) -> Path:
    written(folder / path.name, path.read_bytes())
    return folder


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "height"), [(1, 9000), (9000, 1), (2, 5000)])
def test_very_long_sides(mode: str, width: int, height: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "p", stored(mode, Image.new(mode, (width, height), 1)))
    whole = read_image(path, 20)
    monkeypatch.setattr(image_pixels, "LONG_SIDE", 1000)
    monkeypatch.setattr(image_pixels, "STRIP", 1500)
    np.testing.assert_array_equal(read_image(path, 20), whole)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_files_too_large_to_be_read_at_once(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("PNG", "TIFF"):
        path = written(tmp_path / kind, encoded(noise(mode=mode), kind))
        whole = read_image(path, 9)
        monkeypatch.setattr(_image_opening, "READ_AT_ONCE", 20)
        np.testing.assert_array_equal(read_image(path, 9), whole)
        monkeypatch.undo()


MEASURE = """
import sys
from minidl.data import read_image
from PIL import Image

def peak():
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

Image.init()
read_image(sys.argv[1], 16)
before = peak()
read_image(sys.argv[2], 128)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux reports it")
@pytest.mark.parametrize(
    ("mode", "bytes_each"),
    [("1", 1), ("L", 1), ("P", 1), ("LA", 4), ("RGBA", 4), ("CMYK", 4), ("F", 4), ("I", 4), ("I;16", 4), ("LAB", 4)],
)
def test_memory_is_that_of_the_pixels(mode: str, bytes_each: int, tmp_path: Path) -> None:
    """Beside the pixels, and 128 columns of them, there is a strip and what the decoder takes."""
    side = 4000
    picture = Image.new(mode, (side, side), 1)
    options: dict[str, Any] = {"compress_level": 1} if mode in ("1", "L", "P", "LA", "RGBA", "I;16") else {}
    kind = "PNG" if options else "TIFF"
    if mode == "P":
        options["transparency"] = bytes([5, 6, 7])
    path = written(
        tmp_path / "p", encoded(picture, kind, **options, **({} if kind == "PNG" else {"compression": "tiff_lzw"}))
    )
    small = written(tmp_path / "small", stored(mode, noise(mode=mode)))
    done = subprocess.run([sys.executable, "-c", MEASURE, small, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1.2 * bytes_each * side**2 / 2**20 + 40


def test_sixteen_bits_are_rounded_to_eight(tmp_path: Path) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(values / 257)
    for name in ("p.png", "p.tif"):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name, 256)[..., 1], expected)
    Image.fromarray(np.array([[-5, 70_000, 2**31 - 1]], np.int32)).save(tmp_path / "p.tif")
    assert read_image(tmp_path / "p.tif", (1, 3))[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(
    ("depth", "kind", "row", "transparent", "expected"),
    [
        (16, 0, struct.pack(">4H", 0, 1000, 1001, 65535), struct.pack(">H", 1000), [0, 255, 4, 255]),
        (8, 0, bytes([0, 100, 101, 200]), struct.pack(">H", 100), [0, 255, 101, 200]),
        (4, 0, bytes([0x01, 0x8E]), struct.pack(">H", 8), [0, 17, 255, 238]),
        (2, 0, bytes([0b00011011]), struct.pack(">H", 2), [0, 85, 255, 255]),
        (1, 0, bytes([0b01000000]), struct.pack(">H", 0), [255, 255, 255, 255]),
        (8, 2, bytes([0] * 3 + [9, 8, 7] + [9] * 3 + [4] * 3), struct.pack(">3H", 9, 8, 7), [0, 255, 9, 4]),
        (16, 2, struct.pack(">12H", *[0] * 3, 9000, 8000, 7000, *[9000] * 3, *[4000] * 3),
         struct.pack(">3H", 9000, 8000, 7000), [0, 255, 35, 15]),
    ],
)  # fmt: skip
def test_a_transparent_colour_lies_on_white(
    depth: int, kind: int, row: bytes, transparent: bytes, expected: list[int], tmp_path: Path
) -> None:
    path = written(tmp_path / "p.png", png(4, 1, depth, kind, b"\0" + row, chunk(b"tRNS", transparent)))
    assert read_image(path, (1, 4))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("strip", [2**20, 7])
def test_floating_pixels_that_are_not_finite(
    value: float, strip: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pixels, "STRIP", strip)
    pixels = np.linspace(0, 1, 30, dtype=np.float32).reshape(6, 5)
    Image.fromarray(pixels).save(tmp_path / "fine.tif")
    pixels[4, 2] = value
    Image.fromarray(pixels).save(tmp_path / "p.tif")
    with np.errstate(all="raise"):
        assert read_image(tmp_path / "fine.tif", (6, 5)).max() == 255
        with pytest.raises(
            ImageFileError, match=r"p\.tif: broken picture \(floating pixels that are NaN or infinite\)"
        ):
            read_image(tmp_path / "p.tif", (6, 5))


# --- Folders ----------------------------------------------------------------------------------------------------------


def shade(path: Path) -> int:
    """A grey of its own for each name."""
    return zlib.crc32(path.as_posix().encode()) % 250


def draw(path: Path) -> Path:
    return written(path, encoded(Image.new("L", (3, 3), shade(path)), "PNG"))


@pytest.mark.parametrize("seed", range(20))
def test_links_are_followed_to_each_folder_once(seed: int, tmp_path: Path) -> None:
    """Random trees with links into themselves, upwards and to a folder elsewhere; each picture is found once."""
    rng = np.random.default_rng(seed)
    folders = {name: [tmp_path / name] for name in ("cat", "dog", "disk")}
    for known in folders.values():
        for i in range(6):
            known.append(known[rng.integers(len(known))] / f"{'abc'[i % 3]}{i}")
        for folder in known:
            draw(folder / "p.png")
    for i in range(6):
        name = ("cat", "disk")[i % 2]
        target = folders[("cat", "disk", "disk")[i % 3]]
        place = folders[name][rng.integers(len(folders[name]))]
        (place / f"link{i}").symlink_to(target[rng.integers(len(target))], target_is_directory=True)
    (tmp_path / "cat" / "away").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "cat" / "up").symlink_to(tmp_path / "cat" / ".." / "cat")
    dataset = load_image_folders({name: tmp_path / name for name in ("cat", "dog")}, 3)
    read = {path.resolve() for path in dataset.paths}
    assert len(read) == len(dataset.paths)
    assert read == {folder / "p.png" for known in folders.values() for folder in known}
    assert dataset.skipped == ()
    assert dataset.images[:, 0, 0, 0].tolist() == [shade(path.resolve()) for path in dataset.paths]
    assert dataset.labels.tolist() == [int("dog" in path.parts) for path in dataset.paths]


def test_a_link_into_another_class_is_reported(tmp_path: Path) -> None:
    """Its pictures would have two labels."""
    for name in ("root/cat/a.png", "root/dog/b.png", "root/dog/deep/c.png", "disk/d.png", "root/bird/e.png"):
        draw(tmp_path / name)
    root = tmp_path / "root"
    for link, target in (
        ("cat/deep", "root/dog/deep"), ("cat/dog", "root/dog"), ("cat/more", "disk"), ("dog/more", "disk"),
        ("dog/x-all", "root"),
    ):  # fmt: skip
        (root / link).symlink_to(tmp_path / target, target_is_directory=True)
    folders = {name: root / name for name in ("cat", "dog")}
    dataset = load_image_folders(folders, 3)
    reported = [(path.relative_to(root).as_posix(), reason.rsplit("class ")[1]) for path, reason in dataset.skipped]
    others = [("cat/deep", "'dog'"), ("cat/dog", "'dog'"), ("dog/more", "'cat'"), ("dog/x-all/cat", "'cat'")]
    assert reported == others
    names = ["a.png", "d.png", "b.png", "c.png", "e.png"]
    assert [path.name for path in dataset.paths] == names, "what no class owns is read through links"
    assert audit_images(folders).unreadable == dataset.skipped
    with pytest.raises(ImageFileError, match=r"deep: leads to .*, a folder of class 'dog'"):
        open_image_folders(folders, 3, on_error="raise")


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_of_the_folders(kind: Callable[[Path], Any], tmp_path: Path) -> None:
    for name in ("root/b/1.png", "root/a/2.png", "root/.hidden/3.png", "root/beside.png", "disk/4.png"):
        draw(tmp_path / name)
    (tmp_path / "root" / "c").symlink_to(tmp_path / "disk", target_is_directory=True)
    for read in (load_image_folders, open_image_folders):
        dataset = read(kind(tmp_path / "root"), 3)
        assert dataset.class_names == ("a", "b", "c")
        assert [path.name for path in dataset.paths] == ["2.png", "1.png", "4.png"]
        assert dataset.labels.tolist() == [0, 1, 2]
    assert audit_images(kind(tmp_path / "root"), kind(tmp_path / "root")).counts == {"a": 2, "b": 2, "c": 2}


BAD_FOLDERS: list[tuple[Any, type[Exception], str]] = [
    (
        [".", ".."],
        TypeError,
        r"^folders: expected class names with their folders, or the folder that holds .*, received \[",
    ),
    (None, TypeError, "^folders: expected class names .*received None$"),
    (7, TypeError, "^folders: .*received 7$"),
    (b"/tmp", TypeError, "^folders: .*received b'/tmp'$"),
    ({"a": 7, "b": "."}, TypeError, r"^folders\['a'\]: expected a path, received 7$"),
    ({"a": None, "b": "."}, TypeError, r"^folders\['a'\]: expected a path, received None$"),
    ({0: "x", 1: "."}, TypeError, "^folders: expected names of classes, received 0$"),
    ({}, ValueError, r"^folders: expected at least two classes, a folder for each, received \[\]$"),
    ("EMPTY", ValueError, r"^folders: expected at least two classes, a folder for each, received \[\] in .*EMPTY$"),
    ("gone", FileNotFoundError, "gone: there is no such folder"),
    ("FILE", NotADirectoryError, "FILE: expected a folder, received a file"),
    ({"a": "EMPTY", "b": "./EMPTY/"}, ValueError, "^folders: expected a folder for each class, none inside another"),
    ({"a": "EMPTY", "b": "."}, ValueError, "^folders: .*none inside another, received . and EMPTY$"),
]


@pytest.mark.parametrize(("folders", "error", "message"), BAD_FOLDERS)
def test_bad_folders(
    folders: Any, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("EMPTY").mkdir()
    Path("FILE").write_bytes(b"")
    for function in (load_image_folders, open_image_folders, audit_images):
        with pytest.raises(error, match=message):
            function(folders)
    for name in ("x", "y"):
        draw(tmp_path / "fine" / name / "p.png")
    if not isinstance(folders, type(None)):
        with pytest.raises(error, match=message.replace("^folders", "^test_folders")):
            audit_images("fine", folders)


# --- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [6, np.int64(6), (6, 6), [6, 6], np.array([6, 6])])
def test_one_number_means_both_sides(size: Any, tmp_path: Path) -> None:
    for name in "ab":
        draw(tmp_path / name / "p.png")
    path = tmp_path / "a" / "p.png"
    assert read_image(path, size).shape == (6, 6, 3)
    assert LazyImages([path], size).shape == (1, 6, 6, 3)
    for read in (load_image_folders, open_image_folders):
        assert read(tmp_path, size).images.shape == (2, 6, 6, 3)


BAD_SIZES: list[Any] = [
    0, -3, 2.0, "64", None, True, (64,), (64, 64, 3), (0, 4), (4, 0), ("4", "4"), (4.5, 4), (4, None), (True, 4), "44",
    b"44", {4, 5}, {4: 5}, [[4, 4]], np.ones(2), np.ones((2, 2), int), 2**40, (4, 2**31), float("nan"), range(0),
    object(),
]  # fmt: skip


@pytest.mark.parametrize("size", BAD_SIZES, ids=str)
def test_a_wrong_size_is_named_before_any_file_is_opened(size: Any, tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: read_image(tmp_path / "gone.png", size),
        lambda: LazyImages([tmp_path / "gone.png"], size),
        lambda: load_image_folders(tmp_path / "gone", size),
        lambda: open_image_folders(tmp_path / "gone", size),
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError), match=r"^size(\[[01]\])?: expected") as caught:
            call()
        assert not isinstance(caught.value, ImageFileError)


BAD_ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"positive": "c"}, r"^positive: expected one of two classes, received 'c' of \['a', 'b'\]$"),
    ({"positive": 1}, "^positive: .*received 1 of"),
    ({"positive": np.array(["a", "b"])}, "^positive: expected one of two classes"),
    ({"on_error": "ignore"}, "^on_error: expected 'skip' or 'raise', received 'ignore'$"),
    ({"on_error": None}, "^on_error: .*received None$"),
    ({"on_error": np.array(["skip", "raise"])}, "^on_error: expected"),
    ({"progress": 5}, "^progress: expected a function or None, received 5$"),
    ({"progress": True}, "^progress: expected a function or None, received True$"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_other_arguments_are_named(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    for name in "ab":
        draw(tmp_path / name / "p.png")
    for read in (load_image_folders, open_image_folders):
        with pytest.raises((ValueError, TypeError), match=message):
            read(tmp_path, 4, **arguments)
    if "progress" in arguments:
        with pytest.raises(TypeError, match=message):
            audit_images(tmp_path, **arguments)


@pytest.mark.parametrize("source", [7, None, ["p.png"], io.StringIO("text")])
def test_a_source_that_is_none(source: Any) -> None:
    with pytest.raises(TypeError, match=r"^source: expected a path, bytes, a file opened in binary mode, a Pillow"):
        read_image(source, 4)
    with pytest.raises(TypeError, match=r"^sources\[1\]: expected a path, bytes, .* received"):
        LazyImages(["p.png", source], 4)


@pytest.mark.parametrize("sources", ["p.png", Path("p.png"), b"p.png", io.BytesIO(b"p.png"), None, 7])
def test_sources_that_are_no_list(sources: Any) -> None:
    with pytest.raises(TypeError, match=r"^sources: expected a list of paths or pictures, received"):
        LazyImages(sources, 4)


def test_lazy_images_are_indexed_as_an_array_is(tmp_path: Path) -> None:
    lazy = LazyImages([draw(tmp_path / f"{i}.png") for i in range(5)], (2, 3))
    whole: Array = np.asarray(lazy)
    indices: list[Any] = [
        0, -1, slice(None), slice(4, 0, -2), [3, 3, 1], np.array([[0, 1], [2, 4]]), np.arange(5) % 2 == 0, [], ...,
        None,
    ]  # fmt: skip
    for index in indices:
        np.testing.assert_array_equal(lazy[index], whole[index])
    for wrong in (5, 1.0, "a", [7], (0, 1)):
        with pytest.raises(IndexError):
            lazy[wrong]


def test_pictures_are_imported_on_first_use() -> None:
    program = "import sys, minidl, minidl.data; assert 'PIL' not in sys.modules; minidl.data.read_image; import PIL"
    subprocess.run([sys.executable, "-c", program], check=True)
