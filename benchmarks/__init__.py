"""Measurements behind the README's figures, one claim a file: `python -m benchmarks`."""
