"""Files: replaced whole or not at all, with the mode they had, and nothing but regular files is replaced or read."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import SGD, BinaryCrossEntropy, Checkpoint, History, Trainer, mlp
from minidl._files import ABANDONED, atomic_write

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
X = np.random.default_rng(0).normal(size=(8, 2))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_checkpoint(path: Path) -> None:
    model = mlp([2, 1], rng=0)
    Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).fit(
        X, X[:, 0] > 0, 1, print_every=None, callbacks=[Checkpoint(path)]
    )


HISTORY = History({"loss": [0.5, float("nan")], "accuracy": [0.1, 0.2]})
WRITERS: dict[str, Callable[[Path], object]] = {
    "model": lambda path: minidl.save(mlp([2, 1], rng=0), path),
    "checkpoint": write_checkpoint,
    "history as CSV": HISTORY.to_csv,
    "history as JSON": HISTORY.to_json,
}
every_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@posix
@every_writer
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_the_mode_of_a_replaced_file_stays(write: Callable[[Path], object], mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path)
    path.chmod(mode)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert names(tmp_path) == ["file"]


@posix
@every_writer
def test_a_new_file_has_the_mode_that_the_umask_gives(write: Callable[[Path], object], tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@posix
@every_writer
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_regular_file_is_not_replaced(
    write: Callable[[Path], object], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    path = Path("door")
    with socket.socket(socket.AF_UNIX) as door:
        if kind == "a named pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            door.bind(str(path))
        else:
            path.symlink_to("/dev/null")
        before = path.stat().st_mode
        with pytest.raises(OSError, match=f"expected a regular file or none, received {kind}") as error:
            write(path)
    assert Path(error.value.filename).name == "door"
    assert path.stat().st_mode == before
    assert names(Path()) == ["door"]


@posix
@pytest.mark.parametrize("read", [minidl.load, minidl.load_metadata, "resume"], ids=str)
def test_a_pipe_or_an_endless_device_is_not_read(read: Callable[[Path], object] | str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    model = mlp([2, 1])
    resume = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).resume
    for path, kind in ((tmp_path / "pipe", "a named pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(OSError, match=f"expected a regular file, received {kind}"):
            (resume if isinstance(read, str) else read)(path)


@every_writer
@pytest.mark.parametrize("length", [241, 250, 255])
def test_names_as_long_as_the_system_allows(write: Callable[[Path], object], length: int, tmp_path: Path) -> None:
    write(tmp_path / ("n" * length))
    assert names(tmp_path) == ["n" * length]


@every_writer
def test_errors_name_the_path_that_was_given(write: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere" / "file", tmp_path / "folder", tmp_path / ("n" * 300)):
        with pytest.raises(OSError, match=r"nowhere|folder|nnn") as error:
            write(path)
        assert ".tmp" not in str(error.value)
    assert names(tmp_path) == ["folder"]


KILLED = """
import os, sys, minidl
os.fsync = lambda _: os.kill(os.getpid(), 9)
minidl.save(minidl.mlp([2, 1], rng=0), sys.argv[1])
"""
SLOW = """
import os, sys, time, minidl
from pathlib import Path
fsync = os.fsync
def wait(descriptor):
    Path(sys.argv[1] + ".ready").touch()
    while not Path(sys.argv[1] + ".go").exists():
        time.sleep(0.01)
    fsync(descriptor)
os.fsync = wait
minidl.save(minidl.mlp([2, 1], rng=0), sys.argv[1])
"""


def age(folder: Path, seconds: float) -> None:
    for path in folder.glob(".minidl-*"):
        os.utime(path, (time.time() - seconds,) * 2)


@posix
def test_what_killed_processes_left_is_removed_by_the_next_save(tmp_path: Path) -> None:
    path, other = tmp_path / "model.npz", tmp_path / "other.npz"
    for target in (path, path, other):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], timeout=60, check=False)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".minidl-*"))) == 3
    minidl.save(mlp([2, 1]), path)
    assert len(list(tmp_path.glob(".minidl-*"))) == 3  # too young to be known as abandoned
    age(tmp_path, 2 * ABANDONED)
    (tmp_path / ".minidl-notes.txt").touch()
    minidl.save(mlp([2, 1]), path)
    assert len(list(tmp_path.glob(".minidl-*.tmp"))) == 1  # that of the other path
    minidl.save(mlp([2, 1]), other)
    assert names(tmp_path) == [".minidl-notes.txt", "model.npz", "other.npz"]


@posix
def test_a_writer_that_is_alive_keeps_its_file(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with subprocess.Popen([sys.executable, "-c", SLOW, str(path)]) as running:
        while not Path(f"{path}.ready").exists():
            assert running.poll() is None
        age(tmp_path, 2 * ABANDONED)
        minidl.save(mlp([2, 1], rng=5), path)
        assert len(list(tmp_path.glob(".minidl-*"))) == 1
        Path(f"{path}.go").touch()
        assert running.wait(60) == 0
    assert minidl.load(path).predict(X).tolist() == mlp([2, 1], rng=0).predict(X).tolist()
    assert not list(tmp_path.glob(".minidl-*"))


@settings(max_examples=30)
@given(st.binary(max_size=200), st.binary(max_size=200), st.booleans())
def test_the_old_bytes_or_the_new_ones(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes, ok: bool
) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    path.write_bytes(old)
    try:
        with atomic_write(path) as file:
            file.write(new)
            if not ok:
                raise ArithmeticError
    except ArithmeticError:
        assert not ok
    assert path.read_bytes() == (new if ok else old)
    assert names(path.parent) == ["file"]
