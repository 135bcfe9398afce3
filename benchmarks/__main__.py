"""Measure all claims, or those that are named, print a table of each and write JSON.

    python -m benchmarks [CLAIM ...] [--json FILE]

In a table the ratio says how many times minidl's figure the rival's is: above 1, minidl is the faster or smaller one.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.machine import description
from benchmarks.report import show, write_json

CLAIMS = (
    "article",
    "article_step",
    "mini_batch",
    "wide",
    "serving",
    "overhead",
    "watching",
    "convnet",
    "lstm",
    "characters",
    "scaling",
    "growth",
    "loading",
    "lazy_epoch",
    "estimators",
    "distributed",
    "import_time",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure minidl and its peers.")
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"{', '.join(CLAIMS)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure here")
    options = parser.parse_args()
    unknown = [claim for claim in options.claims if claim not in CLAIMS]
    if unknown:
        parser.error(f"unknown claim {', '.join(unknown)}; expected some of {', '.join(CLAIMS)}")
    print(description(), end="\n\n", flush=True)
    found = {}
    for claim in options.claims or CLAIMS:
        module = importlib.import_module(f"benchmarks.{claim}")
        title = str(module.__doc__).partition("\n")[0]
        print(f"== {claim}: {title}", flush=True)
        found[claim] = show(module.measure())
    if options.json is not None:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
