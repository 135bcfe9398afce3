"""Pictures from bytes, open files, Pillow images and arrays are those of the same file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minidl._typing import Array
from minidl.data import ImageFileError, LazyImages, read_image


class Pipe:
    """A file that can be read once, from front to end."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._file.read(count)

    def tell(self) -> int:
        raise io.UnsupportedOperation


KINDS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "open file": io.BytesIO,
    "pipe": Pipe,
    "Pillow image": lambda data: Image.open(io.BytesIO(data)),
}
modes = st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])


def pixels(mode: str, height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * width)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 1 << 16, (height, width)).astype(np.uint16))
    return Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA").convert(mode)


@given(mode=modes, format=st.sampled_from(["PNG", "TIFF"]), height=st.integers(1, 9), width=st.integers(1, 9),
       orientation=st.integers(1, 8))  # fmt: skip
def test_every_source_gives_the_picture_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, mode: str, format: str, height: int, width: int, orientation: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"picture.{format.lower()}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels(mode, height, width).save(path, exif=exif)
    expected, data = read_image(path, (4, 5)), path.read_bytes()
    for make in KINDS.values():
        np.testing.assert_array_equal(read_image(make(data), (4, 5)), expected)
    lazy = LazyImages([path, *(make(data) for make in KINDS.values())], (4, 5))
    for _ in range(2):
        np.testing.assert_array_equal(lazy[:], np.stack([expected] * len(lazy)))


@pytest.mark.parametrize(("shape", "mode"), [((6, 7), "L"), ((6, 7, 3), "RGB"), ((6, 7, 4), "RGBA")])
def test_arrays_are_pictures(shape: tuple[int, ...], mode: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(array, mode).save(tmp_path / "picture.png")
    expected = read_image(tmp_path / "picture.png", 3)
    before = array.copy()
    strided = np.repeat(array, 2, axis=1)[:, ::2]
    for given_array in (array, strided, array[..., None] if array.ndim == 2 else array):
        np.testing.assert_array_equal(read_image(given_array, 3), expected)
    np.testing.assert_array_equal(array, before)
    if mode == "RGB":
        np.testing.assert_array_equal(read_image(array, (6, 7)), array)
        np.testing.assert_array_equal(LazyImages(array[None], (6, 7))[:], array[None])


def test_a_large_jpeg_from_bytes_is_decoded_at_a_fraction_too(tmp_path: Path) -> None:
    small: Array = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(small).resize((640, 480)).save(tmp_path / "picture.jpg")
    path = tmp_path / "picture.jpg"
    np.testing.assert_array_equal(read_image(path.read_bytes(), 16), read_image(path, 16))
    image = Image.open(path)
    first = read_image(image, 16)
    np.testing.assert_array_equal(read_image(image, 16), first)
    assert image.size == (640, 480)
    assert abs(first.astype(int) - read_image(path, 16)).mean() < 1


def test_open_files_stay_open_and_where_they_were(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5), (10, 20, 30)).save(tmp_path / "picture.png")
    with (tmp_path / "picture.png").open("rb") as file:
        file.seek(3)
        for _ in range(2):
            assert read_image(file, 1).tolist() == [[[10, 20, 30]]]
        assert file.tell() == 3
        lazy = LazyImages([file, file], 1)
    assert lazy[:].tolist() == [[[[10, 20, 30]]]] * 2
    assert pickle.loads(pickle.dumps(lazy))[1].tolist() == [[[10, 20, 30]]]
    pipe: Any = Pipe((tmp_path / "picture.png").read_bytes())
    read_image(pipe, 1)
    with pytest.raises(ImageFileError, match=r"^source, an open file: the file is empty$"):
        read_image(pipe, 1)


def test_errors_name_the_source(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"this is no picture")
    with pytest.raises(ImageFileError, match=r"^source, 18 bytes: not a picture that Pillow can read by itself$"):
        read_image(b"this is no picture", 4)
    with (
        (tmp_path / "text.png").open("rb") as file,
        pytest.raises(ImageFileError, match=r"^source, an open file .*text\.png: not a picture"),
    ):
        read_image(file, 4)
    lazy = LazyImages([np.zeros((2, 2), np.uint8), b""], 4)
    with pytest.raises(ImageFileError, match=r"^sources\[1\], 0 bytes: the file is empty$") as caught:
        lazy[:]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    whole = io.BytesIO()
    Image.new("RGB", (50, 50)).save(whole, "PNG")
    image = Image.open(io.BytesIO(whole.getvalue()[:-40]))
    with pytest.raises(ImageFileError, match=r"^source, a Pillow image: broken picture"):
        read_image(image, 4)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4, 2), "uint8"), ((4, 4, 3), "float32"), ((0, 4), "uint8"), ((4,), "uint8")]
)
def test_arrays_that_are_no_pictures(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match=r"^source: expected uint8 pixels \(height, width\), or .* received "):
        read_image(np.zeros(shape, dtype), 4)
