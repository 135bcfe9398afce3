"""The README's two pictures of a page that `cats.py` has written: `python -m benchmarks.page_pictures PAGE`.

Needs the extra `dev`, and Chromium. The pictures are written to examples/behind_network.png and behind_unit.png.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).parent.parent / "examples"
WIDTH, SCALE = 960, 1.5
COLOURS = 240  # of the palette, which keeps the files small


def main() -> None:
    """Open the page, and take a picture of its beginning, and one of a photograph's way with a unit's formula."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path, help="a file behind.html")
    page = parser.parse_args().page.resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE)
        tab.goto(page.as_uri())
        tab.wait_for_selector("main:not([aria-busy])")
        tab.locator("summary").click()
        save(tab.screenshot(clip=box(tab.evaluate(EDGES, ["header", "#network details"]))), "behind_network.png")
        tab.locator("#way button.cell").first.wait_for()
        tab.evaluate(STRONGEST)
        edges = tab.evaluate(EDGES, [".chosen", "#unit .detail-columns"])
        save(tab.screenshot(clip=box(edges), full_page=True), "behind_unit.png")
        browser.close()


STRONGEST = """() => {
    const units = [...document.querySelectorAll("#way .layer:nth-child(3) button.cell")];
    const size = (unit) => Math.abs(parseFloat(unit.textContent.replace("\u2212", "-")));
    units.reduce((best, each) => (size(each) > size(best) ? each : best)).click();
}"""
EDGES = """([first, last]) => [document.querySelector(first).getBoundingClientRect().top + scrollY,
    document.querySelector(last).getBoundingClientRect().bottom + scrollY]"""


def box(edges: list[float]) -> Any:
    """Return the part of the page between two heights, with some room around it."""
    top, bottom = edges
    return {"x": 0, "y": max(0.0, top - 24), "width": WIDTH, "height": bottom - top + 48}


def save(screenshot: bytes, name: str) -> None:
    """Write a picture with few colours."""
    with Image.open(io.BytesIO(screenshot)) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
