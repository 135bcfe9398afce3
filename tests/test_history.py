"""History: a mapping to read, files that say the same, and a plot."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import History

numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def histories(draw: st.DrawFn) -> History:
    names = draw(st.lists(st.sampled_from(["loss", "accuracy", "val_loss", "seconds"]), unique=True, min_size=1))
    epochs = draw(st.integers(0, 5))
    return History({name: draw(st.lists(numbers, min_size=epochs, max_size=epochs)) for name in names})


def example() -> History:
    return History({"loss": [0.7, 0.5], "accuracy": [0.5, 1.0], "val_loss": [0.8, 0.6], "seconds": [0.1, 0.2]})


def test_it_reads_like_a_mapping() -> None:
    history = example()
    assert list(history) == ["loss", "accuracy", "val_loss", "seconds"]
    assert (len(history), history.epochs, history["loss"]) == (4, 2, [0.7, 0.5])
    assert "val_accuracy" not in history
    assert history == dict(history) == example()
    assert History().epochs == 0
    with pytest.raises(KeyError):
        history["val_accuracy"]


def test_nothing_can_be_written_into_it() -> None:
    columns = {"loss": [0.7, 0.5]}
    history = History(columns)
    columns["loss"].append(0.0)
    history["loss"].append(0.0)
    for values in history.values():
        values.clear()
    dict(history)["loss"].clear()
    assert history["loss"] == [0.7, 0.5]
    with pytest.raises(TypeError):
        history["loss"] = []  # type: ignore[index]
    with pytest.raises(TypeError):
        del history["loss"]  # type: ignore[attr-defined]


def test_the_training_loop_adds_and_takes_away_epochs() -> None:
    history = History()
    for loss in (0.7, 0.6, 0.5):
        history.record({"loss": loss, "seconds": 0.1})
    assert (history.epochs, history["loss"]) == (3, [0.7, 0.6, 0.5])
    history.truncate(2)
    assert dict(history) == {"loss": [0.7, 0.6], "seconds": [0.1, 0.1]}


def test_it_says_when_it_was_interrupted() -> None:
    history = example()
    assert not history.interrupted
    assert repr(history) == "History(loss, accuracy, val_loss, seconds; 2 epochs)"
    history.interrupted = True
    assert repr(history) == "History(loss, accuracy, val_loss, seconds; 2 epochs, interrupted)"


@given(histories())
def test_csv_keeps_every_digit(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    path = tmp_path_factory.mktemp("csv") / "history.csv"
    history.to_csv(path)
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    assert names == ["epoch", *history]
    assert [int(row[0]) for row in rows] == list(range(history.epochs))
    for i, name in enumerate(history, start=1):
        assert [float(row[i]) for row in rows] == history[name]


@given(histories())
def test_json_keeps_every_digit(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    path = tmp_path_factory.mktemp("json") / "history.json"
    history.to_json(str(path))
    columns = json.loads(path.read_text(encoding="utf-8"))
    assert list(columns) == list(history)
    assert History(columns) == history


def test_the_csv_as_it_stands(tmp_path: Path) -> None:
    example().to_csv(tmp_path / "history.csv")
    expected = "epoch,loss,accuracy,val_loss,seconds\r\n0,0.7,0.5,0.8,0.1\r\n1,0.5,1.0,0.6,0.2\r\n"
    assert (tmp_path / "history.csv").read_bytes() == expected.encode()


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    for write in (example().to_csv, example().to_json):
        with pytest.raises(FileNotFoundError):
            write(tmp_path / "missing" / "history")


def test_the_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = example().plot(tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")
    losses, accuracies = figure.axes
    assert [axes.get_ylabel() for axes in (losses, accuracies)] == ["loss", "accuracy"]
    assert [line.get_label() for line in losses.get_lines()] == ["training", "validation"]
    assert [list(line.get_ydata()) for line in losses.get_lines()] == [[0.7, 0.5], [0.8, 0.6]]
    (line,) = accuracies.get_lines()
    assert list(line.get_ydata()) == [0.5, 1.0]


def test_the_plot_leaves_no_figure_with_pyplot_and_draws_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # Keras loads it
    assert len(History({"loss": [0.7]}).plot().axes) == 1
    assert len(History().plot().axes) == 0
    assert "matplotlib.pyplot" not in sys.modules


def test_the_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"^History\.plot needs matplotlib: pip install 'minidl\[plot\]'$"):
        example().plot(tmp_path / "cost.png")
    assert list(tmp_path.iterdir()) == []


@given(history=histories())
def test_the_curves_in_a_notebook(history: History) -> None:
    """Well-formed, every curve by its name, whatever the numbers."""
    root = ElementTree.fromstring(history._repr_html_())
    drawn = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(name in drawn for name in history if name != "seconds")
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 360
            assert 0 <= y <= 200


def test_a_curve_has_gaps_where_numbers_are_not_finite_and_a_bounded_length() -> None:
    text = History({"<b>": [1.0, float("nan"), 2.0, float("inf"), 3.0]})._repr_html_()
    assert text.count("<polyline") == 3
    assert "<b>" not in text.replace("<body>", "")
    assert len(History({"loss": [0.5] * 100_000})._repr_html_()) < 10_000
