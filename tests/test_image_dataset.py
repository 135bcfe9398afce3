"""What an ImageDataset says of itself: counts, a short repr, and HTML with thumbnails."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidl.data import load_image_folders, open_image_folders
from minidl.data.image_html import CLASSES, PICTURES, SIDE

both = pytest.mark.parametrize("read", [load_image_folders, open_image_folders])
Read = Callable[..., Any]


def a_folder(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 6), (10 * i, 200, 30)).save(root / name / f"{i:02}.png")
    return root


class Parts(HTMLParser):
    """The tags of a page, each with its attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


@both
def test_counts_and_a_short_repr(read: Read, tmp_path: Path) -> None:
    root = a_folder(tmp_path, {"cat": 3, "dog": 1, "owl": 2})
    (root / "dog" / "text.png").write_bytes(b"no picture")
    dataset = read(root, (4, 5))
    assert dataset.class_counts == {"cat": 3, "dog": 1, "owl": 2}
    assert repr(dataset) == "ImageDataset(6 pictures 4 x 5: 3 'cat', 1 'dog', 2 'owl', 1 skipped)"
    pair = read({"dog": root / "dog", "cat": root / "cat"}, 4, positive="dog")
    assert list(pair.class_counts.items()) == [("cat", 3), ("dog", 1)]


@both
def test_html_shows_the_first_pictures_of_each_class(read: Read, tmp_path: Path) -> None:
    dataset = read(a_folder(tmp_path, {"cat": PICTURES + 2, "dog": 1}), (8, 6))
    parts = Parts(dataset._repr_html_())
    images = parts.images()
    assert [image["title"] for image in images] == [*(f"{i:02}.png" for i in range(PICTURES)), "00.png"]
    assert f"cat{PICTURES + 2}" in parts.text
    for row, image in zip([*range(PICTURES), PICTURES + 2], images, strict=True):
        head, _, data = str(image["src"]).partition(",")
        assert head == "data:image/png;base64"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(b64decode(data)))), dataset.images[row])


def test_names_are_escaped_and_everything_is_bounded(tmp_path: Path) -> None:
    name = "<script>alert('&\")<x>"[:20]
    counts = {f"{i:02}{name}": PICTURES + 1 for i in range(CLASSES + 3)}
    root = a_folder(tmp_path, {key.replace("/", ""): count for key, count in counts.items()})
    for folder in root.iterdir():
        (folder / "00.png").rename(folder / ('00"><b>' + "n" * 200 + ".png"))
    dataset = open_image_folders(root, 300)
    page = dataset._repr_html_()
    parts = Parts(page)
    assert {tag for tag, _ in parts.tags} == {"div", "table", "tr", "th", "td", "img"}
    images = parts.images()
    assert len(images) == CLASSES * PICTURES
    assert str(images[0]["title"]).startswith('00"><b>nnn')
    assert all(len(str(image["title"])) <= 60 for image in images)
    data = re.sub("^.*,", "", str(images[0]["src"]))
    assert max(Image.open(io.BytesIO(b64decode(data))).size) == SIDE
    assert "3 more classes" in parts.text
    assert len(repr(dataset)) < 600


def test_a_picture_that_cannot_be_read_is_shown_by_its_name(tmp_path: Path) -> None:
    root = a_folder(tmp_path, {"cat": 2, "dog": 1})
    whole = (root / "cat" / "00.png").read_bytes()
    (root / "cat" / "00.png").write_bytes(whole[:-30])
    parts = Parts(open_image_folders(root, 4)._repr_html_())
    assert len(parts.images()) == 2
    assert "00.png" in parts.text
