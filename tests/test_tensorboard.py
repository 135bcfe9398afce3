"""TensorBoard: what the official reader finds in a folder is the history of the last run."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LearningRateSchedule,
    Run,
    TensorBoard,
    Trainer,
    mlp,
)
from minidl.metrics import F1
from minidl.training.callbacks import tensorboard as tensorboard_file

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)

Scalars = dict[str, list[tuple[int, float]]]


def trainer(learning_rate: float = 0.25) -> Trainer:
    model = mlp([3, 4, 1], rng=0)
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate), [F1()])


def fit(own: Trainer, epochs: int, *callbacks: Callback, validation: bool = True, **options: Any) -> History:
    data = (X, Y) if validation else None
    return own.fit(X, Y, epochs, validation_data=data, print_every=None, rng=0, callbacks=callbacks, **options)


def read(folder: Path) -> Scalars:
    """Return the scalars of a folder as (step, value), as the official reader sees them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it says that it leaves out steps of an earlier run
    found = accumulator.EventAccumulator(str(folder), {"scalars": 0}).Reload()
    scalars = {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    return {tag: values for tag, values in scalars.items() if values}


def expected(history: History, rates: list[float] | None = None) -> dict[str, Scalars]:
    """Return what the sub-folders are to hold."""
    rate = rates or [0.25] * history.epochs  # powers of two, exact in float32
    columns: dict[str, Scalars] = {"train": {"learning_rate": list(enumerate(rate))}, "validation": {}}
    for name, values in history.items():
        folder = "validation" if name.startswith("val_") else "train"
        columns[folder][name.removeprefix("val_")] = [(i, float(np.float32(value))) for i, value in enumerate(values)]
    return columns


def assert_equals(folder: Path, history: History, rates: list[float] | None = None) -> None:
    assert history.epochs
    assert {name: read(folder / name) for name in ("train", "validation")} == expected(history, rates)


class At(Callback):
    """Raises an error, or asks what another wants to know, at the end of one epoch."""

    def __init__(self, epoch: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.epoch, self.error = epoch, error

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.epoch:
            raise self.error


@pytest.fixture
def package() -> None:
    pytest.importorskip("tensorboard")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("name", ["plain", "Läufe ☃/erster/mit leer"])
def test_the_reader_finds_the_history(name: str, batch_size: int | None, tmp_path: Path) -> None:
    history = fit(trainer(), 4, TensorBoard(tmp_path / name), batch_size=batch_size)
    assert set(history) == {"loss", "accuracy", "f1", "val_loss", "val_accuracy", "val_f1", "seconds"}
    assert_equals(tmp_path / name, history)


@pytest.mark.usefixtures("package")
def test_without_validation_data_there_is_one_sub_folder(tmp_path: Path) -> None:
    history = fit(trainer(), 2, TensorBoard(str(tmp_path)), validation=False)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    assert read(tmp_path / "train") == expected(history)["train"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("first", [False, True])
def test_the_rate_is_the_one_that_the_epoch_was_trained_with(first: bool, tmp_path: Path) -> None:
    board, schedule = TensorBoard(tmp_path), LearningRateSchedule(lambda epoch: 0.5 ** (epoch + 1))
    history = fit(trainer(), 3, *((board, schedule) if first else (schedule, board)))
    assert_equals(tmp_path, history, [0.5, 0.25, 0.125])


@pytest.mark.usefixtures("package")
def test_a_resumed_run_goes_on_and_repeats_no_step(tmp_path: Path) -> None:
    """It goes on from a checkpoint of epoch 3; the lost run had come to epoch 5."""
    board, saved = tmp_path / "board", tmp_path / "run.ckpt"
    with pytest.raises(ZeroDivisionError):
        fit(trainer(), 9, TensorBoard(board), At(4, ZeroDivisionError), Checkpoint(saved, every=3))
    assert [step for step, _ in read(board / "train")["loss"]] == [0, 1, 2, 3, 4]
    resumed = trainer()
    resumed.resume(saved)
    history = fit(resumed, 9, TensorBoard(board), At(99), Checkpoint(saved, every=3))
    assert history.epochs == 9
    assert_equals(board, history)


@pytest.mark.usefixtures("package")
def test_a_new_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    own, board = trainer(), TensorBoard(tmp_path)
    fit(own, 5, board)
    assert_equals(tmp_path, fit(own, 3, board))
    history = fit(own, 2, TensorBoard(tmp_path), validation=False)
    assert_equals(tmp_path, history)
    assert expected(history)["validation"] == {}


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("batch", [False, True])
def test_ctrl_c_leaves_the_epochs_of_the_history(batch: bool, first: bool, tmp_path: Path) -> None:
    class InBatch(At):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None: ...

        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            if run.epoch == self.epoch and batch == 1:
                raise KeyboardInterrupt

    board, at = TensorBoard(tmp_path), (InBatch if batch else At)(2)
    history = fit(trainer(), 9, *((board, at) if first else (at, board)), batch_size=5)
    assert (history.interrupted, history.epochs) == (True, 2 if batch else 3)
    assert_equals(tmp_path, history)


@pytest.mark.usefixtures("package")
def test_an_epoch_that_ctrl_c_has_kept_from_the_callbacks_is_written_at_the_end(tmp_path: Path) -> None:
    class Early(TensorBoard):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == 2:
                raise KeyboardInterrupt
            super().on_epoch_end(run, epoch, metrics)

    assert_equals(tmp_path, fit(trainer(), 9, Early(tmp_path)))


@pytest.mark.usefixtures("package")
def test_an_epoch_without_steps_left_writes_nothing(tmp_path: Path) -> None:
    saved = tmp_path / "run.ckpt"
    history = fit(trainer(), 2, TensorBoard(tmp_path / "board"), Checkpoint(saved))
    resumed = trainer()
    resumed.resume(saved)
    fit(resumed, 2, TensorBoard(tmp_path / "board"), Checkpoint(saved))
    assert_equals(tmp_path / "board", history)


@pytest.mark.usefixtures("package")
@given(values=st.lists(st.floats(width=64), min_size=1, max_size=6), step=st.integers(0, 2**40))
@settings(deadline=None, max_examples=30)
def test_each_number_is_read_as_float32(values: list[float], step: int, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("board") / "events.out.tfevents.1"
    with np.errstate(all="raise"):
        for i, value in enumerate(values):
            tensorboard_file._append(path, step + i, {"a": value, "b": 1.0})
    with np.errstate(all="ignore"):
        as_read = np.array(values, np.float32)
    found = read(path.parent)
    assert [number for number, _ in found["a"]] == list(range(step, step + len(values)))
    np.testing.assert_array_equal(np.array([value for _, value in found["a"]]), as_read)


@pytest.mark.usefixtures("package")
def test_a_metric_called_learning_rate_is_the_users_own(tmp_path: Path) -> None:
    model = mlp([3, 1], rng=0)
    own = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.25), {"learning_rate": lambda p, t: 7.0})
    fit(own, 1, TensorBoard(tmp_path))
    assert read(tmp_path / "train")["learning_rate"] == read(tmp_path / "validation")["learning_rate"] == [(0, 7.0)]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("where", ["board", "board/train", "board/validation"])
@pytest.mark.parametrize("folder", ["board", "board/below"])
def test_a_file_in_the_place_of_a_folder(where: str, folder: str, tmp_path: Path) -> None:
    if folder != "board" and where != "board":
        where = where.replace("board", folder)
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / where).write_text("mine")
    own = trainer()
    before = own.model.state_dict()
    with pytest.raises(FileExistsError, match=r"TensorBoard folder: expected a folder or nothing at .*") as caught:
        fit(own, 2, TensorBoard(tmp_path / folder))
    assert f"at {tmp_path / where}, received" in str(caught.value)
    assert (tmp_path / where).read_text() == "mine"
    assert all(np.array_equal(before[name], array) for name, array in own.model.state_dict().items())


@pytest.mark.usefixtures("package")
def test_a_refused_run_leaves_what_was_there(tmp_path: Path) -> None:
    history = fit(trainer(), 2, TensorBoard(tmp_path))
    with pytest.raises(ValueError, match="EarlyStopping monitor"):
        fit(trainer(), 2, TensorBoard(tmp_path), EarlyStopping("val_recall"))
    assert_equals(tmp_path, history)


@pytest.mark.usefixtures("package")
def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    def fail(writer: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    board = TensorBoard(tmp_path)
    monkeypatch.setattr(RecordWriter, "write", fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*/train/events\.out\.tfevents\."):
        fit(trainer(), 2, board)
    monkeypatch.undo()
    assert_equals(tmp_path, fit(trainer(), 2, board))


def test_without_the_package_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"TensorBoard needs tensorboard: pip install 'minidl\[tensorboard\]'"):
        fit(trainer(), 2, TensorBoard(tmp_path / "board"))
    assert not (tmp_path / "board").exists()


@pytest.mark.usefixtures("package")
def test_it_can_be_pickled_in_the_middle_of_a_run(tmp_path: Path) -> None:
    class Copying(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            copies.append(pickle.loads(pickle.dumps(board)))

    copies: list[TensorBoard] = []
    board = TensorBoard(tmp_path)
    assert_equals(tmp_path, fit(trainer(), 3, board, Copying()))
    assert [repr(copy) for copy in copies] == [f"TensorBoard({str(tmp_path)!r})"] * 3
