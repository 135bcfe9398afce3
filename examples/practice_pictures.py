"""Practice pictures for the examples on a machine without photographs: drawings of cats and of seven other things."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour: TypeAlias = tuple[int, int, int]
SIZE = 128  # pixels a side of the finished picture
CANVAS = 2 * SIZE  # things are drawn at twice the size, so that edges come out smooth
FURS: tuple[Colour, ...] = (
    (60, 55, 55), (120, 115, 112), (205, 130, 60), (228, 216, 196), (96, 70, 48), (240, 240, 240),
)  # fmt: skip


def draw_practice_pictures(folder: Path, count: int = 200, seed: int = 0) -> tuple[Path, Path]:
    """Write `count` pictures of cats and `count` of other things, and return the two folders.

    The same seed gives the same pictures, wherever and how often they are drawn.
    """
    rng = np.random.default_rng(seed)
    others = THINGS[1:]
    folders = folder / "cats", folder / "others"
    for path in folders:
        path.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        _picture(_cat, rng).save(folders[0] / f"cat-{i:03}.png")
        _picture(others[i % len(others)], rng).save(folders[1] / f"{others[i % len(others)].__name__[1:]}-{i:03}.png")
    return folders


def draw_practice_classes(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """Write `count` pictures of each of eight things, a sub-folder for each, and return the folder."""
    rng = np.random.default_rng(seed)
    for thing in THINGS:
        path = folder / thing.__name__[1:]
        path.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            _picture(thing, rng).save(path / f"{i:03}.png")
    return folder


class _Brush:
    """Draws shapes in the coordinates of a thing of size 2 around (0, 0); its place, size and angle are random."""

    def __init__(self, canvas: Image.Image, rng: np.random.Generator) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.scale = CANVAS * rng.uniform(0.32, 0.44)
        self.centre = CANVAS * rng.uniform(0.44, 0.56, size=2)
        angle = rng.normal(0, 0.12)
        mirror, cos, sin = rng.choice((-1, 1)), math.cos(angle), math.sin(angle)
        self.matrix = np.array([[cos * mirror, -sin], [sin * mirror, cos]])

    def points(self, xy: list[tuple[float, float]]) -> list[tuple[float, float]]:
        placed = np.array(xy) @ self.matrix.T * self.scale + self.centre
        return [(float(x), float(y)) for x, y in placed]

    def polygon(self, xy: list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon(self.points(xy), fill=colour)

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        turn = np.linspace(0, 2 * math.pi, 40)
        outline = np.stack([x + width * np.cos(turn), y + height * np.sin(turn)], axis=1)
        self.polygon([(float(a), float(b)) for a, b in outline], colour)

    def line(self, xy: list[tuple[float, float]], width: float, colour: Colour) -> None:
        self.draw.line(self.points(xy), fill=colour, width=max(1, round(width * self.scale)), joint="curve")


def _picture(thing: Callable[[_Brush, np.random.Generator], None], rng: np.random.Generator) -> Image.Image:
    """Return one finished picture: background, clutter, the thing, light from one side, and blur."""
    canvas = _background(rng)
    thing(_Brush(canvas, rng), rng)
    pixels = np.asarray(canvas.resize((SIZE, SIZE)), dtype=np.float64)
    angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.35)
    rows, columns = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    light = rng.uniform(0.75, 1.2) * (1 + strength * (columns * math.cos(angle) + rows * math.sin(angle)))
    pixels = pixels * light[..., None] * rng.uniform(0.92, 1.08, size=3) + rng.normal(0, 6, size=pixels.shape)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 0.8)))


def _background(rng: np.random.Generator) -> Image.Image:
    tint = rng.normal(0, 18, size=3)
    top, bottom = rng.uniform(110, 200) + tint, rng.uniform(90, 180) + tint
    t = np.linspace(0, 1, CANVAS)[:, None, None]
    rows = (top * (1 - t) + bottom * t).astype(np.uint8)
    canvas = Image.fromarray(np.broadcast_to(rows, (CANVAS, CANVAS, 3)).copy())
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(1, 6)):
        x, y, width, height = rng.uniform(-40, CANVAS, size=2).tolist() + rng.uniform(15, 80, size=2).tolist()
        shape = draw.rectangle if rng.random() < 0.5 else draw.ellipse
        shape((x, y, x + width, y + height), fill=_colour(rng, 80, 200))
    return canvas


def _colour(rng: np.random.Generator, low: int = 30, high: int = 230) -> Colour:
    r, g, b = (int(value) for value in rng.integers(low, high, size=3))
    return r, g, b


def _shade(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(255, int(value * factor)) for value in colour)
    return r, g, b


def _fur(rng: np.random.Generator) -> Colour:
    return _shade(FURS[rng.integers(len(FURS))], rng.uniform(0.8, 1.15))


def _face(brush: _Brush, rng: np.random.Generator, x: float, y: float, iris: Colour, slit: float) -> None:
    for side in (-1, 1):
        brush.ellipse(x + side * 0.17, y - 0.06, 0.085, rng.uniform(0.05, 0.09), iris)
        brush.ellipse(x + side * 0.17, y - 0.06, slit, 0.06, (15, 15, 15))


def _cat(brush: _Brush, rng: np.random.Generator) -> None:
    """A cat: pointed ears, slit eyes, whiskers, a long tail; sitting or lying, plain or striped."""
    fur = _fur(rng)
    dark, light = _shade(fur, 0.62), _shade(fur, 1.25)
    lying = rng.random() < 0.45
    x, y = (-0.62, -0.1) if lying else (rng.uniform(-0.15, 0.15), -0.45)
    sway = rng.uniform(-0.3, 0.3)
    brush.line([(0.55, 0.6), (0.95, 0.45), (1.05, 0.05 + sway), (0.85 + sway, -0.3)], 0.13, dark)
    if lying:
        brush.ellipse(0.1, 0.35, 0.8, 0.38, fur)
        for paw in (-0.5, -0.25):
            brush.ellipse(paw, 0.68, 0.18, 0.09, light)
    else:
        brush.ellipse(0.05, 0.38, 0.48, 0.6, fur)
        for paw in (-0.15, 0.22):
            brush.ellipse(paw, 0.92, 0.15, 0.1, light)
    if rng.random() < 0.5:
        for stripe in np.linspace(-0.2, 0.5, 4):
            brush.line([(stripe, 0.05), (stripe + 0.06, 0.4)], 0.06, dark)
    for side in (-1, 1):
        brush.polygon([(x + side * 0.42, y - 0.12), (x + side * 0.36, y - 0.62), (x + side * 0.06, y - 0.33)], fur)
        inside = [(x + side * 0.36, y - 0.2), (x + side * 0.33, y - 0.5), (x + side * 0.14, y - 0.32)]
        brush.polygon(inside, (214, 150, 150))
    brush.ellipse(x, y, 0.44, 0.38, fur)
    _face(brush, rng, x, y, ((210, 190, 60), (120, 190, 90), (110, 170, 210))[rng.integers(3)], 0.025)
    brush.ellipse(x, y + 0.16, 0.17, 0.11, light)
    brush.polygon([(x - 0.05, y + 0.07), (x + 0.05, y + 0.07), (x, y + 0.13)], (200, 110, 120))
    for side in (-1, 1):
        for rise in (-0.06, 0.02, 0.1):
            brush.line([(x + side * 0.1, y + 0.14), (x + side * 0.55, y + 0.14 + rise)], 0.012, (235, 235, 235))


def _dog(brush: _Brush, rng: np.random.Generator) -> None:
    """A dog, the hardest of the other things: fur, head and legs like a cat's, but hanging ears and a long snout."""
    fur = _fur(rng)
    dark, light = _shade(fur, 0.62), _shade(fur, 1.25)
    brush.line([(0.6, 0.3), (0.95, -0.1)], 0.12, fur)
    brush.ellipse(0.15, 0.35, 0.62, 0.36, fur)
    for leg in (-0.3, -0.1, 0.4, 0.6):
        brush.line([(leg, 0.5), (leg, 0.98)], 0.15, dark)
    brush.ellipse(-0.42, -0.25, 0.4, 0.38, fur)
    for side in (-1, 1):
        brush.ellipse(-0.42 + side * 0.4, -0.1, 0.13, 0.35, dark)
    brush.ellipse(-0.5, -0.02, 0.25, 0.18, light)
    brush.ellipse(-0.55, -0.1, 0.09, 0.06, (25, 20, 20))
    _face(brush, rng, -0.42, -0.25, (70, 45, 25), 0.05)


def _house(brush: _Brush, rng: np.random.Generator) -> None:
    wall = _colour(rng)
    brush.polygon([(-0.8, -0.1), (0.8, -0.1), (0.8, 0.9), (-0.8, 0.9)], wall)
    brush.polygon([(-0.95, -0.1), (0, rng.uniform(-0.95, -0.5)), (0.95, -0.1)], _shade(_colour(rng), 0.7))
    brush.polygon([(-0.12, 0.4), (0.18, 0.4), (0.18, 0.9), (-0.12, 0.9)], _shade(wall, 0.5))
    for x in (-0.55, 0.45):
        brush.polygon([(x - 0.16, 0.1), (x + 0.16, 0.1), (x + 0.16, 0.4), (x - 0.16, 0.4)], (180, 210, 230))


def _car(brush: _Brush, rng: np.random.Generator) -> None:
    paint = _colour(rng)
    brush.polygon([(-0.5, 0.05), (-0.3, -0.4), (0.35, -0.4), (0.6, 0.05)], _shade(paint, 0.85))
    brush.polygon([(-0.36, 0.02), (-0.22, -0.3), (0.28, -0.3), (0.44, 0.02)], (190, 215, 230))
    brush.polygon([(-1, 0.05), (0.95, 0.0), (1, 0.5), (-1, 0.5)], paint)
    for x in (-0.55, 0.55):
        brush.ellipse(x, 0.5, 0.24, 0.24, (25, 25, 28))
        brush.ellipse(x, 0.5, 0.11, 0.11, (170, 170, 175))


def _tree(brush: _Brush, rng: np.random.Generator) -> None:
    brush.line([(0, 1), (0, 0)], 0.22, (95, 70, 45))
    leaf = _shade((70, 130, 60), rng.uniform(0.7, 1.4))
    for x, y in rng.normal((0, -0.3), (0.32, 0.25), size=(9, 2)):
        brush.ellipse(float(x), float(y), 0.34, 0.3, _shade(leaf, rng.uniform(0.8, 1.15)))


def _ball(brush: _Brush, rng: np.random.Generator) -> None:
    radius = rng.uniform(0.5, 0.85)
    colour = _fur(rng) if rng.random() < 0.5 else _colour(rng)
    brush.ellipse(0, 0.2, radius, radius, colour)
    brush.ellipse(-radius * 0.3, 0.2 - radius * 0.35, radius * 0.25, radius * 0.2, _shade(colour, 1.5))
    brush.line([(-radius * 0.9, 0.3), (0, 0.45), (radius * 0.9, 0.3)], 0.06, _shade(colour, 0.5))


def _fish(brush: _Brush, rng: np.random.Generator) -> None:
    colour = _colour(rng) if rng.random() < 0.6 else _fur(rng)
    brush.polygon([(0.5, 0), (1, -0.4), (1, 0.4)], _shade(colour, 0.7))
    brush.ellipse(-0.1, 0, 0.75, rng.uniform(0.28, 0.45), colour)
    brush.ellipse(-0.55, -0.08, 0.08, 0.08, (245, 245, 245))
    brush.ellipse(-0.56, -0.08, 0.04, 0.04, (10, 10, 10))


def _cup(brush: _Brush, rng: np.random.Generator) -> None:
    colour = _fur(rng) if rng.random() < 0.4 else _colour(rng)
    brush.ellipse(0.55, 0.2, 0.35, 0.35, colour)
    brush.ellipse(0.55, 0.2, 0.2, 0.2, _shade(colour, 0.5))
    brush.polygon([(-0.55, -0.5), (0.55, -0.5), (0.45, 0.8), (-0.45, 0.8)], colour)
    brush.ellipse(0, -0.5, 0.55, 0.15, _shade(colour, 0.6))


THINGS = (_cat, _dog, _house, _car, _tree, _ball, _fish, _cup)
