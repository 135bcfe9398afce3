"""The example of wide tables: a small one drawn, one of a file, and what is wrong with others."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wide

from minidl import Trainer
from minidl.ops import tuning

SMALL = ["--rows", "120", "--columns", "600", "--epochs", "20", "--units", "4"]


def accuracies(out: str) -> dict[str, float]:
    """Return the printed shares of right answers by the names of what gave them."""
    return {name.strip(): float(share) for name, share in re.findall(r"^(\S.*?) {2,}([\d.]+)%", out, re.MULTILINE)}


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return whether each call of `fit` since has trained in the dual form, which pays for these few rows, too."""
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING._replace(dual_step=0))
    fit, seen = Trainer.fit, list[bool]()

    def noted(self: Trainer, *args: Any, **options: Any) -> Any:
        history = fit(self, *args, **options)
        assert self.run is not None
        seen.append(self.run.span is not None)
        return history

    monkeypatch.setattr(Trainer, "fit", noted)
    return seen


def test_both_forms_learn_the_same(
    forms: list[bool], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.setattr(wide, "DIFFERENCE", 4.0)
    assert wide.main([*SMALL, "--compare"]) == 0
    out = capsys.readouterr().out
    assert forms == [True, False]
    assert "120 rows of 600 columns (drawn): 90 to train on, 30 to test on" in out
    assert "pip install scikit-learn" in out
    found = accuracies(out)
    assert list(found) == ["minidl", "minidl, dual=False", "majority class"]
    assert found["minidl"] == found["minidl, dual=False"] > 90
    assert found["majority class"] == 50


def test_scikit_learn_stands_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert wide.main([*SMALL, "--batch-size", "500", "--seed", "5000000000"]) == 0
    names = ["minidl", "scikit-learn, MLPClassifier", "scikit-learn, LogisticRegression", "majority class"]
    assert list(accuracies(capsys.readouterr().out)) == names


def test_a_table_of_ones_own(tmp_path: Path, forms: list[bool], capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).integers(-3, 4, (60, 500))
    y = np.repeat(["no", "yes", "perhaps"], 20)
    x[:20] += 2
    x[20:40] -= 2
    np.savez(tmp_path / "table.npz", x=x, y=y)
    assert wide.main(["--data", str(tmp_path / "table.npz"), "--epochs", "30"]) == 0
    out = capsys.readouterr().out
    assert forms == [True]
    assert "60 rows of 500 columns" in out
    assert "Dense(16 -> 3)" in out
    assert accuracies(out)["minidl"] > 90


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(SystemExit) as ended:
        wide.main(SMALL)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\nwide.py: interrupted\n"


ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"x": np.zeros((4, 9))}, "expected an .npz file with arrays x and y, received"),
    (
        {"x": np.zeros(4), "y": np.arange(4)},
        r"expected x \(rows, columns\) of numbers and y \(rows,\), received",
    ),
    ({"x": np.zeros((4, 9)), "y": np.arange(3)}, r"received shapes \(4, 9\) of float64 and \(3,\) of int64"),
    ({"x": np.full((4, 9), "a"), "y": np.arange(4)}, r"received shapes \(4, 9\) of <U1"),
    ({"x": np.zeros((4, 9)), "y": np.ones(4)}, "expected at least two classes in y, received 1"),
    ({"x": np.zeros((2, 9)), "y": np.array([1.0, np.nan])}, "expected classes in y, received NaN or infinity"),
    ({"x": np.full((8, 9), np.nan), "y": np.arange(8) % 2}, "expected finite numbers in x, received NaN or infinity"),
    ({"x": np.diag([0, 0, 0, 0, 0, 0, np.inf, 0]), "y": np.arange(8) % 2}, "first in row 6"),
    ({"x": np.zeros((4, 9)), "y": [0, 0, 7, 0]}, "expected at least two rows of each class, received one of class 7"),
    ({"x": np.zeros((4, 9)), "y": np.array([{}] * 4)}, "expected an .npz file with arrays x and y, received"),
]


@pytest.mark.parametrize(("arrays", "message"), ARRAYS, ids=[message for _, message in ARRAYS])
def test_tables_that_are_none(
    arrays: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "table.npz", **arrays)
    with pytest.raises(SystemExit) as ended:
        wide.main(["--data", str(tmp_path / "table.npz")])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(f"^wide.py: error: .*{message}", lines[0])


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "array.npy", np.zeros((3, 4)))
    (tmp_path / "text.npz").write_text("a, b, c")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and nothing else")
    for name in ("array.npy", "text.npz", "empty.npz", "broken.npz", "gone.npz"):
        with pytest.raises(SystemExit) as ended:
            wide.main(["--data", str(tmp_path / name)])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("wide.py: error: ")
        assert name in error
        assert error.count("\n") == 1
