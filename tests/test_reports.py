"""The report of a classifier: its numbers, its table, and how it reads the outputs of a network."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import minidl
from minidl import Dense, LogSoftmax, Masked, Module, Sequential, Sigmoid, Softmax, Tanh, classification_report
from minidl._typing import Array
from minidl.metrics import f1, precision, recall
from minidl.reports import ClassificationReport


class Identity(Module):
    """A user's layer, which may give anything."""

    def forward(self, x: Array) -> Array:
        return x


def report_of(matrix: Any, *names: str) -> ClassificationReport:
    return ClassificationReport(names or tuple(f"class {k}" for k in range(len(matrix))), np.array(matrix))


@given(st.integers(1, 20), st.integers(1, 5), seeds)
def test_all_numbers_are_those_of_the_metrics(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)).astype(np.float32), rng.integers(0, max(2, k), n)
    model = Sequential(Dense(3, k, rng=seed), *([Sigmoid()] if k == 1 and seed % 2 else []))
    report, p = classification_report(model, x, y, batch_size=7), model.predict(x)
    predicted = (p[:, 0] > (0.5 if len(model) > 1 else 0)).astype(int) if k == 1 else p.argmax(axis=1)
    expected = np.zeros((max(2, k), max(2, k)), int)
    np.add.at(expected, (y, predicted), 1)
    np.testing.assert_array_equal(report.matrix, expected)
    np.testing.assert_array_equal(report.support, [np.sum(y == c) for c in range(max(2, k))])
    assert report.accuracy == pytest.approx(np.mean(predicted == y))
    functions: dict[str, Any] = {"precision": precision, "recall": recall, "f1": f1}
    for name, function in functions.items():
        values = function(np.eye(max(2, k))[predicted], y, average=None)
        np.testing.assert_array_equal(getattr(report, name), values)
        np.testing.assert_array_equal(getattr(report.scores, name), values)
        for average, scores in (("macro", report.macro), ("weighted", report.weighted)):
            expected_average = function(predicted, y, average=average)
            assert getattr(scores, name) == pytest.approx(expected_average, nan_ok=True)
    assert report.class_names == tuple(str(c) for c in range(max(2, k)))
    if k > 1:
        np.testing.assert_array_equal(classification_report(model, x, np.eye(k)[y]).matrix, expected)


X, Y = np.array([[-1.0], [0.2], [0.4], [0.9]], np.float32), np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("last", "x", "threshold"),
    [
        ([Sigmoid()], X - 0.3, 0.3),
        ([Masked(Sequential(Sigmoid()), padding=9.0)], X - 0.3, 0.3),
        ([Sequential(Sequential(Sigmoid()))], X - 0.3, 0.3),
        ([], X, 0.0),
        ([Tanh()], X, 0.0),
        ([Tanh()], np.abs(X), 0.0),
        ([Identity()], X, 0.0),
        ([Identity()], np.abs(X), 0.5),
    ],
)
def test_what_one_output_means_depends_on_the_last_layer(last: list[Module], x: Array, threshold: float) -> None:
    layer = Dense(1, 1, rng=0)
    layer.weight.data[:] = 1
    above = x + 0.3 > threshold + 0.3 if threshold != 0.3 else x > 0
    report = classification_report(Sequential(layer, *last), x, Y)
    assert report.matrix.sum(axis=0).tolist() == [int(np.sum(~above)), int(np.sum(above))]


@pytest.mark.parametrize("last", [[], [Softmax()], [LogSoftmax()]])
def test_several_outputs_of_any_kind(last: list[Module]) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    layer = Dense(4, 3, rng=0)
    y = Sequential(layer).predict(x).argmax(axis=1)
    assert classification_report(Sequential(layer, *last), x, y[:, None]).accuracy == 1


def test_the_table() -> None:
    assert str(report_of([[1200, 34, 0], [6, 7, 0], [1, 0, 0]], "cat", "other\n pets", "none")).splitlines() == [
        "              precision     recall   f1-score    support",
        "",
        "         cat       0.99       0.97       0.98      1,234",
        "  other pets       0.17       0.54       0.26         13",
        "        none        nan       0.00       0.00          1",
        "",
        "    accuracy                             0.97      1,248",
        "   macro avg       0.58       0.50       0.41      1,248",
        "weighted avg       0.99       0.97       0.97      1,248",
    ]


def test_the_html_escapes_names() -> None:
    html = report_of([[3, 1], [0, 2]], "<b>cats</b> & dogs", 'say "x"')._repr_html_()
    assert "<b>" not in html
    assert html.count("&lt;b&gt;cats&lt;/b&gt; &amp; dogs") == 3
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells[:4] == ["1.00", "0.75", "0.86", "4"]
    assert cells[-4:] == ["3", "1", "0", "2"]


def test_the_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # Keras loads it
    figure = report_of([[3, 1], [0, 0]], "$a_b$", "other").plot(tmp_path / "matrix.png")
    axes = figure.axes[0]
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$a_b$", "other"]
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "0"]
    np.testing.assert_allclose(axes.images[0].get_array(), np.array([[0.75, 0.25], [0, 0]]))
    assert axes.get_title() == "accuracy 75.0%"
    many = report_of(np.eye(30, dtype=int)).plot()
    assert (len(many.axes[0].get_xticklabels()), len(many.axes[0].texts)) == (30, 0)
    assert "matplotlib.pyplot" not in sys.modules


def test_the_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"^ClassificationReport\.plot needs matplotlib: pip install"):
        report_of([[1, 0], [0, 1]]).plot()


def test_a_report_can_be_pickled() -> None:
    report = report_of([[3, 1], [0, 2]])
    assert str(pickle.loads(pickle.dumps(report))) == str(report)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": 3}, TypeError, "classification_report model: expected a Module, received 3"),
        ({"class_names": ["a"]}, ValueError, r"class_names: expected 2 names, .* received \['a'\]"),
        ({"class_names": "ab"}, ValueError, "class_names: expected 2 names, .* received 'ab'"),
        ({"y": [0, 1, 2, 1]}, ValueError, "target: expected classes 0 and 1"),
        ({"y": [0, 1]}, ValueError, "expected one prediction and one target a sample"),
        ({"x": [[np.nan]] * 4}, ValueError, "x: expected finite numbers"),
        ({"batch_size": 0}, ValueError, "batch_size: expected"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"model": minidl.mlp([1, 1], rng=0), "x": X, "y": Y, **changes}
    with pytest.raises(error, match=message):
        classification_report(**arguments)
