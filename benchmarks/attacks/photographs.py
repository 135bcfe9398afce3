"""Photographs that are damaged, odd, or no photographs."""

from __future__ import annotations

import os
import stat
import struct
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
from PIL import Image, features

import minidl
from benchmarks.attacks import damage
from benchmarks.attacks.limits import Attempt, attempt, memory_limit
from benchmarks.attacks.outcome import Outcome, told
from minidl.data import audit_images, load_image_folders, open_image_folders, read_image

SIZE = (6, 5)
SECONDS = 20.0  # Pillow's own limit allows pictures of 89 million pixels
MEGABYTES = 3000
FORMATS = {
    "JPEG": ("RGB", "L", "CMYK", "YCbCr"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "GIF": ("RGB", "L", "P"),
    "BMP": ("RGB", "L", "P", "1", "RGBA"),
    "TIFF": ("RGB", "RGBA", "L", "CMYK", "F", "I;16", "LAB", "1", "P"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("RGB", "L", "1"),
    "TGA": ("RGB", "RGBA", "P"),
    "ICO": ("RGBA",),
    "PCX": ("RGB", "L"),
    "JPEG2000": ("RGB", "RGBA"),
}
# What starts another program, or asks for one, if Pillow is let.
PROGRAMS = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
    "PostScript": b"%!PS-Adobe-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "EPS for DOS": b"\xc5\xd0\xd3\xc6\x1e\0\0\0\x60\0\0\0%b%%!PS-Adobe-3.0 EPSF-3.0\n%%%%BoundingBox: 0 0 9 9\n"
    % bytes(18),
}
_PNG = b"\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _PNG
    + struct.pack(">I", crc32(_PNG[4:]))
    + b"\0\0\0\0IDAT"
    + struct.pack(">I", crc32(b"IDAT"))
)
# Just above Pillow's limit, where Pillow itself only warns, and in some formats where nobody else sees the size.
BOMBS = {
    "PNG of 10,000 x 10,000": _PNG,
    "GIMP brush of 10,000 x 10,000": struct.pack(">5I", 28, 1, 10_000, 10_000, 1) + b"a brush\0",
    "icon of 10,000 x 10,000": struct.pack("<3H4B2H2I", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(_PNG), 22) + _PNG,
}


def run(count: int, seed: int) -> Outcome:
    """Read small pictures of many formats and modes, damaged byte by byte, and ones that ask for an outside program.

    Lost: an answer other than a uint8 array of the wanted shape or an ImageFileError; a picture without damage that is
    refused; a bomb that is read; a program that was started (one that stands for Ghostscript leaves a
    mark); a warning, other than Pillow's of a bomb; a filter of warnings or a setting of Pillow that is another than
    before; more than 20 s or 3 GB.
    """
    outcome, rng = Outcome("photographs"), Random(seed)
    with tempfile.TemporaryDirectory() as name, memory_limit(MEGABYTES):
        folder = Path(name)
        mark = _stand_in_for_ghostscript(folder)
        originals = list(_pictures(folder))
        for what, data in originals:
            _try(outcome, folder / "x.jpg", data, f"{what} as it is", must_be_read=True)
        for what, data in {**BOMBS, **PROGRAMS}.items():
            _try(outcome, folder / "x.jpg", data, what, must_be_refused=True)
        for i in range(count):
            what, data = rng.choice(originals) if i % 10 else rng.choice(list(PROGRAMS.items()))
            how, changed = (
                _huge(data, rng) if i % 8 == 1 else damage.damaged(data, rng) if i % 20 else ("as it is", data)
            )
            _try(outcome, folder / "x.jpg", changed, f"attempt {i}, {what}, {how}")
        _try_folders(outcome, folder, originals, rng)
        problems = ["an outside program was started"] if mark.exists() else []
        outcome.settle("no program started", problems, "after all")
    return outcome


def _try(
    outcome: Outcome, path: Path, data: bytes, what: str, *, must_be_read: bool = False, must_be_refused: bool = False
) -> None:
    path.write_bytes(data)
    found, problems = _watched(partial(read_image, path, SIZE))
    if found.error is None:
        right = isinstance(found.result, np.ndarray) and found.result.dtype == np.uint8
        if must_be_refused or not right or found.result.shape != (*SIZE, 3):
            problems.append(f"received {found.result!r:.100}")
    elif must_be_read or not isinstance(found.error, minidl.ImageFileError):
        problems.append(told(found.error))
    outcome.settle("read" if found.error is None else type(found.error).__name__, problems, what)


def _watched(call: Callable[[], object]) -> tuple[Attempt, list[str]]:
    """Call; return what came of it, and the warnings and the settings that it has left behind."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        before = _settings()
        found = attempt(call, SECONDS)
        problems = [] if _settings() == before else ["warning filters or settings of Pillow have changed"]
    # Readers of a few formats warn of a bomb themselves, and only a filter of the whole process would silence them.
    others = [entry for entry in warned if entry.category is not Image.DecompressionBombWarning]
    return found, problems + [f"warning {entry.message}" for entry in others[:3]]


def _huge(data: bytes, rng: Random) -> tuple[str, bytes]:
    """Let the header of a PNG, JPEG, GIF, BMP or PPM claim a size that the pixels do not have."""
    width, height = rng.choice(
        ((65_535, 65_535), (9_400, 9_400), (2**31 - 1, 1), (1, 50_000), (0, 5), (13_000, 13_000))
    )
    changed, two = bytearray(data), struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    if data.startswith(b"\x89PNG"):
        changed[16:24] = struct.pack(">II", width, height)
        changed[29:33] = struct.pack(">I", crc32(changed[12:29]))
    elif data.startswith(b"GIF"):
        place = data.find(b"\x2c")  # of the first frame
        changed[6:10] = changed[place + 5 : place + 9] = two
    elif data.startswith(b"BM"):
        changed[18:26] = struct.pack("<ii", width, rng.choice((1, -1)) * height)
    elif data.startswith(b"\xff\xd8"):
        place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        changed[place + 5 : place + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    elif data.startswith((b"P4", b"P5", b"P6")):
        changed[3 : data.index(b"\n", 3)] = f"{width} {height}".encode()
    return f"{width} x {height}", bytes(changed)


def _try_folders(outcome: Outcome, folder: Path, originals: list[tuple[str, bytes]], rng: Random) -> None:
    """Read folders in which sound, damaged and foreign files stand beside one another."""
    for name in ("cats", "others"):
        (folder / name).mkdir()
        for i in range(20):
            data = rng.choice(originals)[1] if i % 3 else damage.damaged(rng.choice(originals)[1], rng)[1]
            (folder / name / f"{i}.jpg").write_bytes(data)
        for i, data in enumerate([*PROGRAMS.values(), *BOMBS.values()]):
            (folder / name / f"odd {i}.jpg").write_bytes(data)
    folders = {name: folder / name for name in ("cats", "others")}
    for function in (load_image_folders, open_image_folders, audit_images):
        found, problems = _watched(partial(function, folders))
        problems += [] if found.error is None else [told(found.error)]
        outcome.settle(function.__name__, problems, function.__name__)


def _stand_in_for_ghostscript(folder: Path) -> Path:
    """Put programs of its names first on the path; they leave a mark, whose path is returned."""
    mark, programs = folder / "mark", folder / "bin"
    programs.mkdir()
    for name in ("gs", "gswin32c", "gswin64c", "djpeg", "xv", "display"):
        script = programs / name
        script.write_text(f'#!/bin/sh\necho "$0 $@" >> "{mark}"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    return mark


def _pictures(folder: Path) -> list[tuple[str, bytes]]:
    """Return pictures of each format and mode that this Pillow can write."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures, path = [], folder / "picture"
    for kind, modes in FORMATS.items():
        if (kind == "WEBP" and not features.check("webp")) or (kind == "JPEG2000" and not features.check("jpg_2000")):
            continue
        for mode in modes:
            grey = pixels[:, :, 0].astype(np.uint16) * 257
            picture = Image.fromarray(grey) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
            options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
            picture.save(path, kind, **options)
            pictures.append((f"{kind} {mode}", path.read_bytes()))
    frames = [Image.fromarray(pixels + i) for i in range(3)]
    for kind in ("GIF", "PNG", "TIFF", *(["WEBP"] if features.check("webp") else [])):
        frames[0].save(path, kind, save_all=True, append_images=frames[1:])
        pictures.append((f"{kind} of 3 frames", path.read_bytes()))
    for compression in ("tiff_lzw", "jpeg", "tiff_deflate", "packbits", "group4"):
        first = frames[0].convert("1") if compression == "group4" else frames[0]
        first.save(path, "TIFF", compression=compression)
        pictures.append((f"TIFF {compression}", path.read_bytes()))
    frames[0].save(path, "JPEG", progressive=True)
    pictures.append(("JPEG progressive", path.read_bytes()))
    path.unlink()
    return pictures


def _settings() -> object:
    from PIL import ImageFile

    return list(warnings.filters), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
