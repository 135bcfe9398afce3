"""The display never decides the training: whatever becomes of standard output, the run goes on and ends as without."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import SGD, BinaryCrossEntropy, Checkpoint, History, Trainer, mlp
from minidl._typing import Array

X = np.random.default_rng(0).normal(size=(30, 60)).astype(np.float32)
FORMS: list[dict[str, Any]] = [{"dual": True}, {"dual": False}, {"batch_size": 8, "rng": 0}]


def trained(folder: Path, **options: Any) -> tuple[History, dict[str, Array]]:
    model = mlp([60, 4, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    history = trainer.fit(X, X[:, 0] > 0, 40, callbacks=[Checkpoint(folder / "run.ckpt", every=10)], **options)
    assert trainer.epoch == history.epochs == 40
    return history, model.state_dict()


class Failing(io.StringIO):
    """A stream that takes some writes and then raises, a terminal if so wished."""

    def __init__(self, error: Exception, after: int, terminal: bool = False) -> None:
        super().__init__()
        self.error, self.after, self.terminal = error, after, terminal

    def write(self, text: str) -> int:
        self.after -= 1
        if self.after < 0:
            raise self.error
        return len(text)

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("error", "warned"),
    [
        (BrokenPipeError(32, "Broken pipe"), False),
        (OSError(28, "No space left on device"), True),
        (UnicodeEncodeError("ascii", "Köln", 1, 2, "ordinal not in range"), True),
        (ValueError("I/O operation on closed file"), True),
    ],
)
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_failing_standard_output(
    form: dict[str, Any], error: Exception, warned: bool, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = trained(tmp_path, print_every=None, **form)
    (tmp_path / "run.ckpt").unlink()
    monkeypatch.setattr(sys, "stdout", Failing(error, after))
    if warned:
        with pytest.warns(RuntimeWarning, match="progress could not be shown to the end"):
            _, state = trained(tmp_path, print_every=5, **form)
    else:
        _, state = trained(tmp_path, print_every=5, **form)
    assert {name: array.tobytes() for name, array in state.items()} == {n: a.tobytes() for n, a in expected.items()}
    assert (tmp_path / "run.ckpt").exists()


@pytest.mark.parametrize("batch_size", [None, 30])
@pytest.mark.parametrize("after", range(5))
def test_a_failing_bar(after: int, batch_size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)  # where an error of a finalizer goes
    monkeypatch.setattr(sys, "stderr", Failing(RuntimeError("no bar here"), after, terminal=True))
    with pytest.warns(RuntimeWarning, match="no bar here"):
        trained(tmp_path, batch_size=batch_size)
    gc.collect()
    assert unraisable == []


class Bare:
    """A stream with nothing but what printing needs."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("out", [None, Bare()])
@pytest.mark.parametrize("err", [None, Bare()])
def test_a_program_without_a_console(out: Any, err: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    history, _ = trained(tmp_path, print_every=5)
    assert history.epochs == trained(tmp_path, print_every=None)[0].epochs


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_display import trained
history, _ = trained(Path(sys.argv[1]), print_every=1)
Path(sys.argv[1], "epochs").write_text(str(history.epochs))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("where", ["a reader that goes", "a full disk"])
def test_a_real_standard_output_that_fails(where: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM.format(tests=str(Path(__file__).parent)), str(tmp_path)]
    if where == "a full disk":
        with Path("/dev/full").open("w") as out:
            subprocess.run(command, stdout=out, stderr=subprocess.PIPE, timeout=60, check=False)
    else:
        read, write = os.pipe()
        with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE) as process:
            os.close(write)
            with open(read) as reader:  # noqa: PTH123 - a descriptor
                reader.readline()
            process.communicate(timeout=60)
    assert (tmp_path / "epochs").read_text() == "40"
    assert (tmp_path / "run.ckpt").exists()
