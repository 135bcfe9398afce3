"""Comparisons as lines for people and as JSON for programs."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.comparison import BEST_PEER, Comparison, Target
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
    """Return the job, of each rival median, lowest and highest, its ratio to minidl and the target, and the best peer.

    Where the limit of the machine is known, each rival's line says which share of it the median reaches.
    """
    lines = [comparison.job]
    if comparison.limit is not None:
        least = quantity(comparison.limit.seconds, "s")
        lines.append(f"  {'limit of the machine':<28}{least:>9}   ({comparison.limit.cause})")
    for name, values in comparison.values.items():
        if not values:
            lines.append(f"  {name:<28}not installed")
            continue
        low, high = quantity(min(values), comparison.unit), quantity(max(values), comparison.unit)
        line = f"  {name:<28}{quantity(statistics.median(values), comparison.unit):>9}   ({low} to {high})"
        ratio = "" if name == comparison.first else f"{comparison.ratio(name):.3g}x"
        share = "" if comparison.limit is None else f"  {share_of_limit(comparison, name):>6} of the limit"
        lines.append(f"{line:<64}{ratio:>8}{share}{verdict(comparison, name)}".rstrip())
    best = comparison.best_peer
    if BEST_PEER in comparison.targets and best is not None:
        line = f"  {BEST_PEER + ': ' + best:<62}{comparison.ratio(best):>7.3g}x"
        target = comparison.targets[BEST_PEER]
        lines.append(line + judged(target, "x", comparison.ratio(best)))
    return "\n".join(lines)


def share_of_limit(comparison: Comparison, name: str) -> str:
    """Return the limit's time over the rival's in percent."""
    assert comparison.limit is not None
    percent = 100 * comparison.limit.seconds / statistics.median(comparison.values[name])
    if percent < 0.01:
        return "<0.01%"
    return f"{percent:.2g}%" if percent < 99.5 else f"{percent:.0f}%"


def verdict(comparison: Comparison, name: str) -> str:
    """Return the target of this rival's line and whether it is met, nothing where there is no target."""
    if name not in comparison.targets:
        return ""
    return judged(
        comparison.targets[name], comparison.unit if name == comparison.first else "x", comparison.figure(name)
    )


def judged(target: Target, unit: str, value: float) -> str:
    """Return a target and whether a value meets it."""
    return f"   target {target} {unit}: {'met' if target.met_by(value) else 'MISSED'}"


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
    rivals: dict[str, Any] = {}
    for name, values in comparison.values.items():
        rivals[name] = entry = {"installed": bool(values), "values": list(values)}
        if values:
            entry |= {"median": statistics.median(values), "ratio": comparison.ratio(name)}
        if values and name in comparison.targets:
            entry |= held_to(comparison.targets[name], comparison.figure(name))
    found = {"job": comparison.job, "unit": comparison.unit, "rivals": rivals}
    if comparison.limit is not None:
        found["limit"] = asdict(comparison.limit)
    if BEST_PEER in comparison.targets and (best := comparison.best_peer) is not None:
        ratio = comparison.ratio(best)
        found["best_peer"] = {"name": best, "ratio": ratio, **held_to(comparison.targets[BEST_PEER], ratio)}
    return found


def held_to(target: Target, value: float) -> dict[str, Any]:
    """Return a target and whether a value meets it as JSON values."""
    return {"target": str(target), "met": target.met_by(value)}


def write_json(path: Path, claims: dict[str, list[Comparison]]) -> None:
    """Write machine, versions and all comparisons under their claims' names."""
    found = {claim: [as_json(comparison) for comparison in comparisons] for claim, comparisons in claims.items()}
    path.write_text(json.dumps({"machine": describe(), "claims": found}, indent=1) + "\n", encoding="utf-8")
