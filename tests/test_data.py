"""From files to arrays: folders of pictures of every kind, splits and batches."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import seeds

from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
from minidl._typing import Array
from minidl.data import Batches, ImageFileError, load_image_folders, read_image, train_test_split

RED = (200, 30, 40)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Two folders with two pictures each, one of them in a sub-folder."""
    for i, name in enumerate(("cats/b.png", "cats/a.png", "others/deep/c.png", "others/d.jpg")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i, 30), (40 * i, 100, 200)).save(path)
    return {"cat": tmp_path / "cats", "not cat": tmp_path / "others"}


def test_load(folders: dict[str, Path]) -> None:
    (folders["cat"] / ".hidden.png").write_bytes(b"not for us")
    dataset = load_image_folders(folders, size=(12, 8), positive="cat")
    assert dataset.images.shape == (4, 12, 8, 3)
    assert dataset.images.dtype == np.uint8
    assert len(dataset) == 4
    assert dataset.labels.tolist() == [1, 1, 0, 0]
    assert dataset.class_names == ("not cat", "cat")
    assert [path.name for path in dataset.paths] == ["a.png", "b.png", "d.jpg", "c.png"]
    assert dataset.skipped == ()
    assert dataset.images[0, 5, 5].tolist() == [40, 100, 200]
    again = load_image_folders(folders, size=(12, 8), positive="cat")
    np.testing.assert_array_equal(again.images, dataset.images)


def test_labels_without_a_positive_class(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "third").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "third" / "e.gif")
    dataset = load_image_folders({**folders, "third": tmp_path / "third"}, size=(4, 4))
    assert dataset.class_names == ("cat", "not cat", "third")
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2]


def save_16_bit(path: Path) -> None:
    Image.fromarray(np.full((9, 9), 200 * 257, np.uint16)).save(path)


def save_alpha(path: Path) -> None:
    picture = Image.new("RGBA", (9, 9), (*RED, 0))
    picture.paste((*RED, 255), (0, 0, 5, 9))
    picture.save(path)


def save_palette_with_transparency(path: Path) -> None:
    picture = Image.new("P", (9, 9), 0)
    picture.putpalette([*RED, 0, 0, 0])
    picture.paste(1, (5, 0, 9, 9))
    picture.save(path, transparency=1)


def save_animation(path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in (RED, (0, 0, 255))]
    frames[0].save(path, save_all=True, append_images=frames[1:])


KINDS: list[tuple[str, Callable[[Path], None], tuple[int, int, int], int]] = [
    ("grey.png", lambda p: Image.new("L", (9, 9), 120).save(p), (120, 120, 120), 0),
    ("one-bit.png", lambda p: Image.new("1", (9, 9), 1).save(p), (255, 255, 255), 0),
    ("palette.gif", lambda p: Image.new("RGB", (9, 9), RED).convert("P").save(p), RED, 30),
    ("grey-alpha.png", lambda p: Image.new("LA", (9, 9), (50, 255)).save(p), (50, 50, 50), 0),
    ("alpha.png", save_alpha, RED, 0),
    ("palette-alpha.png", save_palette_with_transparency, RED, 0),
    ("cmyk.jpg", lambda p: Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(p), (255, 0, 0), 3),
    ("sixteen.png", save_16_bit, (200, 200, 200), 0),
    ("animated.gif", save_animation, RED, 2),
    ("animated.webp", save_animation, RED, 12),
    ("picture.bmp", lambda p: Image.new("RGB", (9, 9), RED).save(p), RED, 0),
    ("picture.tiff", lambda p: Image.new("RGB", (9, 9), RED).save(p), RED, 0),
    ("no-suffix", lambda p: Image.new("RGB", (9, 9), RED).save(p, format="PNG"), RED, 0),
]


@pytest.mark.parametrize(("name", "save", "colour", "tolerance"), KINDS, ids=[kind[0] for kind in KINDS])
def test_every_kind_of_picture(
    name: str, save: Callable[[Path], None], colour: tuple[int, int, int], tolerance: int, tmp_path: Path
) -> None:
    save(tmp_path / name)
    pixels = read_image(tmp_path / name, (9, 9))
    assert pixels.shape == (9, 9, 3)
    np.testing.assert_allclose(pixels[4, 1].astype(int), colour, atol=tolerance)


@pytest.mark.parametrize("save", [save_alpha, save_palette_with_transparency])
def test_transparency_lies_on_white(save: Callable[[Path], None], tmp_path: Path) -> None:
    save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png", (9, 9))[4, 8].tolist() == [255, 255, 255]


def test_exif_turns_the_picture_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 10, 10))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise: the left half comes on top
    picture.save(tmp_path / "p.jpg", exif=exif, quality=95)
    pixels = read_image(tmp_path / "p.jpg", (20, 10))
    assert pixels[2].min() > 230
    assert pixels[-2].max() < 25


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def truncated(path: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()[: path.stat().st_size // 2]


BROKEN: list[tuple[str, Callable[[Path], bytes], str]] = [
    ("empty.jpg", lambda _: b"", "the file is empty"),
    ("text.jpg", lambda _: b"this is no picture", "not a picture that Pillow can read"),
    ("hi.txt", lambda _: b"hi\n", "not a picture that Pillow can read"),
    ("truncated.jpg", truncated, "broken picture"),
    ("truncated.png", truncated, "broken picture"),
    ("bomb.png", lambda _: png_of_size(50_000, 50_000), "Pillow's limit against decompression bombs"),
    ("half-bomb.png", lambda _: png_of_size(10_000, 10_000), "Pillow's limit against decompression bombs"),
    ("no-data.png", lambda _: png_of_size(10, 10), "broken picture"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN, ids=[case[0] for case in BROKEN])
def test_broken_files_are_listed_or_raised(
    name: str, content: Callable[[Path], bytes], reason: str, folders: dict[str, Path]
) -> None:
    path = folders["cat"] / name
    path.write_bytes(content(path))
    dataset = load_image_folders(folders, size=(8, 8), positive="cat", on_error="skip")
    assert len(dataset) == len(dataset.labels) == len(dataset.paths) == 4
    assert [(skipped, reason in why) for skipped, why in dataset.skipped] == [(path, True)]
    with pytest.raises(ImageFileError, match=f"{name}: .*{reason}"):
        load_image_folders(folders, size=(8, 8), positive="cat", on_error="raise")


@pytest.mark.parametrize("dtype", ["U3", "O"])
def test_classes_in_words_are_refused_with_what_to_do(dtype: str) -> None:
    model = mlp([2, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()))
    with pytest.raises(ValueError, match=r"first .no.; if these are classes, numpy\.unique"):
        trainer.fit(np.ones((2, 2)), np.array(["no", "yes"], dtype), epochs=1)


def test_a_missing_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"gone\.jpg: No such file"):
        read_image(tmp_path / "gone.jpg", (8, 8))


def test_bad_folders(folders: dict[str, Path], tmp_path: Path) -> None:
    cats, others, empty, texts = folders["cat"], folders["not cat"], tmp_path / "empty", tmp_path / "texts"
    empty.mkdir()
    texts.mkdir()
    (texts / "a.txt").write_text("hello")
    cases: list[tuple[dict[str, Path], dict[str, Any], type[Exception], str]] = [
        ({"cat": cats}, {}, ValueError, r"at least two classes, a folder for each, received \['cat'\]"),
        ({"cat": cats, "x": cats}, {}, ValueError, "a folder for each class, none inside another"),
        ({"cat": cats, "x": tmp_path}, {}, ValueError, "none inside another"),
        ({"cat": cats, "x": tmp_path / "gone"}, {}, FileNotFoundError, "gone: there is no such folder"),
        ({"cat": cats, "x": texts / "a.txt"}, {}, NotADirectoryError, "expected a folder, received a file"),
        ({"cat": cats, "x": empty}, {}, ValueError, "pictures of class 'x', the folder holds no files"),
        ({"cat": cats, "x": texts}, {}, ValueError, "none of its 1 files is a readable picture; the first, a.txt: not"),
        ({"cat": cats, "x": others}, {"positive": "dog"}, ValueError, "one of two classes, received 'dog'"),
        ({"cat": cats, "x": others}, {"size": (0, 4)}, ValueError, r"size\[0\]: expected a whole number"),
        ({"cat": cats, "x": others}, {"on_error": "ignore"}, ValueError, "'skip' or 'raise', received 'ignore'"),
    ]
    for mapping, arguments, error, message in cases:
        with pytest.raises(error, match=message):
            load_image_folders(mapping, **arguments)


@given(st.lists(st.integers(0, 2), min_size=6, max_size=60), st.floats(0.05, 0.95), seeds)
def test_split_is_a_stratified_partition(labels: list[int], test_size: float, seed: int) -> None:
    y = np.array(labels + [0, 1, 2] * 40)
    x = np.arange(len(y))
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size, rng=seed)
    assert sorted([*x_train, *x_test]) == x.tolist()
    assert len(x_test) == round(test_size * len(y))
    np.testing.assert_array_equal(y[x_train], y_train)
    np.testing.assert_array_equal(y[x_test], y_test)
    for value in (0, 1, 2):
        assert abs((y_test == value).sum() - len(y_test) * (y == value).mean()) < 1
    again = train_test_split(x, y, test_size, rng=seed)
    np.testing.assert_array_equal(again[1], x_test)


def test_split_without_stratification_and_by_count() -> None:
    x_train, x_test, _, _ = train_test_split(np.arange(10), np.arange(10), 3, stratify=False, rng=1)
    assert sorted([*x_train, *x_test]) == list(range(10))
    assert len(x_test) == 3
    other = train_test_split(np.arange(10), np.arange(10), 3, stratify=False, rng=2)
    assert x_test.tolist() != other[1].tolist()


@pytest.mark.parametrize(
    ("y", "test_size", "message"),
    [
        ([0, 1, 0], 0.0, "a share between 0 and 1, received 0.0"),
        ([0, 1, 0], 1.0, "a share between 0 and 1, received 1.0"),
        ([0, 1, 0], np.nan, "received nan"),
        ([0, 1, 0], "0.2", "a share or a count, received '0.2'"),
        ([0, 1, 0], 3, "leaves 3 to test on and 0 to train on"),
        ([0, 1, 0], 0.01, "leaves 0 to test on"),
        ([0, 0, 0, 1], 0.5, "class 1 with 1 samples cannot stand on both sides"),
        ([0, 0], 0.5, r"received shapes \(3,\) and \(2,\)"),
    ],
)
def test_split_bad_input(y: list[int], test_size: Any, message: str) -> None:
    x = np.arange(3 if len(y) < 4 else 4)
    with pytest.raises(ValueError, match=message):
        train_test_split(x, y, test_size)


@given(st.integers(1, 40), st.one_of(st.none(), st.integers(1, 45)), seeds)
def test_every_epoch_has_every_sample_once(n: int, batch_size: int | None, seed: int) -> None:
    x = np.arange(n)
    batches = Batches(x, 10 * x, batch_size, seed)
    epochs = [list(batches), list(batches)]
    for epoch in epochs:
        assert sorted(np.concatenate([a for a, _ in epoch]).tolist()) == x.tolist()
        assert all((10 * a == b).all() for a, b in epoch)
        assert [len(a) for a, _ in epoch[:-1]] == [batch_size] * (len(epoch) - 1)
    if batch_size is None:
        assert epochs[0][0][0] is x


def test_shuffling_permutes_samples_not_batches() -> None:
    x: Array = np.arange(1000)
    first = next(iter(Batches(x, x, 100, 0)))[0]
    assert len(np.unique(first // 100)) > 5
    with pytest.raises(ValueError, match="at least one sample and one target for each"):
        Batches(x, x[:-1])


def test_a_batch_that_somebody_keeps_never_changes() -> None:
    x = np.arange(40.0).reshape(20, 2)
    batches = Batches(x, x[:, 0], batch_size=6, rng=0)
    kept = [(part, part.copy()) for _ in range(3) for part, _ in batches]
    for part, copy in kept:
        np.testing.assert_array_equal(part, copy)
    released = {part.ctypes.data for part, _ in batches}
    assert len(released) < 12


def test_batches_of_a_transposed_set_are_not_made_from_a_copy_of_it() -> None:
    x = np.zeros((2, 500, 400), np.float32).transpose(1, 2, 0)
    batches = Batches(x, np.zeros(500), batch_size=10, rng=0)
    tracemalloc.start()
    for part, _ in batches:
        assert part.shape == (10, 400, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4
