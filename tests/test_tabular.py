"""The example of tables, on drawn ones and, where scikit-learn is installed, on its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tabular

from minidl import load


def drawn_tables() -> list[tabular.Table]:
    rng = np.random.default_rng(0)
    x = rng.normal([5.0, -200.0, 0.01], [2.0, 90.0, 0.002], (120, 3))
    number, kind = 300 + 20 * (x[:, 0] - 5), (x[:, 1] > -200).astype(int)
    return [tabular.Table("numbers", x, number, []), tabular.Table("kinds", x, kind, ["low", "high"])]


def test_both_tables_are_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tabular, "load_tables", drawn_tables)
    assert tabular.main(["--epochs", "60", "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "numbers: 96 rows to train on, 24 kept apart to test on" in out
    found = re.search(r"^network .* ([\d.]+)$", out, re.MULTILINE)
    assert found is not None
    assert float(found[1]) > 0.9
    accuracy = re.search(r"^ +accuracy +([\d.]+)", out, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.75
    for name in ("numbers", "kinds"):
        assert (tmp_path / "out" / f"{name}.csv").exists()
        assert load(tmp_path / "out" / f"{name}.npz").predict(np.zeros((1, 3))).shape[0] == 1


def test_a_file_where_the_folder_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "taken"
    file.write_text("a file")
    with pytest.raises(SystemExit):
        tabular.main(["--out", str(file)])
    line = f"tabular.py: error: --out: expected a folder, received {file}, where {file} is a file\n"
    assert capsys.readouterr().err == line


def test_without_matplotlib_there_are_no_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tabular, "load_tables", lambda: drawn_tables()[:1])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert tabular.main(["--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "History.plot needs matplotlib" in capsys.readouterr().out


def test_scikit_learn_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemExit) as ended:
        tabular.main(["--out", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "tabular.py: error: the tables come with scikit-learn: pip install scikit-learn\n"


def test_the_tables_of_scikit_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert tabular.main(["--epochs", "40", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    network, mean = (
        re.search(rf"^{name} .* (-?[\d.]+)$", out, re.MULTILINE) for name in ("network", "mean of training")
    )
    assert network is not None
    assert mean is not None
    assert float(network[1]) > 0.3 > 0.1 > float(mean[1])
    accuracy = re.search(r"^ +accuracy +([\d.]+)", out, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.9
