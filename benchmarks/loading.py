"""Loading photographs: `load_image_folders` and the plain loop that one writes with Pillow.

    python -m benchmarks.loading [FOLDER FOLDER ...]

Without folders it draws 1,652 JPEGs of about 200 x 150 pixels, as many and as large as the photographs in the README,
and 60 of 2,400 x 1,800, the size of a small camera's. Both sides resize to 128 x 128 with the same filter.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.report import show
from minidl._typing import Array
from minidl.data import load_image_folders

SIZE = 128


def measure(folders: Sequence[str] = ()) -> Iterable[Comparison]:
    if folders:
        yield loading([Path(folder) for folder in folders])
        return
    with tempfile.TemporaryDirectory() as name:
        for count, size in ((1652, (200, 150)), (60, (2400, 1800))):
            yield loading(draw(Path(name) / f"{size[0]}x{size[1]}", count, size))


def loading(folders: list[Path]) -> Comparison:
    return compare(
        f"loading {len(plain_loop(folders))} pictures of {', '.join(str(f) for f in folders)} at {SIZE} px",
        {
            "minidl": timed(lambda: load_image_folders({str(f): f for f in folders}, (SIZE, SIZE))),
            "plain loop with Pillow": timed(lambda: plain_loop(folders)),
        },
        repetitions=5,
        targets={"plain loop with Pillow": Target(at_least=2.0)},
    )


def plain_loop(folders: Sequence[Path]) -> Array:
    pictures = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)))
    return np.stack(pictures)


def draw(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write `count` JPEGs into two folders: smooth shapes with some noise, about as hard to decode as photographs."""
    rng = np.random.default_rng(0)
    folders = [folder / "a", folder / "b"]
    for path in folders:
        path.mkdir(parents=True)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(size)
        pixels = np.asarray(coarse) + rng.normal(0, 8, (size[1], size[0], 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folders[i % 2] / f"{i:04}.jpg", quality=85)
    return folders


if __name__ == "__main__":
    show(measure(sys.argv[1:]))
