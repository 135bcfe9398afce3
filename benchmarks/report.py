"""Comparisons as lines for people and as JSON for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.comparison import Comparison
from benchmarks.machine import describe

SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


def show(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Print each comparison as soon as it is made, and return them all."""
    shown = []
    for comparison in comparisons:
        print(table(comparison), end="\n\n", flush=True)
        shown.append(comparison)
    return shown


def table(comparison: Comparison) -> str:
    """Return the job and, of each rival, median, lowest and highest, its ratio to minidl, and the target."""
    lines = [comparison.job]
    for name, values in comparison.values.items():
        if not values:
            lines.append(f"  {name:<28}not installed")
            continue
        low, high = quantity(min(values), comparison.unit), quantity(max(values), comparison.unit)
        line = f"  {name:<28}{quantity(statistics.median(values), comparison.unit):>9}   ({low} to {high})"
        ratio = "" if name == comparison.first else f"{comparison.ratio(name):.3g}x"
        lines.append(f"{line:<64}{ratio:>8}{verdict(comparison, name)}".rstrip())
    return "\n".join(lines)


def verdict(comparison: Comparison, name: str) -> str:
    """Return the target of this rival's line and whether it is met, nothing where there is no target."""
    if name not in comparison.targets:
        return ""
    target = comparison.targets[name]
    unit = comparison.unit if name == comparison.first else "x"
    return f"   target {target} {unit}: {'met' if target.met_by(comparison.figure(name)) else 'MISSED'}"


def quantity(value: float, unit: str) -> str:
    """Return a figure with its unit, short times in ms or us.

    >>> quantity(0.00123, "s"), quantity(95.0, "MB")
    ('1.23 ms', '95 MB')
    """
    if unit == "s":
        scale, unit = next((pair for pair in SCALES if abs(value) >= pair[0]), SCALES[-1])
        value /= scale
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:.0f} {unit}"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON values, every repetition included."""
    rivals = {}
    for name, values in comparison.values.items():
        rivals[name] = entry = {"installed": bool(values), "values": list(values)}
        if values:
            entry |= {"median": statistics.median(values), "ratio": comparison.ratio(name)}
        if values and name in comparison.targets:
            target = comparison.targets[name]
            entry |= {"target": str(target), "met": target.met_by(comparison.figure(name))}
    return {"job": comparison.job, "unit": comparison.unit, "rivals": rivals}


def write_json(path: Path, claims: dict[str, list[Comparison]]) -> None:
    """Write machine, versions and all comparisons under their claims' names."""
    found = {claim: [as_json(comparison) for comparison in comparisons] for claim, comparisons in claims.items()}
    path.write_text(json.dumps({"machine": describe(), "claims": found}, indent=1) + "\n", encoding="utf-8")
