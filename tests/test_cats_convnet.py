"""The convolutional cat example: the same command line and files as the plain one's, and a run that can be resumed."""

from __future__ import annotations

import csv
from pathlib import Path

import cats_convnet
import numpy as np
import photo_classifier
import photo_networks
import practice_pictures
import pytest
from interrupting import checkpoint_with_ctrl_c

from minidl import Conv2D, MaxPool2D, Residual, Sigmoid, load


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    made = practice_pictures.draw_practice_pictures(tmp_path_factory.mktemp("pictures"), count=10, seed=5)
    return ["--cats", str(made[0]), "--others", str(made[1]), "--size", "16"]


def history(out: Path) -> list[tuple[str, str]]:
    with (out / "history.csv").open(newline="") as file:
        return [(row["loss"], row["accuracy"]) for row in csv.DictReader(file)]


def test_the_network() -> None:
    model = photo_networks.network_of("convnet", 64, seed=0, head=Sigmoid())
    channels = [layer.out_channels for layer in model if isinstance(layer, Conv2D)]
    assert channels == [16, 32, 64, 64]
    assert model.predict(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 1)


def test_the_residual_network() -> None:
    model = photo_networks.network_of("resnet", 64, seed=0, head=Sigmoid())
    kinds = [type(layer).__name__ for layer in model if isinstance(layer, Conv2D | MaxPool2D | Residual)]
    block = ["Conv2D", "MaxPool2D"]
    assert kinds == [*block, *block, "Residual", *block, *block, "Residual"]
    assert model.predict(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 1)


def test_each_network_has_its_own_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    options = cats_convnet.options_of(["--network", "resnet"])
    assert (options.epochs, options.learning_rate, str(options.out)) == (60, 0.002, str(Path("runs/cats-resnet")))
    options = cats_convnet.options_of([])
    assert (options.network, options.epochs, options.learning_rate) == ("convnet", 40, 0.001)
    with pytest.raises(SystemExit):
        cats_convnet.options_of(["--network", "vgg"])
    assert "--network: invalid choice: 'vgg'" in capsys.readouterr().err


@pytest.mark.parametrize("network", ["convnet", "resnet"])
def test_interrupted_and_resumed_it_is_the_same_run(
    network: str, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*folders, "--network", network, "--epochs", "4", "--seed", "2"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert cats_convnet.main([*arguments, "--out", str(whole)]) == 0

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(photo_classifier, "Checkpoint", checkpoint_with_ctrl_c(after=2))
        assert cats_convnet.main([*arguments, "--out", str(parts)]) == 130
    assert "interrupted after 2 of 4 epochs; --resume goes on" in capsys.readouterr().out
    assert cats_convnet.main([*arguments, "--out", str(parts), "--resume"]) == 0
    printed = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("Cost")]
    assert printed == ["Cost after epoch 2", "Cost after epoch 3"]
    assert history(parts) == history(whole)
    expected, received = (load(out / "model.npz").state_dict() for out in (whole, parts))
    assert all(np.array_equal(received[name], value) for name, value in expected.items())

    photo = str(next(Path(folders[1]).iterdir()))
    capsys.readouterr()
    assert cats_convnet.main(["--predict", photo, "--out", str(parts)]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{photo}  ")

    with pytest.raises(SystemExit):
        cats_convnet.main([*arguments, "--out", str(parts), "--resume", "--epochs", "5"])
    assert f"the run in {parts} has --epochs 4, received 5" in capsys.readouterr().err


def test_a_picture_that_cannot_be_halved_often_enough(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cats_convnet.main(["--size", "15"])
    assert ended.value.code == 2
    assert "--size: expected at least 16 pixels" in capsys.readouterr().err.splitlines()[-1]
