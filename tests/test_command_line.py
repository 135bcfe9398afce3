"""What the examples print when something goes wrong, and their exit statuses."""

from __future__ import annotations

import argparse
import sys
import warnings

import command_line
import photographs
import pytest
from command_line import errors_as_one_line


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as end, errors_as_one_line("program"):
        raise error
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("rate: expected\nless"), 2, "program: error: rate: expected\\nless\n"),
        (FileNotFoundError(2, "No such file", "a\nb"), 2, "program: error: [Errno 2] No such file: 'a\\nb'\n"),
        (FloatingPointError("epoch 3"), 2, "program: error: epoch 3\n"),
        (MemoryError("Unable to allocate 9 TiB"), 2, "program: error: not enough memory: Unable to allocate 9 TiB\n"),
        (MemoryError(), 2, "program: error: not enough memory\n"),
        (KeyboardInterrupt(), 130, "\nprogram: interrupted\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_a_person_causes_is_one_line(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, capsys) == (status, message)


@pytest.mark.parametrize(
    "error", [UnicodeEncodeError("ascii", "ä", 0, 1, "no"), TypeError("a bug"), IndexError("a bug")], ids=repr
)
def test_a_bug_shows_where_it_is(error: Exception) -> None:
    with pytest.raises(type(error)), errors_as_one_line("program"):
        raise error


def test_a_warning_is_one_line_and_the_handler_goes_back(capsys: pytest.CaptureFixture[str]) -> None:
    handler = warnings.showwarning
    with warnings.catch_warnings(), errors_as_one_line("program"):
        warnings.simplefilter("always")
        warnings.warn("the cost\nstays", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "program: warning: the cost\\nstays\n"
    assert warnings.showwarning is handler


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1", "0", "1.5e400"])
def test_numbers_that_are_none(text: str) -> None:
    for parse, expected in (
        (command_line.whole_number(1), "a whole number"),
        (command_line.POSITIVE, "a finite number"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=f"expected {expected} .*, received {text!r}"):
            parse(text)


def test_one_line() -> None:
    assert command_line.one_line("Kätzchen 1\n\t\udcff\x1b[0m.jpg") == r"Kätzchen 1\n\t\udcff\x1b[0m.jpg"


def test_progress_of_reading_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert photographs.progress_of_reading() is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = photographs.progress_of_reading()
    assert show is not None
    for done in range(1, 121):
        show(done, 120)
    shown = capsys.readouterr().err
    assert shown.split("\r")[1:] == [f"reading photographs: {done} of 120" for done in (50, 100)] + [
        "reading photographs: 120 of 120\n"
    ]
