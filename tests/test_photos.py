"""The example for any classes: one command from a folder to report and model, answers, resuming, and mistakes."""

from __future__ import annotations

import csv
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import photo_classifier
import photo_results
import photos
import practice_pictures
import pytest
from interrupting import checkpoint_with_ctrl_c
from photographs import load_photographs
from PIL import Image

from minidl import Flatten, Rescale, Sequential, load, load_metadata, mlp, save
from minidl.data import read_image

SMALL = ["--size", "16", "--epochs", "4"]
COUNTS = {"cat": 10, "cup": 6, "tree $x$\n": 5}  # photographs of each class
WRITTEN = [
    "behind.html", "checkpoint.npz", "confusion.png", "cost.png", "history.csv", "model.npz", "predictions.png",
    "settings.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes of different sizes, with a file that is no picture."""
    drawn = practice_pictures.draw_practice_classes(tmp_path_factory.mktemp("drawn"), count=10, seed=5)
    folder = tmp_path_factory.mktemp("photographs")
    for name, count in COUNTS.items():
        (folder / name).mkdir()
        for path in sorted((drawn / name.split()[0]).iterdir())[:count]:
            shutil.copy(path, folder / name)
    (folder / "cup" / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def trained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert photos.main(["--folder", str(root), *SMALL, "--out", str(out)]) == 0
    return out


def history(out: Path) -> list[dict[str, str]]:
    with (out / "history.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Run the example, which must end with status 2, and return the last line on standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        photos.main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_one_command_from_a_folder_to_report_and_model(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert photos.main(["--folder", str(root), *SMALL, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for name, count in COUNTS.items():
        shown = name.replace("\n", "\\n")
        assert f"{count} of class {shown} from {root}/{shown}\n" in out
    assert f"skipped {root}/cup/notes.txt: not a picture that Pillow can read by itself" in out
    assert "14 to train on, 3 to choose the best weights by, 4 kept apart to test on" in out
    assert "Dense(64 -> 3)" in out
    parts = [row.split()[0] for row in out.splitlines() if row.startswith(("training", "validation", "test "))]
    assert parts == ["training", "validation", "test"]
    report = [line.split() for line in out[out.index("The test photographs:") :].splitlines()]
    rows = ["cat", "cup", "tree", "accuracy", "macro", "weighted"]
    assert [row[0] for row in report if row and row[-1].isdigit()] == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITTEN
    assert load_metadata(tmp_path / "model.npz") == {"class_names": list(COUNTS), "image_size": [16, 16]}
    for name in ("confusion.png", "cost.png", "predictions.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 400


def test_rare_classes_count_as_much_and_the_best_epoch_is_kept(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--folder", str(root), "--size", "16", "--epochs", "12", "--learning-rate", "0.03", "--out"]
    assert photos.main([*arguments, str(tmp_path), "--early-stopping", "3"]) == 0
    val_loss = [float(row["val_loss"]) for row in history(tmp_path)]
    best = val_loss.index(min(val_loss))
    assert len(val_loss) == min(12, best + 4)
    assert f"{len(val_loss)} epochs; the weights are those after epoch {best}\n" in capsys.readouterr().out

    options = photos.options_of([*arguments, str(tmp_path)])
    photographs = load_photographs(options, root)
    assert photographs.validation is not None
    (x, y), train_y = photographs.validation, photographs.train.y
    weight = (len(train_y) / np.bincount(train_y))[y]
    p = load(tmp_path / "model.npz").predict(x).astype(np.float64)[np.arange(len(y)), y]
    np.testing.assert_allclose(np.average(-np.log(p), weights=weight), val_loss[best], rtol=1e-4)
    assert abs(-np.log(p).mean() / val_loss[best] - 1) > 1e-2, "weights make a difference"


def test_answers_for_photographs_and_folders(trained: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = root / "cat" / "003.png"
    assert photos.main(["--predict", str(photo), str(root / "cup"), "gone.jpg", "--out", str(trained)]) == 2
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["photograph", "class", "probability"]
    cups = sorted((root / "cup").iterdir())
    assert [line.split()[0] for line in lines] == [str(path) for path in (photo, *cups, "gone.jpg")]
    network = load(trained / "model.npz")
    for line in lines:
        path, answer = line.split(maxsplit=1)
        if path.endswith(".png"):
            p = network.predict(read_image(path, (16, 16))[None])[0]
            shown = list(COUNTS)[p.argmax()].replace("\n", "\\n")
            assert answer.split() == [*shown.split(), f"{p.max():.3f}"]
            assert line[head.index("class") :].startswith(shown)
    assert lines[-2].endswith("not a picture that Pillow can read by itself")
    assert lines[-1].endswith("No such file or directory")


def test_the_network_of_the_cat_examples_answers_too(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([12, 1], rng=1))
    save(model, tmp_path / "m.npz", class_names=["other", "cat"], image_size=[2, 2])
    assert photos.main(["--predict", str(root / "cat"), "--model", str(tmp_path / "m.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    for line, path in zip(lines, sorted((root / "cat").iterdir()), strict=True):
        p = float(model.predict(read_image(path, (2, 2))[None])[0, 0])
        assert line.split() == [str(path), "cat" if p > 0.5 else "other", f"{max(p, 1 - p):.3f}"]


def test_a_network_without_probabilities_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Sequential(Rescale(), Flatten(), *mlp([12, 3], rng=1)[:-1])
    save(model, tmp_path / "m.npz", class_names=["a", "b", "c"], image_size=[2, 2])
    line = refused(capsys, ["--predict", str(root / "cat"), "--model", str(tmp_path / "m.npz")])
    assert "m.npz: expected a network that ends in the probabilities of its 3 classes, received array([[" in line


def test_after_ctrl_c_the_weights_are_those_of_the_best_epoch(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--folder", str(root), *SMALL, "--out", str(tmp_path)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(photo_classifier, "Checkpoint", checkpoint_with_ctrl_c(after=2))
        assert photos.main([*arguments, "--learning-rate", "0.03"]) == 130
    validation = [float(row["val_loss"]) for row in history(tmp_path)]
    best = int(np.argmin(validation))
    assert best < len(validation) - 1
    assert f"{len(validation)} epochs; the weights are those after epoch {best}\n" in capsys.readouterr().out
    photographs = load_photographs(photos.options_of(arguments), root)
    assert photographs.validation is not None
    (x, y), train_y = photographs.validation, photographs.train.y
    p = load(tmp_path / "model.npz").predict(x).astype(np.float64)[np.arange(len(y)), y]
    received = np.average(-np.log(p), weights=(len(train_y) / np.bincount(train_y))[y])
    np.testing.assert_allclose(received, validation[best], rtol=1e-4)


def test_interrupted_twice_and_resumed_it_is_the_same_run(
    trained: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    arguments = ["--folder", str(root), *SMALL, "--out", str(tmp_path)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(photo_classifier, "Checkpoint", checkpoint_with_ctrl_c(after=2))
        assert photos.main(arguments) == 130
        assert "interrupted after 2 of 4 epochs; --resume goes on" in capsys.readouterr().out
        assert history(tmp_path) == history(trained)[:2]
        monkeypatch.setattr(photo_results, "classification_report", interrupted)
        with pytest.raises(SystemExit) as ended:
            photos.main(arguments)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\nphotos.py: interrupted\n"
    assert photos.main([*arguments, "--resume"]) == 0
    assert history(tmp_path) == history(trained)
    expected, received = (load(out / "model.npz").state_dict() for out in (trained, tmp_path))
    assert all(np.array_equal(received[name], value) for name, value in expected.items())
    assert "has --early-stopping 10, received 3" in refused(capsys, [*arguments, "--resume", "--early-stopping", "3"])


def test_without_a_folder_it_draws_pictures_of_eight_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(photos, "draw_practice_classes", partial(practice_pictures.draw_practice_classes, count=6))
    assert photos.main([*SMALL[:2], "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "No folders given (--folder DIR): drawing practice pictures into" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "practice-pictures").iterdir())
    assert names == ["ball", "car", "cat", "cup", "dog", "fish", "house", "tree"]
    assert load_metadata(tmp_path / "model.npz")["class_names"] == names


def test_practice_pictures_depend_on_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (
        practice_pictures.draw_practice_classes(tmp_path / name, count=1, seed=seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    for path in sorted(first.rglob("*.png")):
        name = path.relative_to(first)
        with Image.open(path) as picture:
            assert picture.size == (128, 128)
        assert path.read_bytes() == (again / name).read_bytes() != (other / name).read_bytes()


MISTAKES: list[tuple[list[str], str]] = [
    (["--size", "15"], "--size: expected at least 16 pixels, which four poolings halve, received 15"),
    (["--network", "vgg"], "argument --network: invalid choice: 'vgg'"),
    (["--folders", "x"], "unrecognized arguments: --folders x"),
    (["--cats", "x"], "unrecognized arguments: --cats x"),
    (["--folder"], "argument --folder: expected one argument"),
    (["--predict", "x", "--folder", "y"], "takes all else from the model file: leave --folder out"),
    (
        ["--predict", "x", "--size", "32", "--learning-rate", "1", "--distributed"],
        "leave --size, --learning-rate, --distributed out",
    ),
    (["--early-stopping", "0"], "argument --early-stopping: expected a whole number of at least 1, received '0'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_mistyped_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, arguments)


def test_folders_that_cannot_be_used(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(folder: Path) -> str:
        return refused(capsys, ["--folder", str(folder), *SMALL, "--out", str(tmp_path / "out")])

    one = tmp_path / "one"
    shutil.copytree(root / "cat", one / "cat")
    assert answer(tmp_path / "gone") == f"photos.py: error: {tmp_path}/gone: there is no such folder"
    assert answer(one).endswith(f"folders: expected at least two classes, a folder for each, received ['cat'] in {one}")
    assert answer(one / "cat").endswith(f"received [] in {one}/cat")
    (one / "cup").mkdir()
    assert answer(one).endswith(f"{one}/cup: expected pictures of class 'cup', the folder holds no files")
    (one / "cup" / "broken.jpg").write_bytes(b"")
    assert answer(one).endswith("none of its 1 files is a readable picture; the first, broken.jpg: the file is empty")
    shutil.copy(root / "cup" / "000.png", one / "cup")
    assert answer(one).endswith(
        "--test-size: expected each class among the photographs to train on, to choose the best weights by and to test "
        "on, received a share of 0.2 of 11 photographs, 1 of them of class 'cup': add photographs of this class, "
        "leave it out, or give another share"
    )
    line = refused(capsys, ["--predict", str(one), "--model", str(tmp_path / "gone.npz")])
    assert line.endswith("gone.npz: there is no such model file: train a network first, or name one with --model")
    (tmp_path / "empty").mkdir()
    save(mlp([2, 1]), tmp_path / "m.npz", class_names=["a", "b"], image_size=[1, 1])
    line = refused(capsys, ["--predict", str(tmp_path / "empty"), "--model", str(tmp_path / "m.npz")])
    assert line == f"photos.py: error: --predict: there are no files in {tmp_path}/empty"
