"""Progress: nothing, the article's lines, or a bar, and never more of it than can be read."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minidl import SGD, BinaryCrossEntropy, Callback, History, Run, Trainer, mlp
from minidl.data import Batches
from minidl.training import progress
from minidl.training.progress import checked_print_every, make_progress

X, Y = [[0.0], [1.0]], [0, 1]


FULL_BATCH = Batches(X, Y)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FakeBar:
    """What of tqdm is used; it counts the changes."""

    made: list[FakeBar] = []  # noqa: RUF012

    def __init__(self, total: int, initial: int, unit: str, **options: Any) -> None:
        self.total, self.n, self.unit = total, initial, unit
        self.postfix: dict[str, str] = {}
        self.descriptions: list[str] = []
        self.updates, self.closed = 0, False
        self.made.append(self)

    def set_description_str(self, text: str, refresh: bool) -> None:
        self.descriptions.append(text)

    def set_postfix(self, values: Mapping[str, str], refresh: bool) -> None:
        self.postfix = dict(values)

    def update(self, count: int) -> None:
        self.updates += 1
        self.n += count

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # pytest puts its own stream into `sys` when the test begins, hence the name in the module.
    stream = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream, modules=sys.modules))
    return stream


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> list[FakeBar]:
    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=FakeBar))
    monkeypatch.setattr(FakeBar, "made", [])
    return FakeBar.made


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds_per_look: float) -> None:
    looks = iter(range(1, 10**9))
    clock = SimpleNamespace(perf_counter=lambda: 1000 + next(looks) * seconds_per_look)
    monkeypatch.setattr(progress, "time", clock)


def fit(epochs: int, print_every: Any = 50, **options: Any) -> History:
    model = mlp([1, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    return trainer.fit(X, Y, epochs, print_every=print_every, **options)


def test_2500_epochs_are_51_lines(capsys: pytest.CaptureFixture[str]) -> None:
    costs = fit(2500)["loss"]
    captured = capsys.readouterr()
    shown = [*range(0, 2500, 50), 2499]
    assert captured.out.splitlines() == [f"Cost after iteration {i}: {costs[i]:.6f}" for i in shown]
    assert len(shown) == 51
    assert captured.err == ""


def test_the_last_line_stands_there_once(capsys: pytest.CaptureFixture[str]) -> None:
    fit(7, print_every=3, batch_size=1, rng=0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"Cost after epoch {i}" for i in (0, 3, 6)]


def test_validation_stands_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    history = fit(1, validation_data=(X, Y))
    expected = f"  val_loss {history['val_loss'][0]:.4f}  val_accuracy {history['val_accuracy'][0]:.4f}\n"
    assert capsys.readouterr().out.endswith(expected)


class StopAfter(Callback):
    def __init__(self, epoch: int, interrupt: bool = False) -> None:
        self.epoch, self.interrupt = epoch, interrupt

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.epoch and self.interrupt:
            raise KeyboardInterrupt
        if epoch == self.epoch:
            run.stop()


@pytest.mark.parametrize("interrupt", [False, True])
def test_the_last_line_is_printed_after_an_early_end(interrupt: bool, capsys: pytest.CaptureFixture[str]) -> None:
    history = fit(100, callbacks=[StopAfter(57, interrupt)])
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"Cost after iteration {i}: {history['loss'][i]:.6f}" for i in (50, 57)
    ]


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    fit(3, print_every=None)
    assert capsys.readouterr() == ("", "")


def test_silence_on_a_terminal(bars: list[FakeBar], terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    fit(3, print_every=None)
    assert bars == []
    assert terminal.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_no_bar_where_there_is_no_terminal(
    bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=io.StringIO(), modules=sys.modules))
    fit(3)
    assert bars == []
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("name", progress.NOTEBOOK_MODULES)
def test_the_bar_that_tqdm_chooses_for_a_notebook(
    name: str, bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class NotebookBar(FakeBar):
        """What tqdm.auto has."""

    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=io.StringIO(), modules={name: None}))
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=NotebookBar))
    history = fit(3)
    (bar,) = bars
    assert type(bar) is NotebookBar
    assert (bar.n, bar.postfix, bar.closed) == (3, {"loss": f"{history['loss'][-1]:.4f}"}, True)
    assert capsys.readouterr().out == ""


def test_lines_in_a_notebook_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    modules = dict.fromkeys(progress.NOTEBOOK_MODULES)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=io.StringIO(), modules=modules))
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    fit(3)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_lines_on_a_terminal_without_tqdm(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit(3)
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("seconds_per_epoch", [1e-6, 0.03, 5.0])
def test_the_bar_ends_at_the_last_epoch_and_its_cost(
    seconds_per_epoch: float, bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_clock(monkeypatch, seconds_per_epoch)
    history = fit(10, validation_data=(X, Y))
    (bar,) = bars
    assert (bar.n, bar.total, bar.unit, bar.closed) == (10, 10, "iteration", True)
    assert bar.postfix == {name: f"{history[name][-1]:.4f}" for name in ("loss", "val_loss", "val_accuracy")}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("interrupt", [False, True])
def test_the_bar_ends_at_the_last_epoch_of_an_early_end(
    interrupt: bool, bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 1e-6)
    history = fit(100, callbacks=[StopAfter(57, interrupt)])
    assert (bars[0].n, bars[0].closed) == (58, True)
    assert bars[0].postfix == {"loss": f"{history['loss'][57]:.4f}"}


def test_the_bar_changes_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch, bars: list[FakeBar]) -> None:
    for epochs in (1_000, 100_000):
        set_clock(monkeypatch, 2.0 / epochs)  # two seconds in all
        shown = make_progress(0, epochs, 50, FULL_BATCH)
        for epoch in range(epochs):
            shown.epoch_done(epoch, {"loss": 0.5})
        shown.close()
        assert 10 <= bars[-1].updates <= 22
        assert bars[-1].n == epochs


def test_the_bar_of_a_resumed_run_starts_where_it_left_off(bars: list[FakeBar]) -> None:
    make_progress(40, 60, 50, FULL_BATCH)
    assert (bars[0].n, bars[0].total) == (40, 60)


def test_a_refused_fit_opens_no_bar(bars: list[FakeBar]) -> None:
    model = mlp([2, 1], rng=0)
    with pytest.raises(ValueError, match=r"expected \(batch, 2\)"):
        Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).fit(X, Y, 1)
    assert bars == []


def test_the_bar_of_tqdm_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    history = fit(500)
    drawn = terminal.getvalue()
    assert "500/500" in drawn
    assert f"loss={history['loss'][-1]:.4f}" in drawn


@pytest.mark.parametrize(("epochs", "lines"), [(3, 3), (50, 50), (120, 61), (2500, 51)])
def test_some_fifty_lines_unless_told_otherwise(epochs: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    fit(epochs, "auto")
    assert len(capsys.readouterr().out.splitlines()) == lines


@pytest.mark.parametrize("value", [0, -1, 1.5, "always", True])
def test_another_print_every_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="print_every: expected "):
        checked_print_every(value, 10)


@pytest.mark.parametrize("seconds_per_look", [1e-6, 0.03, 5.0])
def test_the_bar_within_an_epoch(seconds_per_look: float, bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of all epochs, so that the rate is samples a second and the time left that of the whole training."""
    set_clock(monkeypatch, seconds_per_look)
    x, y = np.arange(7.0)[:, None], [0, 1, 0, 1, 0, 1, 0]
    trainer = Trainer(model := mlp([1, 1], rng=0), BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    history = trainer.fit(x, y, 3, batch_size=3, rng=0, validation_data=(x, y))
    (bar,) = bars
    assert (bar.n, bar.total, bar.unit, bar.closed) == (21, 21, "sample", True)
    assert bar.descriptions[-1] == "epoch 3/3"
    assert bar.postfix == {name: f"{history[name][-1]:.4f}" for name in ("loss", "val_loss", "val_accuracy")}
    expected = [f"epoch {epoch}/3, batch {batch}/3" for epoch in (1, 2, 3) for batch in (1, 2, 3)]
    if seconds_per_look == 5.0:
        assert bar.descriptions[:-1] == expected
    assert set(bar.descriptions[:-1]) <= set(expected)


def test_the_bar_counts_whole_batches_alone_where_the_last_is_left_out(bars: list[FakeBar]) -> None:
    trainer = Trainer(model := mlp([1, 1], rng=0), BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    trainer.fit(np.arange(7.0)[:, None], [0, 1] * 3 + [1], 2, batch_size=3, drop_last=True)
    assert (bars[0].n, bars[0].total) == (12, 12)


def test_the_bar_within_an_epoch_of_tqdm_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    trainer = Trainer(model := mlp([1, 1], rng=0), BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    trainer.fit(np.arange(600.0)[:, None], np.arange(600) % 2, 5, batch_size=3)
    drawn = terminal.getvalue()
    assert "epoch 5/5: 100%" in drawn
    assert "3.00k/3.00k" in drawn
    assert "sample/s" in drawn
