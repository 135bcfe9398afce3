"""Checkpoints: a run that was broken off, killed even, ends in the same bits as one that never was."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import (
    SGD,
    Adagrad,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    LearningRateSchedule,
    Lion,
    Metric,
    ModelFileError,
    NAdam,
    Optimizer,
    Parameter,
    ReLU,
    RMSProp,
    Run,
    Sequential,
    Sigmoid,
    Trainer,
    mlp,
)
from minidl.archive import write_archive
from minidl.metrics import F1
from minidl.schedules import cosine
from minidl.training.checkpoint_file import ARRAY, KIND, read_checkpoint

EPOCHS = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 50)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
TRAIN, VALIDATION = (X[:30], Y[:30]), (X[30:], Y[30:])
OPTIMIZERS: dict[str, Callable[[list[Parameter]], Optimizer]] = {
    "SGD": lambda p: SGD(p, 0.1),
    "momentum": lambda p: SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: Adam(p, 0.01),
    "NAdam": lambda p: NAdam(p, 0.01),
    "RMSProp": lambda p: RMSProp(p, 0.01, momentum=0.5, centered=True, epsilon=1e-3),
    "Adagrad": lambda p: Adagrad(p, 0.01, learning_rate_decay=0.1),
    "Lion": lambda p: Lion(p, 0.01),
    "clipped": lambda p: SGD(p, 0.1, max_gradient_norm=0.2),
}
FORMS: dict[str, dict[str, Any]] = {
    "full batch": {"dual": False},
    "mini-batches": {"batch_size": 8},
    "dual": {"dual": True},
}


def make(optimizer: str = "momentum", seed: int = 0) -> Trainer:
    """The same network for the same seed; another seed stands for a process that knows nothing of the first."""
    model = Sequential(
        Dense(50, 6, rng=seed), BatchNorm(6), ReLU(), Dropout(0.2, rng=seed), Dense(6, 1, rng=seed), Sigmoid()
    )
    return Trainer(model, BinaryCrossEntropy(), OPTIMIZERS[optimizer](model.parameters()))


def fit(trainer: Trainer, epochs: int, *callbacks: Callback, seed: int = 5, **options: Any) -> History:
    """Train with a schedule, early stopping that does not stop, and further callbacks."""
    schedule, stopping = LearningRateSchedule(cosine(0.1, 0.01, EPOCHS)), EarlyStopping(patience=1000)
    return trainer.fit(
        *TRAIN, epochs, validation_data=VALIDATION, print_every=None, rng=seed,
        callbacks=[schedule, stopping, *callbacks], **options,
    )  # fmt: skip


def everything(trainer: Trainer) -> dict[str, Any]:
    """What must be equal in the end: bytes of all arrays, and all metrics but the seconds."""
    state: Mapping[str, Any] = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    arrays = {name: np.asarray(value).tobytes() for name, value in state.items()}
    return {**arrays, **{name: values for name, values in trainer.history.items() if name != "seconds"}}


class BreakOff(Callback):
    """Ends a run as a crash would: by an error that nothing catches."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.epoch:
            raise RuntimeError("broken off")


@pytest.mark.parametrize(
    ("form", "optimizer", "every"),
    [("mini-batches", name, 7) for name in OPTIMIZERS]
    + [("full batch", name, 7) for name in OPTIMIZERS]
    + [("dual", name, 7) for name in ("SGD", "momentum")]
    + [(form, "momentum", 1) for form in FORMS],
)
def test_a_resumed_run_ends_in_the_same_bits(form: str, optimizer: str, every: int, tmp_path: Path) -> None:
    path, options = tmp_path / "run.ckpt", FORMS[form]
    whole = make(optimizer)
    fit(whole, EPOCHS, Checkpoint(tmp_path / "whole.ckpt", every), BreakOff(-1), **options)
    with pytest.raises(RuntimeError, match="broken off"):
        fit(make(optimizer), EPOCHS, Checkpoint(path, every), BreakOff(33), **options)
    resumed = make(optimizer, seed=77)
    resumed.resume(path)
    history = fit(resumed, EPOCHS, Checkpoint(path, every), BreakOff(-1), seed=78, **options)
    assert history.epochs == EPOCHS
    assert everything(resumed) == everything(whole)


def finish(trainer: Trainer, path: Path, **options: Any) -> dict[str, Any]:
    trainer.resume(path)
    fit(trainer, EPOCHS, Checkpoint(path), **options)
    return everything(trainer)


def test_resuming_what_was_complete_changes_nothing(tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.ckpt", make()
    fit(trainer, EPOCHS, Checkpoint(path, every=20))
    assert finish(make(seed=3), path) == everything(trainer)


def test_a_stopped_run_that_was_killed_before_it_returned_stays_stopped(tmp_path: Path) -> None:
    """The checkpoint of the last epoch is written before the best weights are put back."""
    path = tmp_path / "run.ckpt"

    def run(trainer: Trainer) -> dict[str, Any]:
        stopping = EarlyStopping("val_loss", patience=3, min_delta=0.1)
        trainer.fit(
            *TRAIN, EPOCHS, 8, VALIDATION, print_every=None, rng=5, callbacks=[Checkpoint(path, every=50), stopping]
        )
        return everything(trainer)

    whole, resumed = make(), make(seed=3)
    expected = run(whole)
    assert whole.epoch < EPOCHS
    resumed.resume(path)
    assert resumed.model.state_dict()["0.weight"].tobytes() != expected["0.weight"]
    assert run(resumed) == expected


def test_the_history_of_a_resumed_run_has_the_seconds_of_both_parts(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    first = fit(make(), 5, Checkpoint(path))
    resumed = make()
    resumed.resume(path)
    history = fit(resumed, 8, Checkpoint(path))
    assert history["seconds"][:5] == first["seconds"]
    assert len(history["seconds"]) == 8


def test_a_second_fit_starts_from_nothing(tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.ckpt", make()
    fit(trainer, 5, Checkpoint(path))
    trainer.resume(path)
    assert fit(trainer, 7, Checkpoint(path)).epochs == 7
    assert fit(trainer, 3, Checkpoint(path)).epochs == 3


class SaveAfter(Callback):
    """Saves the run by itself after one epoch."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.epoch:
            run.save(self.path)


@pytest.mark.parametrize("form", FORMS)
def test_a_callback_may_save_the_run_by_itself(form: str, tmp_path: Path) -> None:
    path, whole, resumed = tmp_path / "run.ckpt", make(), make(seed=77)
    fit(whole, 20, SaveAfter(path, 8), **FORMS[form])
    resumed.resume(path)
    assert resumed.epoch == 0  # until the next fit, which continues the run
    assert fit(resumed, 20, SaveAfter(path, 99), seed=78, **FORMS[form]).epochs == 20
    assert everything(resumed) == everything(whole)


def test_a_run_with_metrics_is_resumed_with_the_same_ones(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"

    def trainer(metrics: Mapping[str, Metric], seed: int = 0) -> Trainer:
        plain = make(seed=seed)
        return Trainer(plain.model, plain.loss, plain.optimizer, metrics)

    whole, resumed, other = trainer({"f1": F1()}), trainer({"f1": F1()}, 77), trainer({"other": F1()}, 77)
    fit(whole, 10, Checkpoint(tmp_path / "whole.ckpt", every=3), batch_size=8)
    fit(trainer({"f1": F1()}), 6, Checkpoint(path, every=3), batch_size=8)
    other.resume(path)
    with pytest.raises(ValueError, match=r"metrics\[2\]: expected 'f1', as in the checkpoint, received 'other'"):
        fit(other, 10, Checkpoint(path, every=3), batch_size=8)
    resumed.resume(path)
    fit(resumed, 10, Checkpoint(path, every=3), batch_size=8)
    assert "val_f1" in everything(whole)
    assert everything(resumed) == everything(whole)


class Memory(Callback):
    """Keeps things of all kinds."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {"best": float("inf"), "worst": -np.inf, "none": None, "array": np.arange(3)}
        self.kept |= {"list": [1, 0.1, "text", [True], {"array": 5}], "nan": float("nan")}

    def state_dict(self) -> dict[str, Any]:
        return self.kept

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.loaded = dict(state)


def test_callbacks_may_keep_numbers_of_all_kinds_arrays_dictionaries_and_lists(tmp_path: Path) -> None:
    path, trainer, memory = tmp_path / "run.ckpt", make(), Memory()
    fit(make(), 1, Memory(), Checkpoint(path))
    trainer.resume(path)
    fit(trainer, 2, memory, Checkpoint(path))
    np.testing.assert_equal(memory.loaded, memory.kept)
    assert all(type(memory.loaded[name]) is float for name in ("best", "worst", "nan"))


def test_a_metric_may_be_infinite(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"

    def trainer() -> Trainer:
        model = Sequential(Dense(1, 1, rng=0))
        infinite = {"infinite": lambda prediction, target: float("inf")}
        return Trainer(model, minidl.MeanSquaredError(), SGD(model.parameters(), 0.01), infinite)

    def run(trainer: Trainer, epochs: int) -> History:
        data: dict[str, Any] = {"x": [[1.0], [2.0]], "y": [1.0, 2.0], "validation_data": ([[1.0]], [0.0])}
        callbacks = [EarlyStopping(patience=9), Checkpoint(path)]
        return trainer.fit(**data, epochs=epochs, print_every=None, callbacks=callbacks)

    run(trainer(), 2)
    resumed = trainer()
    resumed.resume(path)
    assert run(resumed, 3)["val_infinite"] == [np.inf] * 3


def test_when_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(Run, "save", lambda run, path: written.append(run.epoch))
    fit(make(), 8, Checkpoint(tmp_path / "x", every=3))
    assert written == [3, 6, 8]
    assert repr(Checkpoint("run.ckpt", 3)) == "Checkpoint('run.ckpt', every=3)"


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "run.ckpt"
    fit(make(), 3, Checkpoint(path), batch_size=8)
    return path


def assert_refused(trainer: Trainer, path: Path, error: type[Exception], message: str) -> None:
    before = everything(trainer)
    with pytest.raises(error, match=message):
        trainer.resume(path)
    assert everything(trainer) == before


def test_files_that_are_no_checkpoint(saved: Path, tmp_path: Path) -> None:
    assert_refused(make(), tmp_path / "missing", FileNotFoundError, "missing")
    minidl.save(mlp([50, 6, 1]), tmp_path / "model.npz")
    message = "model.npz: expected a file of format 'minidl checkpoint', received 'minidl model'"
    assert_refused(make(), tmp_path / "model.npz", ModelFileError, message)
    with pytest.raises(ModelFileError, match="expected a file of format 'minidl model', received 'minidl checkpoint'"):
        minidl.load(saved)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_files_that_are_torn_or_damaged(share: float, saved: Path, tmp_path: Path) -> None:
    content, path = saved.read_bytes(), tmp_path / "torn.ckpt"
    at = int(share * len(content))
    path.write_bytes(content[:at])
    assert_refused(make(), path, ModelFileError, r"torn\.ckpt: ")


def other_architecture() -> Trainer:
    model = Sequential(Dense(50, 7), BatchNorm(7), ReLU(), Dropout(0.2), Dense(7, 1), Sigmoid())
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, 0.9, nesterov=True, weight_decay=0.01))


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (make("Adam"), r"resume: the checkpoint is of SGD, received Adam\("),
        (make("SGD"), r"the checkpoint's SGD has other settings; momentum: expected 0.9, received 0.0"),
        (other_architecture(), r"does not fit the model; nothing was loaded:\n  0.weight: expected shape \(7, 50\)"),
    ],
)
def test_checkpoints_of_something_else(trainer: Trainer, message: str, saved: Path) -> None:
    assert_refused(trainer, saved, ValueError, message)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"batch_size": 9}, "batch_size: expected 8, as in the checkpoint, received 9"),
        ({"batch_size": None}, "batch_size: expected 8, as in the checkpoint, received None"),
        ({"x": X[:29], "y": Y[:29]}, "samples: expected 30, as in the checkpoint, received 29"),
        ({"validation_data": None}, r"metrics: expected \['loss', .*'val_loss', .*received \['loss', 'acc"),
        ({"callbacks": []}, r"callbacks: expected \['LearningRateSchedule', .*\], as in the checkpoint, received \[\]"),
        ({"x": X[:30, :9]}, r"layer 0, Dense\(50 -> 6\): expected \(batch, 50\)"),
        ({"callbacks": ["bad monitor"]}, "EarlyStopping monitor: expected one of"),
    ],
)
def test_a_fit_that_is_not_the_same_run_is_refused_and_the_right_one_goes_on(
    other: dict[str, Any], message: str, saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "run.ckpt"
    trainer, whole = make(seed=3), make()
    trainer.resume(saved)
    before, rate = trainer.model.state_dict(), trainer.optimizer.learning_rate
    callbacks: list[Callback] = [LearningRateSchedule(lambda epoch: 7.0), EarlyStopping(), Checkpoint(path)]
    if other.get("callbacks"):
        other = {"callbacks": [callbacks[0], EarlyStopping("nothing"), callbacks[2]]}
    arguments: dict[str, Any] = {"x": TRAIN[0], "y": TRAIN[1], "batch_size": 8, "validation_data": VALIDATION}
    arguments |= {"callbacks": callbacks, "print_every": None, **other}
    with pytest.raises(ValueError, match=message):
        trainer.fit(epochs=EPOCHS, **arguments)
    for name, array in trainer.model.state_dict().items():
        assert array.tobytes() == before[name].tobytes()
    assert trainer.optimizer.learning_rate == rate
    fit(trainer, 6, Checkpoint(path), batch_size=8, seed=9)
    fit(whole, 6, Checkpoint(path), batch_size=8)
    assert everything(trainer) == everything(whole)


def test_a_missing_generator_is_named(saved: Path) -> None:
    trainer = make()
    trainer.resume(saved)
    del vars(dict(trainer.model.named_modules())["3"])["rng"]
    with pytest.raises(ValueError, match=r"random generators: expected \['batches', '3.rng'\], as in the checkpoint"):
        fit(trainer, EPOCHS, Checkpoint(saved), batch_size=8)


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Checkpoint every: expected a whole number of at least 1, received 0"):
        Checkpoint("x", every=0)
    trainer = make()
    before = everything(trainer)
    with pytest.raises(FileNotFoundError, match=r"Checkpoint path: there is no folder .*missing"):
        fit(trainer, 3, Checkpoint(tmp_path / "missing" / "run.ckpt"))
    assert everything(trainer) == before


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ckpt"
    path.write_bytes(saved.read_bytes())

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="no space left"):
        fit(make(), 3, Checkpoint(path))
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


# --- kills -----------------------------------------------------------------------------------------------------------

KILLS = {"full batch": 7, "mini-batches": 7, "dual": 6}
PROGRAM = """
import sys
from pathlib import Path
from test_checkpoint import *

path = Path(sys.argv[1])
trainer = make()
if path.exists():
    trainer.resume(path)
trainer.fit(
    *TRAIN, EPOCHS, validation_data=VALIDATION, print_every=1, rng=5, **FORMS[sys.argv[2]],
    callbacks=[LearningRateSchedule(cosine(0.1, 0.01, EPOCHS)), EarlyStopping(patience=1000), Checkpoint(path)],
)
print("done", flush=True)
sys.stdin.read()  # a process that is to be killed waits for it here, so that no kill comes too late
"""


def start(path: Path, form: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), form],
        cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def epoch_of(line: str) -> int:
    """Return the epoch that a line of progress names, and a later one for the end."""
    return EPOCHS if line == "done\n" else int(line.partition(":")[0].split()[-1])


def kill_after(path: Path, form: str, epoch: int, fraction: float) -> None:
    """Start or resume the run, and kill it a moment after it has printed the line of an epoch."""
    with start(path, form) as process:
        assert process.stdout is not None
        assert any(epoch_of(line) >= epoch for line in process.stdout)
        # An epoch and its checkpoint take some milliseconds: this spreads the kills over all that happens in them.
        time.sleep(fraction * 0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("form", KILLS)
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bits(form: str, tmp_path: Path) -> None:
    path, options, rng = tmp_path / "run.ckpt", FORMS[form], np.random.default_rng(11)
    for epoch in np.sort(rng.choice(EPOCHS - 8, KILLS[form], replace=False)):
        kill_after(path, form, int(epoch), rng.random())
        if path.exists():
            make().resume(path)  # the file is whole
        others = [other.name for other in tmp_path.iterdir() if other != path]
        assert all(name.startswith(".minidl-") and name.endswith(".tmp") for name in others)
    with start(path, form) as process:
        process.communicate("")
    assert process.returncode == 0
    whole = make()
    fit(whole, EPOCHS, Checkpoint(tmp_path / "whole.ckpt"), **options)
    assert finish(make(seed=9), path, **options) == everything(whole)


@pytest.mark.parametrize("header", [{"epoch": 3}, {"model": {ARRAY: "gone"}}])
def test_a_file_with_other_fields_is_no_checkpoint(header: dict[str, Any], tmp_path: Path) -> None:
    write_archive(tmp_path / "odd", KIND, header, {})
    message = r"odd: not a whole checkpoint: (expected the fields model|it refers to an array 'gone')"
    with pytest.raises(ModelFileError, match=message):
        read_checkpoint(tmp_path / "odd")
