"""Odd pictures of real folders, and JPEGs decoded at a fraction of their size."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from minidl._typing import Array
from minidl.data import ImageFileError, read_image

RED = (200, 30, 40)


def save_array(array: Array) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(array).save(path)


def save_png_with_bytes_of_transparency(path: Path) -> None:
    picture = Image.new("P", (9, 9), 0)
    picture.putpalette([*RED, 0, 0, 0])
    picture.save(path, transparency=bytes([255, 0]))


def save_with_damaged_exif(path: Path) -> None:
    Image.new("RGB", (9, 9), RED).save(path, exif=b"Exif\0\0not a TIFF header at all", quality=100, subsampling=0)


def save_with_huge_exif(path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    Image.new("RGB", (9, 9), RED).save(path, exif=exif, quality=100, subsampling=0)


def save_with_profile(path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (9, 9), RED).save(path, icc_profile=profile)


def save_two(path: Path, kind: str) -> None:
    first, second = Image.new("RGB", (9, 9), RED), Image.new("RGB", (9, 9), (0, 0, 255))
    first.save(path, format=kind, save_all=True, append_images=[second])


def save_lab(path: Path) -> None:
    white = ImageCms.profileToProfile(
        Image.new("RGB", (9, 9), (119, 119, 119)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert white is not None
    white.save(path)


GREY = (120, 120, 120)
KINDS: list[tuple[str, Callable[[Path], None], tuple[int, int, int], int]] = [
    ("big-endian-16.tiff", save_array(np.full((9, 9), 120 * 257, ">u2")), GREY, 0),
    ("thirty-two.tiff", save_array(np.full((9, 9), 120 * 257, np.int32)), GREY, 0),
    ("float-bytes.tiff", save_array(np.full((9, 9), 120, np.float32)), GREY, 0),
    ("float-unit.tiff", save_array(np.full((9, 9), 120 / 255, np.float32)), GREY, 0),
    ("lab.tiff", save_lab, (119, 119, 119), 2),
    ("ycbcr.tiff", lambda p: Image.new("YCbCr", (16, 16), (100, 128, 128)).save(p, compression="jpeg"), (100,) * 3, 4),
    ("cmyk.tiff", lambda p: Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(p), (255, 0, 0), 3),
    ("palette-bytes.png", save_png_with_bytes_of_transparency, RED, 0),
    ("transparent-colour.png", lambda p: Image.new("RGB", (9, 9), RED).save(p, transparency=RED), (255, 255, 255), 0),
    ("damaged-exif.jpg", save_with_damaged_exif, RED, 3),
    ("damaged-exif.png", save_with_damaged_exif, RED, 0),
    ("damaged-exif.webp", save_with_damaged_exif, RED, 3),
    ("huge-exif.jpg", save_with_huge_exif, RED, 3),
    ("profile.png", save_with_profile, RED, 0),
    ("two.mpo", lambda p: save_two(p, "MPO"), RED, 3),
    ("two.png", lambda p: save_two(p, "PNG"), RED, 0),
    ("progressive.jpg", lambda p: Image.new("RGB", (9, 9), RED).save(p, progressive=True, quality=95), RED, 3),
    ("Кошка 猫.png", lambda p: Image.new("RGB", (9, 9), RED).save(p), RED, 0),
    ("one.png", lambda p: Image.new("RGB", (1, 1), RED).save(p), RED, 0),
    ("tall.jpg", lambda p: Image.new("RGB", (1, 5000), RED).save(p), RED, 3),
    ("wide.png", lambda p: Image.new("RGB", (5000, 1), RED).save(p), RED, 0),
]


@pytest.mark.parametrize(("name", "save", "colour", "tolerance"), KINDS, ids=[kind[0] for kind in KINDS])
def test_odd_pictures(
    name: str, save: Callable[[Path], None], colour: tuple[int, int, int], tolerance: int, tmp_path: Path
) -> None:
    save(tmp_path / name)
    pixels = read_image(tmp_path / name, (5, 7))
    assert pixels.shape == (5, 7, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[2, 1].astype(int), colour, atol=tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_exif_orientation(orientation: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    upright = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)
    turned_back: dict[int, Array] = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1),
        7: upright.swapaxes(0, 1)[::-1, ::-1], 8: np.rot90(upright, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned_back[orientation])).save(tmp_path / "p.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png", (6, 4)), upright)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "p.png").write_bytes(b"any")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageFileError, match=r"p\.png: Permission denied$"):
        read_image(tmp_path / "p.png", (4, 4))


def test_the_error_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(ImageFileError(Path("a.jpg"), "the file is empty")))
    assert (str(error), error.path, error.reason) == ("a.jpg: the file is empty", Path("a.jpg"), "the file is empty")


def whole(path: Path, size: int) -> Array:
    """The plain way: decode everything, then resize."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)).astype(float)


def photograph(rng: np.random.Generator) -> Array:
    coarse = Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)).resize((1200, 900))
    return np.asarray(coarse) + rng.normal(0, 12, (900, 1200, 3))


def rings(rng: np.random.Generator) -> Array:
    y, x = np.mgrid[:900, :1200]
    return np.repeat((127 + 120 * np.cos((x**2 + y**2) / 1500))[..., None], 3, axis=2)


def blocks(rng: np.random.Generator) -> Array:
    return np.kron(rng.integers(0, 2, (113, 150, 1)), np.full((8, 8, 3), 255.0))


@pytest.mark.parametrize(("draw", "mean", "largest"), [(photograph, 0.35, 4), (rings, 0.75, 10), (blocks, 0.75, 4)])
@pytest.mark.parametrize("size", [32, 64, 96])
@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_is_as_good_as_whole(
    draw: Callable[[np.random.Generator], Array],
    mean: float,
    largest: float,
    size: int,
    orientation: int,
    tmp_path: Path,
) -> None:
    """Beside these differences, JPEG at quality 90 is itself off by 1 to 8."""
    pixels = draw(np.random.default_rng(0)).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "p.jpg", quality=90, exif=exif)
    expected = whole(tmp_path / "p.jpg", size)
    if orientation == 6:
        expected = np.rot90(expected, -1)
    difference = np.abs(read_image(tmp_path / "p.jpg", (size, size)) - expected)
    assert difference.mean() < mean
    assert difference.max() < largest


def test_small_jpegs_are_decoded_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)).save(tmp_path / "p.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "p.jpg", (32, 32)), whole(tmp_path / "p.jpg", 32))


def test_rare_formats_in_many_threads_at_once(tmp_path: Path) -> None:
    """Pillow registers a rare format at its first file: no thread may meet the list half made."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(8):
            Image.new("RGB", (4, 4), RED).save(tmp_path / name / f"{i}.jpg", format="SGI")
    program = (
        "import sys; from minidl.ops import parallel; from minidl.data import load_image_folders; "
        "parallel.cores = lambda: 8; "
        "print(len(load_image_folders({'a': sys.argv[1] + '/a', 'b': sys.argv[1] + '/b'})))"
    )
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
        assert (result.stdout, result.stderr) == ("16\n", "")
