"""The cat example as a tool: the files of a run, resuming it, classes of photographs, and exit statuses."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cats
import command_line
import numpy as np
import photo_classifier
import photographs as example_photographs
import practice_pictures
import pytest
from interrupting import checkpoint_with_ctrl_c
from out_folder import reserved
from PIL import Image

from minidl import SGD, Flatten, Rescale, Sequential, load, load_metadata, mlp, save
from minidl.data import read_image

SCRIPT = Path(cats.__file__)
WRITTEN = [
    "behind.html", "checkpoint.npz", "confusion.png", "cost.png", "history.csv", "model.npz", "predictions.png",
    "settings.json",
]  # fmt: skip
SMALL = ["--size", "8", "--layers", "4", "1", "--centre", "--learning-rate", "0.1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    made = practice_pictures.draw_practice_pictures(tmp_path_factory.mktemp("pictures"), count=12, seed=4)
    return ["--cats", str(made[0]), "--others", str(made[1])]


@pytest.fixture(scope="module")
def trained(folders: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert cats.main([*folders, *SMALL, "--epochs", "300", "--out", str(out)]) == 0
    return out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def costs(out: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(out)]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run the example, which must end with status 2, and return its one line on standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cats.main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_a_run_leaves(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == WRITTEN
    assert load_metadata(trained / "model.npz") == {"class_names": ["not cat", "cat"], "image_size": [8, 8]}
    assert len(rows(trained)) == 300
    assert costs(trained)[-1] < costs(trained)[0]
    for name in ("confusion.png", "cost.png", "predictions.png"):
        with Image.open(trained / name) as picture:
            assert picture.width > 400


def test_answers_for_photographs(trained: Path, folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    photos = sorted(Path(folders[1]).iterdir())[:2] + sorted(Path(folders[3]).iterdir())[:2]
    model = trained / "model.npz"
    assert cats.main(["--predict", *map(str, photos), "--model", str(model)]) == 0
    network = load(model)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["photograph", "class", "probability"]
    for photo, line in zip(photos, lines, strict=True):
        p = float(network.predict(read_image(photo, (8, 8))[None])[0, 0])
        answer = f"cat {p:.3f}" if p > 0.5 else f"not cat {1 - p:.3f}"
        assert " ".join(line.split()) == f"{photo} {answer}"


def test_a_photograph_that_cannot_be_read_does_not_keep_the_others_from_an_answer(
    trained: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = next(Path(folders[1]).iterdir())
    (tmp_path / "notes\n.txt").write_text("no picture")
    names = ["gone.jpg", str(tmp_path / "notes\n.txt"), str(photo)]
    assert cats.main(["--predict", *names, "--out", str(trained)]) == 2
    _, *lines = (" ".join(line.split()) for line in capsys.readouterr().out.splitlines())
    assert lines[0] == "gone.jpg No such file or directory"
    assert lines[1] == f"{tmp_path}/notes\\n.txt not a picture that Pillow can read by itself"
    assert lines[2].startswith(f"{photo} ")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("outputs", "metadata", "message"),
    [
        (1, {}, "expected the network of a photo classifier, with class names and an image size"),
        (1, {"class_names": ["a", "b"], "image_size": [2, "2"]}, "expected the network of a photo classifier"),
        (3, {"class_names": ["a", "b"], "image_size": [2, 2]}, "expected a network that ends in the probabilities of"),
    ],
)
def test_a_network_of_another_kind(
    outputs: int, metadata: Any, message: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([12, outputs]))
    save(model, tmp_path / "model.npz", **metadata)
    line = refused(capsys, ["--predict", str(next(Path(folders[1]).iterdir())), "--model", str(tmp_path / "model.npz")])
    assert line.startswith(f"cats.py: error: {tmp_path}/model.npz: ")
    assert message in line


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    monkeypatch.setattr(photo_classifier, "Checkpoint", checkpoint_with_ctrl_c(after=epochs))


@pytest.mark.parametrize("options", [[], ["--early-stopping", "1000"]], ids=["plain", "early stopping"])
def test_interrupted_and_resumed(
    options: list[str], folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*folders, *SMALL, *options, "--epochs", "60"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cats.main([*arguments, "--out", str(whole)]) == 0
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt_after(monkeypatch, 23)
        assert cats.main([*arguments, "--out", str(parts)]) == 130
    assert "interrupted after 23 of 60 iterations; --resume goes on" in capsys.readouterr().out
    assert sorted(path.name for path in parts.iterdir()) == WRITTEN
    assert costs(parts) == costs(whole)[:23]

    assert cats.main([*arguments, "--out", str(parts), "--resume"]) == 0
    printed = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("Cost")]
    assert printed == ["Cost after iteration 50", "Cost after iteration 59"]
    np.testing.assert_allclose(costs(parts), costs(whole), rtol=1e-5)
    assert len(rows(parts)) == 60
    assert ("val_loss" in rows(parts)[0]) == bool(options)


def test_a_new_run_interrupted_at_once_does_not_take_an_old_checkpoint_for_its_own(
    trained: Path,
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SGD, "step", interrupted)
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    assert cats.main([*folders, *SMALL, "--out", str(out)]) == 130
    assert "\ninterrupted after 0 of 2500 iterations\n" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [name for name in WRITTEN if name != "checkpoint.npz"]


def test_interrupted_before_anything_is_done(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(example_photographs, "load_image_folders", interrupted)
    with pytest.raises(SystemExit) as ended:
        cats.main([*folders, "--out", str(tmp_path)])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\ncats.py: interrupted\n"


def test_interrupted_resumed_and_asked_in_fresh_processes(folders: list[str], tmp_path: Path) -> None:
    program = [sys.executable, "-u", str(SCRIPT), "--out", str(tmp_path)]
    command = [*program, *folders, *SMALL, "--epochs", "1000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Cost after iteration 50:"):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "; --resume goes on" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITTEN

    before = costs(tmp_path)
    subprocess.run([*program, *folders, *SMALL, "--epochs", str(len(before) + 20), "--resume"], check=True)
    assert costs(tmp_path)[: len(before)] == before
    assert len(costs(tmp_path)) == len(before) + 20
    photo = str(next(Path(folders[1]).iterdir()))
    answer = subprocess.run([*program, "--predict", photo], capture_output=True, text=True, check=True).stdout
    assert answer.splitlines()[1].startswith(f"{photo}  ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks on folders")
def test_two_runs_into_one_folder_do_not_mix(
    trained: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    again = [*folders, *SMALL, "--out", str(out)]
    with reserved(out):
        for arguments in (again, [*again, "--resume"]):
            message = (
                f"cats.py: error: --out: another run is writing into {out}; wait for its end, or name another folder"
            )
            assert refused(capsys, arguments) == message
        assert {path.name: path.read_bytes() for path in out.iterdir()} == files
    assert cats.main([*again, "--epochs", "5"]) == 0


@pytest.mark.parametrize("name", ["taken", "taken/run"])
def test_a_file_where_the_folder_should_be(
    name: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "taken", tmp_path / name
    file.write_text("a file")
    line = refused(capsys, [*folders, *SMALL, "--out", str(out)])
    assert line == f"cats.py: error: --out: expected a folder, received {out}, where {file} is a file"
    assert file.read_text() == "a file"


def test_a_resumed_run_must_be_the_same_run(
    trained: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    resume = [*folders, *SMALL, "--epochs", "300", "--out", str(out), "--resume"]
    assert cats.main(resume) == 0
    assert costs(out) == costs(trained)
    for change, message in (
        (["--learning-rate", "0.2"], "has --learning-rate 0.1, received 0.2"),
        (["--layers", "5", "1"], "has --layers [4, 1], received [5, 1]"),
        (["--seed", "2"], "has --seed 1, received 2"),
        (["--early-stopping", "3"], "has --early-stopping None, received 3"),
    ):
        assert refused(capsys, [*resume, *change]) == f"cats.py: error: --resume: the run in {out} {message}"
    swapped = ["--cats", folders[3], "--others", folders[1]]
    assert f"expected the photographs of the run in {out}, received others" in refused(capsys, [*resume, *swapped])
    for text in ("[]", "{", None):
        (out / "settings.json").write_text(text) if text else (out / "settings.json").unlink()
        assert "settings.json" in refused(capsys, resume)
    (out / "checkpoint.npz").unlink()
    assert refused(capsys, resume).endswith(f"--resume: there is no {out}/checkpoint.npz to go on from")


def test_early_stopping_keeps_the_best_weights(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*folders, *SMALL, "--epochs", "3000", "--early-stopping", "20", "--out", str(tmp_path)]
    assert cats.main(arguments) == 0
    out = capsys.readouterr().out
    val_loss = [float(row["val_loss"]) for row in rows(tmp_path)]
    assert len(val_loss) < 3000
    assert f"{len(val_loss)} iterations; the weights are those after iteration {val_loss.index(min(val_loss))}" in out
    assert "to choose the best weights by" in out
    assert "\nvalidation " in out


def test_duplicates_on_both_sides_of_the_split_are_told(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = tmp_path / "cats"
    copies.mkdir()
    original = sorted(Path(folders[1]).iterdir())[0]
    for i in range(12):
        shutil.copy(original, copies / f"{i}.png")
    arguments = ["--cats", str(copies), "--others", folders[3], *SMALL, "--epochs", "1", "--out", str(tmp_path / "out")]
    assert cats.main(arguments) == 0
    out = capsys.readouterr().out
    assert "2 of the 5 photographs to test on are to train on, too:" in out
    assert f"  {copies}/" in out


def test_out_that_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "run" / "model.npz").mkdir(parents=True)
    missing = ["--cats", "gone", "--others", "gone too"]
    assert str(tmp_path / "file") in refused(capsys, [*missing, "--out", str(tmp_path / "file" / "below")])
    assert "received a folder" in refused(capsys, [*missing, "--out", str(tmp_path / "run")])


@pytest.mark.parametrize("options", [["--size", "1000000"], ["--layers", "99999999999", "1"]], ids=" ".join)
def test_too_little_memory_is_one_line(
    options: list[str], folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, [*folders, *options, "--out", str(tmp_path)])
    assert line.startswith("cats.py: error: ")


def test_numbers_that_are_not_finite_are_one_line(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, [*folders, "--size", "8", "--learning-rate", "1e38", "--out", str(tmp_path)])
    assert line.startswith("cats.py: error: epoch ")


def test_a_reader_that_has_had_enough(folders: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-u", str(SCRIPT), *folders, *SMALL, "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == command_line.BROKEN_PIPE


def test_names_that_the_terminal_cannot_show(folders: list[str], tmp_path: Path) -> None:
    named = tmp_path / "Kätzchen\nund \N{CAT}"
    shutil.copytree(folders[1], named)
    (named / "leer.jpg").write_bytes(b"")
    result = subprocess.run(
        [sys.executable, SCRIPT, "--cats", named, *folders[2:], *SMALL, "--epochs", "1", "--out", tmp_path / "run"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert rb"12 of class cat from " + os.fsencode(tmp_path) + rb"/K\xe4tzchen\nund \U0001f408" in result.stdout
