"""Callbacks that watch a metric or count steps: the best model's file, rates on a plateau, schedules of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import (
    SGD,
    BatchNorm,
    BestModel,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    EarlyStopping,
    LearningRateSchedule,
    ReduceOnPlateau,
    ReLU,
    Run,
    Sequential,
    Trainer,
    load,
    load_metadata,
)
from minidl._typing import Array
from minidl.schedules import warm_restarts

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 30)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)
VALIDATION = (RNG.normal(size=(9, 30)).astype(np.float32), RNG.integers(2, size=(9, 1)))
FORMS: dict[str, dict[str, Any]] = {"full batch": {"dual": False}, "mini": {"batch_size": 6}, "dual": {"dual": True}}


def make(seed: int = 0) -> Trainer:
    model = Sequential(Dense(30, 5, rng=seed), BatchNorm(5), ReLU(), Dense(5, 1, rng=seed))
    return Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.5, momentum=0.5))


def fit(trainer: Trainer, epochs: int, *callbacks: Callback, **options: Any) -> None:
    trainer.fit(X, Y, epochs, validation_data=VALIDATION, print_every=None, rng=3, callbacks=callbacks, **options)


class Play(Callback):
    """Plays the values of a metric, as if they had been measured, and records rates."""

    def __init__(self, callback: Callback, values: list[float]) -> None:
        self.callback, self.values = callback, values
        self.rates: list[float] = []

    def on_fit_begin(self, run: Run) -> None:
        self.callback.on_fit_begin(run)

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.rates.append(run.optimizer.learning_rate)
        self.callback.on_epoch_end(run, epoch, {**metrics, "val_loss": self.values[epoch]})


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([1.0, 0.9, 0.8, 0.5, float("nan"), float("inf")]), min_size=1, max_size=15),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.15]),
    st.sampled_from([0.0, 0.02]),
)
def test_rates_on_a_plateau_against_the_plain_loop(
    values: list[float], patience: int, min_delta: float, min_rate: float
) -> None:
    play = Play(ReduceOnPlateau("val_loss", 0.5, patience, min_delta, min_rate), values)
    trainer = make()
    trainer.optimizer.learning_rate = 0.1
    fit(trainer, len(values), play, dual=False)
    rate, best, wait, expected = 0.1, float("inf"), 0, []
    for value in values:
        expected.append(rate)
        wait += 1
        if value < best - min_delta:
            best, wait = value, 0
        elif wait == patience:
            rate, wait = max(rate / 2, min_rate), 0
    assert play.rates == pytest.approx(expected, rel=1e-12)
    assert trainer.optimizer.learning_rate == pytest.approx(rate, rel=1e-12)


def test_a_rate_below_the_least_stays() -> None:
    trainer = make()
    trainer.optimizer.learning_rate = 1e-9
    fit(trainer, 3, Play(ReduceOnPlateau(patience=1, min_rate=1e-3), [1.0, 1.0, 1.0]))
    assert trainer.optimizer.learning_rate == 1e-9


class Copies(Callback):
    """Copies the weights and the metrics of the beginning of the run and after every epoch."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Array]] = []

    def on_fit_begin(self, run: Run) -> None:
        self.weights = [run.model.state_dict()]

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.weights.append(run.model.state_dict())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "loss"])
def test_the_file_of_the_best_epoch(form: str, monitor: str, tmp_path: Path) -> None:
    path, copies, trainer = tmp_path / "best.npz", Copies(), make()
    best = BestModel(path, monitor, class_names=("a", "b"))
    fit(trainer, 12, copies, best, **FORMS[form])
    values = trainer.history[monitor]
    epoch = int(np.argmax(values) if monitor == "val_accuracy" else np.argmin(values))
    before = monitor == "loss" and form != "mini"
    assert best.best_epoch == epoch
    for name, array in load(path).state_dict().items():
        np.testing.assert_array_equal(array, copies.weights[epoch + (not before)][name])
    assert load_metadata(path) == {"class_names": ["a", "b"]}
    if monitor == "val_loss":
        model = load(path)
        evaluated = Trainer(model, trainer.loss, SGD(model.parameters())).evaluate(*VALIDATION)
        assert evaluated["loss"] == pytest.approx(min(values), rel=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["best.npz"]


def test_a_model_is_written_only_after_the_best_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("minidl.training.callbacks.best_model.save", lambda *_, **__: written.append("x"))
    values = [float("nan"), 3.0, 3.0, 2.0, 5.0, 1.0]
    fit(make(), 6, Play(BestModel(tmp_path / "b"), values))
    assert len(written) == 3


def test_a_second_fit_forgets_the_first(tmp_path: Path) -> None:
    best, reduce = BestModel(tmp_path / "b"), ReduceOnPlateau(patience=99)
    steps = LearningRateSchedule(lambda step: 0.1 / (1 + step), per="step")
    for _ in range(2):
        best.best = reduce.best = -1.0
        fit(make(), 3, best, reduce, steps, batch_size=6)
        assert best.best == reduce.best > 0
        assert best.best_epoch >= 0
        assert steps.step == 3 * 4


class BreakOff(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.epoch:
            raise RuntimeError("broken off")


def everything(trainer: Trainer) -> dict[str, bytes]:
    state = {**trainer.model.state_dict(), **trainer.optimizer.state_dict()}
    return {name: np.asarray(value).tobytes() for name, value in state.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("monitor", ["val_loss", "loss"])
@pytest.mark.parametrize("per", ["step", None])
def test_a_resumed_run_ends_in_the_same_bits(form: str, monitor: str, per: Any, tmp_path: Path) -> None:
    def callbacks(name: str, broken_off: int) -> list[Callback]:
        (tmp_path / name).mkdir(exist_ok=True)
        rates: Callback = ReduceOnPlateau(monitor, 0.5, patience=2, min_delta=0.01)
        if per is not None:
            rates = LearningRateSchedule(warm_restarts(0.5, 0.01, 7, growth=2), per=per)
        best = BestModel(tmp_path / name / "best.npz", monitor)
        return [rates, best, Checkpoint(tmp_path / name / "run.ckpt", every=7), BreakOff(broken_off)]

    whole, first, resumed = make(), make(), make(seed=7)
    fit(whole, 25, *callbacks("whole", -1), **FORMS[form])
    with pytest.raises(RuntimeError, match="broken off"):
        fit(first, 25, *callbacks("part", 17), **FORMS[form])
    resumed.resume(tmp_path / "part" / "run.ckpt")
    fit(resumed, 25, *callbacks("part", -1), **FORMS[form])
    assert everything(resumed) == everything(whole)
    best = [load(tmp_path / name / "best.npz").state_dict() for name in ("whole", "part")]
    assert all(np.array_equal(best[0][name], best[1][name]) for name in best[0])
    if per is None:
        assert whole.optimizer.learning_rate < 0.5


@pytest.mark.parametrize("form", ["full batch", "mini"])
def test_each_step_trains_with_its_own_rate(form: str) -> None:
    class Rates(Callback):
        def on_fit_begin(self, run: Run) -> None:
            rates.append(run.optimizer.learning_rate)

        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            rates.append(run.optimizer.learning_rate)

    rates: list[float] = []
    schedule = warm_restarts(0.5, 0.01, 5)
    fit(make(), 3, LearningRateSchedule(schedule, per="step"), Rates(), **FORMS[form])
    steps = 3 * (1 if form == "full batch" else 4)
    assert rates == [schedule(step) for step in range(steps + 1)]


def test_bad_arguments(tmp_path: Path) -> None:
    cases: list[tuple[Callable[[], Callback], str]] = [
        (lambda: ReduceOnPlateau(factor=1.0), "ReduceOnPlateau factor: expected a number below 1, received 1.0"),
        (lambda: ReduceOnPlateau(factor=0), "ReduceOnPlateau factor: expected a finite number above 0, received 0"),
        (lambda: ReduceOnPlateau(patience=0), "ReduceOnPlateau patience: expected a whole number of at least 1"),
        (lambda: ReduceOnPlateau(min_delta=-1), "ReduceOnPlateau min_delta: expected a finite number of at least 0"),
        (lambda: ReduceOnPlateau(min_rate=-1), "ReduceOnPlateau min_rate: expected a finite number of at least 0"),
        (lambda: BestModel("b", names={1}), r"BestModel metadata\.names"),
        (lambda: LearningRateSchedule(abs, per="batch"), "per: expected 'epoch' or 'step', received 'batch'"),  # type: ignore[arg-type]
    ]
    for make_callback, message in cases:
        with pytest.raises(ValueError, match=message):
            make_callback()
    for kind in (BestModel("b", "val_f1"), ReduceOnPlateau("val_f1"), EarlyStopping("val_f1")):
        with pytest.raises(ValueError, match=f"{type(kind).__name__} monitor: expected one of loss, .*'val_f1'"):
            fit(make(), 1, kind)
    with pytest.raises(ValueError, match=r"BestModel monitor: .*; pass validation_data to fit"):
        make().fit(X, Y, 1, callbacks=[BestModel("b")])
    with pytest.raises(FileNotFoundError, match="BestModel path: there is no folder"):
        fit(make(), 1, BestModel(tmp_path / "none" / "best.npz"))


@pytest.mark.parametrize(
    ("callback", "state", "message"),
    [
        (BestModel("b"), {"best": "x", "best_epoch": 1}, "BestModel state: expected a best value and its epoch"),
        (BestModel("b"), {}, "BestModel state: expected a best value and its epoch"),
        (ReduceOnPlateau(), {"best": 1.0, "best_epoch": 1}, "ReduceOnPlateau state: expected the epoch it waits from"),
        (ReduceOnPlateau(), {"best": 1.0, "best_epoch": -2, "waiting_since": 1}, "a best value and its epoch"),
        (LearningRateSchedule(abs, per="step"), {"step": -1}, "expected a whole number of steps, received -1"),
        (LearningRateSchedule(abs, per="step"), {}, "expected a whole number of steps, received None"),
        (LearningRateSchedule(abs), {"step": 3}, "expected none, received 3"),
    ],
)
def test_states_that_are_none(callback: Callback, state: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        callback.load_state_dict(state)
