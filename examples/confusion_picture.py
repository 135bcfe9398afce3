"""The confusion matrix as a picture: how often each class was taken for each; drawn by Pillow alone."""

from __future__ import annotations

import os

from PIL import Image, ImageDraw

from minidl.reports import ClassificationReport
from minidl.reports.canvas import BLUE, GREY, GRID, INK, PAPER, font, plain, save, shortened, wrapped

MARGIN, TOP = 32, 96
CELLS = 720  # pixels a side of all cells together, where these are neither at their largest nor at their smallest
LARGEST, SMALLEST = 72, 4  # pixels a side of a cell
NAMED = 18  # pixels a side of a cell up from which there is room for the names
LONGEST = 200  # pixels of a name
WIDEST_NUMBER = 0.9  # of a cell
FONT_SIZES = range(20, 9, -1)  # of the numbers


def draw_confusion_matrix(report: ClassificationReport, path: str | os.PathLike[str]) -> None:
    """Draw the matrix of a report as a PNG: a row for each class, a column for each that it was taken for.

    A cell is the darker, the larger its share of the row. Of very many classes the picture has neither names nor
    numbers.

    Raises: OSError for a file that cannot be written, whose folder is then as it was.
    """
    k = len(report.class_names)
    cell = max(SMALLEST, min(LARGEST, CELLS // k))
    names = [shortened(name, _name_size(cell), LONGEST) for name in report.class_names] if cell >= NAMED else []
    longest = max((font(_name_size(cell)).getlength(name) for name in names), default=0)
    upright = longest > cell - 8
    left, under = MARGIN + 28 + int(longest) + 10, (int(longest) if upright else _name_size(cell)) + 44
    right = int(report.matrix.trace())
    title = f"{right:,} of {report.support.sum():,} test photographs right ({100 * report.accuracy:.1f} %)"
    width = max(left + cell * k, MARGIN + int(font(24).getlength(title)) + 1) + MARGIN
    text = "Each row is a true class, each column what the network says; what is right is on the diagonal."
    notes = wrapped(text, 15, width - 2 * MARGIN)
    top = TOP - 22 + 22 * len(notes)
    picture = Image.new("RGB", (width, top + cell * k + under + MARGIN // 2), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN - 8), title, INK, font(24))
    for line, note in enumerate(notes):
        draw.text((MARGIN, MARGIN + 26 + 22 * line), note, GREY, font(15))
    _draw_cells(draw, report, (left, top), cell)
    _draw_names(picture, names, (left, top), cell, upright)
    middle = cell * k // 2
    _upwards(picture, "true class", (MARGIN + 8, top + middle), 15, GREY, "mm")
    draw.text((left + middle, top + cell * k + under - 8), "the network says", GREY, font(15), anchor="ms")
    save(picture, path)


def _name_size(cell: int) -> int:
    """Return the size of the names beside cells of so many pixels."""
    return max(12, min(16, cell // 2))


def _draw_cells(draw: ImageDraw.ImageDraw, report: ClassificationReport, corner: tuple[int, int], cell: int) -> None:
    """Draw the cells in shades from paper to blue, with their numbers where even the largest fits."""
    left, top = corner
    largest, room = f"{report.matrix.max():,}", WIDEST_NUMBER * cell
    size = next((size for size in FONT_SIZES if size < cell / 2 and font(size).getlength(largest) <= room), None)
    line = GRID if cell >= NAMED else None
    for i, (row, support) in enumerate(zip(report.matrix.tolist(), report.support.tolist(), strict=True)):
        for j, count in enumerate(row):
            share = count / support if support else 0.0
            x, y = left + j * cell, top + i * cell
            draw.rectangle((x, y, x + cell, y + cell), _shade(share), line)
            if size is not None:
                ink = PAPER if share > 0.8 else INK if count else GREY
                draw.text((x + cell / 2, y + cell / 2), f"{count:,}", ink, font(size), anchor="mm")


def _shade(share: float) -> tuple[int, int, int]:
    """Return the colour between paper, for a share of 0, and blue, for 1."""
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (PAPER, BLUE)]
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(*ends, strict=True))
    return red, green, blue


def _draw_names(picture: Image.Image, names: list[str], corner: tuple[int, int], cell: int, upright: bool) -> None:
    """Write the names at the left of the rows and under the columns, there upwards where they are wider than a cell."""
    draw, (left, top), size = ImageDraw.Draw(picture), corner, _name_size(cell)
    for i, name in enumerate(names):
        middle = i * cell + cell // 2
        draw.text((left - 10, top + middle), name, INK, font(size), anchor="rm")
        below = top + len(names) * cell + 10
        if upright:
            _upwards(picture, name, (left + middle, below), size, INK, "rm")
        else:
            draw.text((left + middle, below), name, INK, font(size), anchor="ma")


def _upwards(picture: Image.Image, text: str, place: tuple[int, int], size: int, colour: str, anchor: str) -> None:
    """Write text that reads upwards: its end at `place` for the anchor "rm", its middle for "mm"."""
    mask = Image.new("L", (max(1, round(font(size).getlength(plain(text)))), size + 8))
    ImageDraw.Draw(mask).text((0, mask.height / 2), plain(text), 255, font(size), anchor="lm")
    turned = mask.transpose(Image.Transpose.ROTATE_90)
    x, y = place[0] - turned.width // 2, place[1] - (turned.height // 2 if anchor == "mm" else 0)
    picture.paste(colour, (x, y, x + turned.width, y + turned.height), turned)
