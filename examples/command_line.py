"""What the examples share as programs: numbers as options, one line for a mistake, a clean end.

It stands on the standard library alone, so that a script has it before the slower imports.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED, MISTAKE, READER_GONE = 130, 2, 141  # as a shell reports Ctrl-C, a usage error, and SIGPIPE


@contextmanager
def ending_well(program: str) -> Iterator[None]:
    """End the program with one line and a status where a person, not a bug, is the cause.

    A mistake in options or files, too little memory and a missing extra end with status 2, Ctrl-C with 130; a reader
    of the output that has had enough, as in `| head`, ends it without a word. Warnings are shown as one line each.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a file may hold what the terminal cannot show
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(
                f"{program}: warning: {one_line(message)}", file=sys.stderr
            )
            yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the interpreter's end
        raise SystemExit(READER_GONE) from None
    except KeyboardInterrupt:
        _end(f"\n{program}: interrupted", INTERRUPTED)
    except MemoryError as error:
        _end(f"{program}: error: not enough memory{': ' if str(error) else ''}{one_line(error)}", MISTAKE)
    except UnicodeError:  # a ValueError, but none of a person's making
        raise
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        _end(f"{program}: error: {one_line(error)}", MISTAKE)


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(status) from None


def one_line(text: object) -> str:
    """Return a text, such as a path, with line breaks and whatever else does not print written as escapes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    print(f"[{part} took {time.perf_counter() - start:.1f} s]", flush=True)


def whole_number(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers of at least `least`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, received {text!r}")
        return value

    return parse


def number(expected: str, low: float, high: float) -> Callable[[str], float]:
    """Return a parser of numbers above `low` and below `high`, which `expected` puts in words."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"expected {expected}, received {text!r}")
        return value

    return parse


POSITIVE = number("a finite number above 0", 0, float("inf"))
SHARE = number("a share between 0 and 1", 0, 1)
