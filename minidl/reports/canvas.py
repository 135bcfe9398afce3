"""What drawings by Pillow share: colours, smooth shapes, text that fits, and writing a file in one step."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from minidl._files import FilePath, atomic_write

INK, GREY, GRID, PAPER = "#1c2530", "#58626d", "#e3e7eb", "#ffffff"
BLUE, ORANGE, GREEN, RED = "#1f5fae", "#b84a0b", "#2b7a4b", "#b3202c"
FINE = 4  # shapes are drawn at four times the size, so that edges come out smooth


def paint(
    picture: Image.Image, corner: tuple[int, int], size: tuple[int, int], colour: str,
    shape: Callable[[ImageDraw.ImageDraw], None],
) -> None:  # fmt: skip
    """Draw a shape in one colour on the picture; `shape` draws it with fill 255 on a canvas FINE times `size`."""
    mask = Image.new("L", (size[0] * FINE, size[1] * FINE))
    shape(ImageDraw.Draw(mask))
    picture.paste(colour, (*corner, corner[0] + size[0], corner[1] + size[1]), mask.reduce(FINE))


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that is part of Pillow."""
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise ValueError("Pillow: expected one built with FreeType, which draws the text of the pictures")
    return found


def plain(text: str) -> str:
    """Return `text` on one line in the letters that the font has: accents are dropped, other scripts become '?'."""
    letters = (c for c in unicodedata.normalize("NFKD", " ".join(text.split())) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode()


def shortened(text: str, size: int, width: float) -> str:
    """Return `text` in the font's letters, cut off with an ellipsis where it is wider than `width` pixels."""
    text, measure = plain(text), font(size).getlength
    if measure(text) <= width:
        return text
    while text and measure(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."


def wrapped(text: str, size: int, width: float) -> list[str]:
    """Return `text` as lines of at most `width` pixels, broken between words."""
    lines, measure = [""], font(size).getlength
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and measure(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def save(picture: Image.Image, path: FilePath) -> None:
    """Write a PNG, whole or not at all, so that a failure leaves what was there before."""
    with atomic_write(path) as file:
        picture.save(file, format="PNG", optimize=True)
