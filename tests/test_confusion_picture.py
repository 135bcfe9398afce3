"""The confusion matrix as a picture: its colours are the shares, and no name, number of classes or count spoils it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from confusion_picture import LARGEST, draw_confusion_matrix
from PIL import Image

from minidl._typing import Array
from minidl.reports import ClassificationReport
from minidl.reports.canvas import BLUE, PAPER


def pixels(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def rgb(colour: str) -> Array:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def test_the_colours_are_the_shares_of_the_rows(tmp_path: Path) -> None:
    matrix = np.array([[9, 0, 1], [0, 0, 0], [5, 20, 25]])
    draw_confusion_matrix(ClassificationReport(("a", "b", "c"), matrix), tmp_path / "c.png")
    picture = pixels(tmp_path / "c.png")
    darkest = np.round(rgb(PAPER) + 0.9 * (rgb(BLUE) - rgb(PAPER)))
    found = np.argwhere((picture == darkest).all(axis=2))
    top, left = found.min(axis=0) - 1  # the cell's line
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for (i, j), share in np.ndenumerate(shares):
        corner = picture[top + i * LARGEST + 4, left + j * LARGEST + 4]
        np.testing.assert_array_equal(corner, np.round(rgb(PAPER) + share * (rgb(BLUE) - rgb(PAPER))))


@pytest.mark.parametrize(
    ("classes", "name"),
    [(2, "cat"), (2, "Kätzchen 猫\n" + "and more" * 30), (2, ""), (16, "quite a long name"), (40, "n"), (150, "n")],
    ids=["2", "long and odd names", "no names", "16", "40", "150"],
)
@pytest.mark.parametrize("count", [7, 1_234_567], ids=["few", "many"])
def test_nothing_is_cut_off_at_the_edges(classes: int, name: str, count: int, tmp_path: Path) -> None:
    report = ClassificationReport(tuple(f"{name}{i}" for i in range(classes)), count * np.eye(classes, dtype=int))
    with np.errstate(all="raise"):
        draw_confusion_matrix(report, tmp_path / "c.png")
    picture = pixels(tmp_path / "c.png")
    assert picture.shape[0] < 1400
    assert picture.shape[1] < 1400
    border = np.concatenate([picture[:8].ravel(), picture[-8:].ravel(), *picture[:, :12], *picture[:, -12:]], axis=None)
    assert (border == 255).all()
    assert (picture == rgb(BLUE)).all(axis=2).any()


def test_a_number_stands_in_each_cell_with_room_for_the_largest(tmp_path: Path) -> None:
    for largest, numbers in ((99_999, True), (1_234_567_890, False)):
        matrix = np.array([[largest, 0], [0, largest]])
        draw_confusion_matrix(ClassificationReport(("a", "b"), matrix), tmp_path / "c.png")
        picture = pixels(tmp_path / "c.png")
        top, left = np.argwhere((picture == rgb(BLUE)).all(axis=2)).min(axis=0)
        inside = picture[top + 4 : top + LARGEST - 4, left + 4 : left + LARGEST - 4]
        assert (inside == 255).all(axis=2).any() == numbers
