"""The examples are run as a person runs them, mistakes included."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import cat_folders
import cats
import numpy as np
import practice_pictures
import pytest
from PIL import Image

EXAMPLES = Path(cats.__file__).parent


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return practice_pictures.draw_practice_pictures(tmp_path_factory.mktemp("pictures"), count=15, seed=3)


def test_xor_learns() -> None:
    result = subprocess.run([sys.executable, EXAMPLES / "xor.py"], capture_output=True, text=True, check=True)
    answers = [line.split("(")[0].strip() for line in result.stdout.splitlines() if "xor" in line]
    assert answers == ["0 xor 0 = 0", "0 xor 1 = 1", "1 xor 0 = 1", "1 xor 1 = 0"]
    assert (EXAMPLES / "xor.py").read_text().count("\n") < 30


def test_cats_on_folders(photographs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photographs[0] / "broken.jpg").write_bytes(b"")
    arguments = ["--cats", str(photographs[0]), "--others", str(photographs[1]), "--size", "16", "--epochs", "60"]
    status = cats.main([*arguments, "--layers", "6", "3", "1", "--centre", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    (photographs[0] / "broken.jpg").unlink()
    assert status == 0
    assert f"15 of class cat from {photographs[0]}" in out
    assert "broken.jpg: the file is empty" in out
    assert "24 to train on, 6 kept apart to test on" in out
    assert "Dense(768 -> 6)" in out
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("Cost")] == [
        "Cost after iteration 0", "Cost after iteration 50", "Cost after iteration 59",
    ]  # fmt: skip
    assert "majority class" in out
    assert all(f"[{part} took" in out for part in ("loading", "training", "evaluation", "writing"))


def test_cats_draws_practice_pictures_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_few = partial(practice_pictures.draw_practice_pictures, count=5)
    monkeypatch.setattr(cat_folders, "draw_practice_pictures", draw_few)
    assert cats.main(["--size", "8", "--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "drawing practice pictures into" in capsys.readouterr().out
    assert len(list((tmp_path / "run" / "practice-pictures" / "cats").iterdir())) == 5


MISTAKES: list[tuple[list[str], str]] = [
    (["--cats", "somewhere"], "--cats and --others go together"),
    (["--size", "0"], "argument --size: expected a whole number of at least 1, received '0'"),
    (["--size", "big"], "argument --size: expected a whole number of at least 1, received 'big'"),
    (["--learning-rate", "-1"], "argument --learning-rate: expected a finite number above 0, received '-1'"),
    (["--learning-rate", "nan"], "argument --learning-rate: expected a finite number above 0, received 'nan'"),
    (["--layers", "20", "2"], "--layers: the last layer answers cat or not with 1 unit, received 2"),
    (["--test-size", "1.5"], "argument --test-size: expected a share between 0 and 1, received '1.5'"),
    (["--seed", "-1"], "argument --seed: expected a whole number of at least 0, received '-1'"),
    (["--early-stopping", "0"], "argument --early-stopping: expected a whole number of at least 1, received '0'"),
    (["--model", "m.npz"], "--model names the network for --predict"),
    (["--predict", "a.jpg", "--resume"], "takes all else from the model file: leave --resume out"),
    (["--predict", "a.jpg", "--cats", "a", "--others", "b"], "leave --cats, --others out"),
    (["--predict", "a.jpg", "--layers", "5", "1"], "leave --layers out"),
    (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_mistyped_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cats.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_bad_folders_are_one_line_and_status_2(photographs: tuple[Path, Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for others, message in (
        (tmp_path / "gone", "gone: there is no such folder"),
        (empty, "empty: expected pictures of class 'not cat', the folder holds no files"),
        (photographs[0], "expected a folder for each class"),
    ):
        command: list[str | Path] = [sys.executable, EXAMPLES / "cats.py", "--cats", photographs[0], "--others", others]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr.startswith("cats.py: error: ")
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_practice_pictures_depend_on_the_seed_alone(photographs: tuple[Path, Path], tmp_path: Path) -> None:
    again = practice_pictures.draw_practice_pictures(tmp_path, count=15, seed=3)
    other = practice_pictures.draw_practice_pictures(tmp_path / "other", count=15, seed=4)
    for first, second, third in zip(photographs, again, other, strict=True):
        names = sorted(path.name for path in first.iterdir())
        assert len(names) == 15
        for name in names:
            pixels = np.asarray(Image.open(first / name))
            assert pixels.shape == (128, 128, 3)
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(second / name)))
            assert (pixels != np.asarray(Image.open(third / name))).any()
