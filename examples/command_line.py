"""What the examples share as programs: parsers of numeric options, errors as one line, exit statuses.

It imports the standard library alone, so that a script can use it before the slower imports.
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

INTERRUPTED, MISTAKE, BROKEN_PIPE = 130, 2, 141  # as a shell reports Ctrl-C, a usage error, and SIGPIPE


@contextmanager
def errors_as_one_line(program: str) -> Iterator[None]:
    """End the program with one line on standard error and a status where the user, not a bug, is the cause.

    A mistake in options or files, too little memory and a missing extra give status 2, Ctrl-C gives 130. A closed
    pipe, as in `| head`, ends the program with status 141 and no message. Warnings are shown as one line each.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # file names may have characters that the terminal cannot show
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(
                f"{program}: warning: {one_line(message)}", file=sys.stderr
            )
            yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when the interpreter exits
        raise SystemExit(BROKEN_PIPE) from None
    except KeyboardInterrupt:
        _end(f"\n{program}: interrupted", INTERRUPTED)
    except MemoryError as error:
        _end(f"{program}: error: not enough memory{': ' if str(error) else ''}{one_line(error)}", MISTAKE)
    except UnicodeError:  # a ValueError, but not the user's mistake
        raise
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        _end(f"{program}: error: {one_line(error)}", MISTAKE)


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(status) from None


def one_line(text: object) -> str:
    """Return a text, such as a path, with line breaks and other characters that do not print as escapes."""
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
    """Return a parser of numbers above `low` and below `high`, which `expected` describes."""

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
