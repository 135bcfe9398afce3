"""A set of pictures as HTML for notebooks: a few thumbnails of each class."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from minidl._typing import Array
from minidl.errors import ImageFileError

CLASSES, PICTURES, SIDE, NAME = 10, 6, 64, 60
"""At most so many classes and pictures of each, the thumbnails' longer side in pixels, and characters of a name."""


class LabelledImages(Protocol):
    """What `ImageDataset` has."""

    @property
    def images(self) -> Any:
        """The pictures, uint8 (n, height, width, 3)."""

    @property
    def labels(self) -> Array:
        """The number of each picture's class."""

    @property
    def paths(self) -> Sequence[Path]:
        """The file of each picture."""

    @property
    def class_counts(self) -> dict[str, int]:
        """How many pictures each class has, in the order of the labels."""


def html_of(dataset: LabelledImages) -> str:
    """Return a table with a row for each class: its name, its number of pictures and the first of them.

    Only these are decoded; names are escaped and cut, and thumbnails are part of the text, at most `CLASSES` times
    `PICTURES` of them.
    """
    counts = dataset.class_counts
    rows = [
        f"<tr><th>{_text(name)}</th><td>{count:,}</td><td>{_thumbnails(dataset, label)}</td></tr>"
        for label, (name, count) in enumerate(list(counts.items())[:CLASSES])
    ]
    if len(counts) > CLASSES:
        rows.append(f'<tr><td colspan="3">and {len(counts) - CLASSES:,} more classes</td></tr>')
    return f"<div>{_text(repr(dataset), len(repr(dataset)))}</div><table>{''.join(rows)}</table>"


def _thumbnails(dataset: LabelledImages, label: int) -> str:
    rows = np.flatnonzero(dataset.labels == label)[:PICTURES]
    return "".join(_thumbnail(dataset, int(row)) for row in rows)


def _thumbnail(dataset: LabelledImages, row: int) -> str:
    name = _text(dataset.paths[row].name)
    try:
        image = Image.fromarray(np.asarray(dataset.images[row]))
    except ImageFileError as error:
        return f'<span title="{_text(error.reason)}">{name}</span>'
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "PNG")
    data = b64encode(file.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{name}" title="{name}">'


def _text(text: str, at_most: int = NAME) -> str:
    """Return a text of HTML; of names that are no Unicode, what can be shown."""
    cut = text if len(text) <= at_most else f"{text[: at_most - 1]}…"
    return escape(cut.encode("utf-8", "replace").decode("utf-8"))
