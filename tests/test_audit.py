"""The audit of folders, and samples that stand in two sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minidl.data import LazyImages, audit_images, find_duplicates


def noise(seed: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for folder in ("cats", "others", "test-cats", "test-others"):
        (tmp_path / folder).mkdir()
    noise(0).save(tmp_path / "cats/a.png")
    noise(0).save(tmp_path / "cats/b.bmp")  # the same pixels in another format
    noise(1).save(tmp_path / "cats/c.png")
    noise(2, "L").save(tmp_path / "others/d.png")
    noise(1).save(tmp_path / "others/e.tiff")  # and under another label
    (tmp_path / "others/f.jpg").write_bytes(b"")
    noise(3).save(tmp_path / "test-cats/g.png")
    noise(0).save(tmp_path / "test-cats/h.png")  # and on the other side
    noise(4).resize((20, 5)).save(tmp_path / "test-others/i.png")
    return tmp_path


def folders(root: Path, prefix: str = "") -> dict[str, Path]:
    return {"cat": root / f"{prefix}cats", "other": root / f"{prefix}others"}


def test_audit_of_one_set(pictures: Path) -> None:
    audit = audit_images(folders(pictures))
    assert audit.counts == {"cat": 3, "other": 2}
    assert audit.modes == {"RGB": 4, "L": 1}
    assert audit.sizes == {(8, 10): 5}
    assert audit.unreadable == ((pictures / "others/f.jpg", "the file is empty"),)
    same, conflict = audit.duplicates
    assert [path.name for path in same] == ["a.png", "b.bmp"]
    assert [path.name for path in conflict] == ["c.png", "e.tiff"]
    assert audit.conflicting == (conflict,)
    assert audit.shared == ()


def test_audit_of_both_sides_of_a_split(pictures: Path) -> None:
    calls: list[tuple[int, int]] = []
    audit = audit_images(folders(pictures), folders(pictures, "test-"), lambda done, total: calls.append((done, total)))
    assert audit.counts == {"cat": 5, "other": 3}
    assert [[path.name for path in group] for group in audit.shared] == [["a.png", "b.bmp", "h.png"]]
    assert calls == [(done, 9) for done in range(1, 10)]
    assert str(audit) == "\n".join(
        [
            "8 pictures: 5 cat, 3 other",
            "modes: 7 RGB, 1 L",
            "sizes: 2 different, 5 to 8 high, 10 to 20 wide",
            "unreadable files: 1",
            f"  {pictures / 'others/f.jpg'}: the file is empty",
            "groups of files with the same pixels: 2",
            f"  {pictures / 'cats/a.png'} = {pictures / 'cats/b.bmp'} = {pictures / 'test-cats/h.png'}",
            f"  {pictures / 'cats/c.png'} = {pictures / 'others/e.tiff'}",
            "of these with different labels: 1",
            f"  {pictures / 'cats/c.png'} = {pictures / 'others/e.tiff'}",
            "of these on both sides of the split: 1",
            f"  {pictures / 'cats/a.png'} = {pictures / 'cats/b.bmp'} = {pictures / 'test-cats/h.png'}",
        ]
    )


def test_upright_pixels_count_and_another_shape_does_not(tmp_path: Path) -> None:
    for folder in ("cats", "others"):
        (tmp_path / folder).mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(0).save(tmp_path / "cats/turned.png", exif=exif)
    noise(0).transpose(Image.Transpose.ROTATE_270).save(tmp_path / "cats/upright.png")
    Image.new("RGB", (4, 6)).save(tmp_path / "others/a.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "others/b.png")
    audit = audit_images(folders(tmp_path))
    assert [[path.name for path in group] for group in audit.duplicates] == [["turned.png", "upright.png"]]


def test_long_lists_are_cut_and_empty_folders_are_told(tmp_path: Path) -> None:
    for folder in ("cats", "others"):
        (tmp_path / folder).mkdir()
    report = str(audit_images(folders(tmp_path)))
    assert report.startswith("0 pictures: 0 cat, 0 other\nmodes: none\nunreadable files: none\n")
    for i in range(8):
        (tmp_path / f"cats/{i}.jpg").write_bytes(b"text")
    audit = audit_images(folders(tmp_path))
    assert len(audit.unreadable) == 8
    assert "unreadable files: 8\n" in str(audit)
    assert str(audit).count("not a picture") == 5
    assert "\n  ... and 3 more\n" in str(audit)


@given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_duplicates_against_the_plain_loops(train: list[int], test: list[int]) -> None:
    x_train, x_test = (np.array(values, np.int64).reshape(-1, 1) for values in (train, test))
    expected = []
    for j, value in enumerate(test):
        if value in train:
            expected.append((train.index(value), j))
    assert find_duplicates(x_train, x_test) == expected


def test_duplicates_among_pictures_on_demand(pictures: Path) -> None:
    train = LazyImages([pictures / "cats/a.png", pictures / "cats/c.png"], (4, 4))
    test = LazyImages([pictures / "test-cats/g.png", pictures / "test-cats/h.png"], (4, 4))
    assert find_duplicates(train, test) == [(0, 1)]
    assert find_duplicates(np.asarray(train), test) == [(0, 1)]


def test_duplicates_more_than_are_read_at_once() -> None:
    x = np.arange(500)[:, None]
    assert find_duplicates(x, x[::-1]) == [(499 - j, j) for j in range(500)]


@pytest.mark.parametrize("other", [np.zeros((2, 4)), np.zeros((2, 3), np.float32), np.float64(1)])
def test_duplicates_of_different_kinds(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"samples of one shape and type, received float64 \(2, 3\) and"):
        find_duplicates(np.zeros((2, 3)), other)
