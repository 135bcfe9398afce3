"""Small pieces of HTML that notebooks show: tables and curves, without a library, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 360, 200, 44  # of one drawing, in pixels
POINTS = 400  # of a curve at most, one a pixel
DASHES = ("", "6 3", "2 3")  # by which curves are told apart, also without colours


def paragraph(text: str) -> str:
    """Return a paragraph.

    >>> paragraph("a < b")
    '<p>a &lt; b</p>'
    """
    return f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, whose rows begin with their names.

    >>> table(["", "a"], [["<b>", "1"]])
    '<table><tr><th></th><th>a</th></tr><tr><th>&lt;b&gt;</th><td>1</td></tr></table>'
    """
    lines = [_row(header, names=len(header)), *(_row(row, names=1) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def _row(cells: Sequence[str], names: int) -> str:
    kinds = ["th"] * names + ["td"] * (len(cells) - names)
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for kind, cell in zip(kinds, cells, strict=True))}</tr>"


def curves(title: str, columns: Mapping[str, Sequence[float]]) -> str:
    """Return a drawing of numbers against their positions, one line a column; what is not finite leaves a gap.

    >>> curves("loss", {"loss": [2.0, 1.0]}).count("<polyline")
    1
    """
    finite = [value for column in columns.values() for value in column if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    last = max(1, max((len(column) for column in columns.values()), default=1) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-size="11" fill="currentColor">',
        f'<path d="M{MARGIN} 20V{HEIGHT - 30}H{WIDTH - 8}" stroke="currentColor" fill="none"/>',
        _text(4, 24, f"{high:.4g}"), _text(4, HEIGHT - 30, f"{low:.4g}"),
        _text(MARGIN, HEIGHT - 14, "1"), _text(WIDTH - 40, HEIGHT - 14, f"{last + 1}"),
    ]  # fmt: skip
    for i, (name, column) in enumerate(columns.items()):
        dashes = DASHES[i % len(DASHES)]
        style = f'fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="{dashes}"'
        parts += [f'<polyline points="{points}" {style}/>' for points in _lines(column, last, low, high)]
        parts.append(f'<path d="M{MARGIN + 90 * i} 10h24" {style}/>')
        parts.append(_text(MARGIN + 28 + 90 * i, 14, name))
    return "".join([*parts, "</svg>"])


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(text)}</text>'


def _lines(column: Sequence[float], last: int, low: float, high: float) -> list[str]:
    """Return the coordinates of the lines between gaps."""
    lines: list[list[str]] = [[]]
    for i in range(0, len(column), max(1, math.ceil(len(column) / POINTS))):
        if not math.isfinite(column[i]):
            lines.append([])
            continue
        share = 0.5 if high == low else (column[i] / 2 - low / 2) / (high / 2 - low / 2)  # halves of any size have one
        x, y = MARGIN + (WIDTH - 8 - MARGIN) * i / last, HEIGHT - 30 - (HEIGHT - 50) * share
        lines[-1].append(f"{x:.1f},{y:.1f}")
    return [" ".join(line) for line in lines if line]
