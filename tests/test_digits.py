"""The example of ten classes, on a stand-in for scikit-learn's digits and, where that is installed, on themselves."""

from __future__ import annotations

import re
import sys

import digits
import numpy as np
import pytest

from minidl._typing import Array


def test_ten_classes_are_learnt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def noisy_shapes() -> tuple[Array, Array]:
        rng = np.random.default_rng(0)
        labels = np.arange(200) % 10
        shapes = rng.integers(0, 17, size=(10, 64))
        return (shapes[labels] + rng.normal(0, 1, size=(200, 64))).clip(0, 16).astype(np.float32), labels

    monkeypatch.setattr(digits, "load_digits", noisy_shapes)
    assert digits.main(["--epochs", "5", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "160 digits to train on, 40 kept apart to test on" in out
    assert re.search(r"^test +100\.0% +10\.0%$", out, re.MULTILINE)


def test_a_digit_is_drawn_in_letters() -> None:
    rows = digits.drawn(np.arange(64) % 17).splitlines()
    assert len(rows) == 8
    assert rows[0] == "      ....::::----"


def test_scikit_learn_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemExit) as ended:
        digits.main([])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "digits.py: error: the digits come with scikit-learn: pip install scikit-learn\n"


def test_the_digits_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert digits.main([]) == 0
    found = re.search(r"^test +([\d.]+)%", capsys.readouterr().out, re.MULTILINE)
    assert found is not None
    assert float(found[1]) >= 97
