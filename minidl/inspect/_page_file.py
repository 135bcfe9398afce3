"""The page as one file: its HTML, style and script put together, with data that no name in it can break out of."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from minidl.inspect._network_data import network_script

SCRIPTS = (
    "elements", "pictures", "bicubic", "photo_file", "engine", "figure", "run", "moments", "layer_rows", "unit",
    "way", "way_back", "answers", "page",
)  # fmt: skip
"""The files of the page's own script in their order; each has one idea, and all share one scope."""

PACKED = 2**16
"""Characters of base64 from which weights are compressed: exponents repeat, which saves 15 % of the article's."""


def html_of(title: str, data: dict[str, Any]) -> bytes:
    """Return the file: a policy that allows no request, the style, the data as JSON, and the script.

    >>> b"<b>" in html_of("<b>", {})
    False
    """
    style = _text("page.css")
    parts = [_text(f"{name}.js") for name in SCRIPTS]
    script = "\n".join([network_script(), "(() => {", '"use strict";', *parts, "})();", ""])
    values = {
        "policy": "; ".join([
            "default-src 'none'", f"script-src {_source(script)}", f"style-src {_source(style)}",
            "img-src data: blob:", "base-uri 'none'", "form-action 'none'",
        ]),
        "title": escape(title), "style": style, "script": script, "data": json_in_html(data),
    }  # fmt: skip
    # One pass, so that braces in a name are never taken for a place of the template.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: values[place[1]], _text("page.html")).encode("utf-8", "replace")


def json_in_html(data: Any) -> str:
    """Return JSON in ASCII, in which no `<` could end the element that it stands in.

    >>> json_in_html({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def packed(network: dict[str, Any]) -> dict[str, Any]:
    """Compress the large weights of a network's description in place, and return it.

    The bytes of float32 numbers are put in four rows, one for each place in the number, of which the exponents' row is
    far shorter when compressed. The page undoes it (`inflated` in pictures.js) before the network is built.
    """
    for weight in network["weights"].values():
        text = weight["data"]
        if isinstance(text, str) and len(text) >= PACKED:
            rows = np.frombuffer(b64decode(text), np.uint8).reshape(-1, 4).T
            weight["data"] = {"deflate": b64encode(zlib.compress(rows.tobytes(), 6)).decode("ascii")}
    for child in network["children"]:
        packed(child)
    return network


def _text(name: str) -> str:
    return (files("minidl.inspect") / "page" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return how a content policy names a text: browsers compare the hash of what stands between the tags."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
