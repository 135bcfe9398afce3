"""Run all attacks, or those that are named, and print a line of each.

    python -m benchmarks.attacks [NAME ...] [--full] [--seed N]

The status is 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.attacks.catalogue import ATTACKS
from benchmarks.attacks.isolation import run_apart

SHOWN = 10  # losses of an attack


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description="Attack minidl.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ATTACKS)} (default: all)")
    parser.add_argument("--full", action="store_true", help="try as often as it takes to find what is rare")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draw other attempts (default: 0)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ATTACKS]
    if unknown:
        parser.error(f"unknown attack {', '.join(unknown)}; expected some of {', '.join(ATTACKS)}")
    lost = 0
    for name in options.names or ATTACKS:
        counts, start = ATTACKS[name], time.perf_counter()
        count, timeout = (counts.full, 7200) if options.full else (counts.small, 600)
        outcome = run_apart(name, count, options.seed, timeout)
        print(outcome.line(time.perf_counter() - start), flush=True)
        for description in outcome.lost[:SHOWN]:
            print(f"    lost: {description}", flush=True)
        lost += len(outcome.lost)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
