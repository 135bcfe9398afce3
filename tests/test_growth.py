"""How costs grow: the fitted line, the table, the command, and the limit of the machine that steps are held to."""

from __future__ import annotations

import doctest
import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import growth, roofline
from benchmarks.comparison import Comparison, Measurement
from benchmarks.fitting import Line, fitted
from benchmarks.growth import TINY, Growth, Size, call_of_epoch, epoch, main, summary


@pytest.mark.parametrize("name", ["fitting", "growth", "report", "roofline"])
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"benchmarks.{name}"), extraglobs={"math": math})
    assert result.attempted
    assert not result.failed


@given(
    st.floats(1e-6, 1e6),
    st.floats(-3, 3),
    st.integers(1, 1000),
    st.integers(2, 8),
    st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=8),
)
def test_the_fitted_line_is_that_of_the_upper_half(
    factor: float, exponent: float, first: int, count: int, noise: list[float]
) -> None:
    sizes = [first << i for i in range(count)]
    values = [factor * size**exponent for size in sizes]
    lower = min(count // 2, count - 2)
    values[:lower] = noise[:lower]
    line = fitted(sizes, values)
    assert line.exponent == pytest.approx(exponent, abs=1e-9)
    assert line.at(sizes[-1]) == pytest.approx(values[-1], rel=1e-9)
    if exponent > 0.1:
        assert line.at(line.reaches(123.0)) == pytest.approx(123.0, rel=1e-6)


def test_a_line_that_does_not_rise_never_fills_memory() -> None:
    assert math.isinf(Line(1.0, 0.0).reaches(10.0))
    assert math.isinf(Line(1.0, -0.1).reaches(10.0))
    assert math.isinf(Line(1.0, 1e-17).reaches(10.0))


def growing(name: str, seconds: list[float], megabytes: list[float]) -> Growth:
    sizes = [100 << i for i in range(len(seconds))]
    time = Comparison("time", "s", {f"{name} {size}": [value] for size, value in zip(sizes, seconds, strict=True)})
    memory = Comparison(
        "memory", "MB", {f"{name} {size}": [value] for size, value in zip(sizes, megabytes, strict=True)}
    )
    return Growth(name, sizes, base=50.0, time=time, memory=memory)


def test_exponents_and_the_end_of_memory_are_printed() -> None:
    samples = growing("samples", [9.0, 0.1, 0.2, 0.4], [9.0, 4.0, 8.0, 16.0])
    time, memory = samples.labelled()
    assert time.job == "time ~ samples^1.00"
    # 16 MB at 800 samples, of 24,000 MB less the 50 of the process: at 1,197,500, where an epoch takes 598.75 s.
    assert memory.job == "memory ~ samples^1.00; 24 GB are full at about 1,200,000"
    assert list(growing("depth", [0.4, 0.8], [1.0, 1.0]).labelled())[1].job == "memory ~ depth^0.00; it does not grow"
    batch = growing("batch", [0.4, 0.4], [1.0, 2.0])
    depth = growing("depth", [0.4, 0.8], [1.0, 1.0])
    assert [line.split() for line in summary([samples, batch, depth]).splitlines()[1:]] == [
        ["~", "samples^", "1.00", "1.00", "1,200,000", "599", "s"],
        ["~", "batch^", "0.00", "1.00", "2,400,000"],
        ["~", "depth^", "1.00", "0.00", "-"],
    ]


def test_an_epoch_trains_the_network_of_its_sizes() -> None:
    history = epoch(Size(samples=10, features=3, width=4, depth=2, batch=4))()
    assert len(history["loss"]) == 1  # type: ignore[index]


def test_the_command_measures_all_sizes_and_draws_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    calls = []

    def megabytes(module: str, before: str, call: str) -> Measurement:
        calls.append(call)
        return lambda: 10.0 * len(calls)

    monkeypatch.setattr("benchmarks.comparison.PAUSE", 0)
    monkeypatch.setattr(growth, "added_memory", megabytes)
    monkeypatch.setattr(growth, "peak_memory", lambda module, call: lambda: 50.0)
    main(["--quick", "--out", str(tmp_path / "growth.png")])
    printed = capsys.readouterr().out
    for name in Size._fields:
        assert f"~ {name}^" in printed
        first = getattr(TINY, name)
        assert f"  {name} {first} " in printed
        assert f"  {name} {2 * first} " in printed
        assert call_of_epoch(TINY._replace(**{name: 2 * first})) in calls
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_memory_is_that_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.comparison.PAUSE", 0)
    found = growth.growth("features", Size(1000, 10_000, 8, 1, 100), doublings=0, base=50.0)
    assert 40 < found.megabytes[0] < 400  # the samples are 40 MB


@pytest.mark.parametrize(
    ("out", "message"),
    [("growth.wrong", "expected a name that ends in one of"), ("missing/growth.png", "expected an existing folder")],
)
def test_a_file_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    out: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(growth, "growths", lambda axes: pytest.fail("measured"))
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / out)])
    assert message in capsys.readouterr().err


def test_drawing_without_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "peer", lambda name: None)
    with pytest.raises(SystemExit):
        main(["--out", "growth.png"])
    assert "--out: needs matplotlib: pip install 'minidl[plot]'" in capsys.readouterr().err


def test_the_limit_is_the_larger_of_arithmetic_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = roofline.Machine()
    monkeypatch.setattr(machine, "operations", lambda: 1e9)
    monkeypatch.setattr(machine, "bandwidth", lambda size: {152: 2e9}[size])
    limit = machine.step([3, 2, 1], batch=10)  # 360 operations, 336 bytes, 152 of them different
    assert limit.seconds == pytest.approx(360e-9)
    assert limit.cause == "products at 1 Gflop/s"
    monkeypatch.setattr(machine, "operations", lambda: 9e9)
    limit = machine.step([3, 2, 1], batch=10)
    assert limit.seconds == pytest.approx(168e-9)
    assert limit.cause == "memory at 2 GB/s"


def test_the_limits_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "REPETITIONS", 1)
    machine = roofline.Machine(side=16, moved=1 << 21)
    assert machine.operations() > 0
    assert machine.bandwidth(1000) > 0
    monkeypatch.setattr(roofline, "fastest", lambda run: pytest.fail("measured again"))
    assert np.isfinite(machine.step([3, 2, 1], batch=10).seconds)
