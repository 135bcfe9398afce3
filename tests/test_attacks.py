"""Attacks on the whole package, each in a process of its own and with small counts, and that they notice faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from benchmarks.attacks.catalogue import ATTACKS
from benchmarks.attacks.isolation import ROOT, attack, run_apart
from benchmarks.attacks.outcome import Outcome

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, limits and forks are not Windows's")


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_is_lost(name: str) -> None:
    outcome = run_apart(name, ATTACKS[name].small, seed=0, timeout=300)
    first = "\n".join(outcome.lost[:5])
    assert not outcome.lost, f"{len(outcome.lost)} of {outcome.tried} lost, first\n{first}"
    assert outcome.tried >= ATTACKS[name].small
    assert outcome.answers.total() > 0


def test_every_attack_is_in_the_catalogue() -> None:
    files = Path(ROOT, "benchmarks", "attacks").glob("*.py")
    assert {path.stem for path in files if "\ndef run(count: int, seed: int)" in path.read_text()} == set(ATTACKS)


def test_an_outcome_survives_its_way_to_another_process() -> None:
    outcome = Outcome("name")
    outcome.answer("loaded")
    outcome.settle("loaded", ["a", "b"], "attempt 3")
    again = Outcome.from_json(outcome.to_json())
    assert again == outcome
    assert again.lost == ["attempt 3: a; b"]
    assert again.line(1.25).split() == ["name", "2", "tried", "1", "lost", "1.2", "s", "1", "loaded,", "1", "lost"]


def test_a_crash_and_a_hang_are_losses() -> None:
    assert "no_such_attack" in run_apart("no_such_attack", 1, 0, timeout=60).lost[0]
    assert run_apart("memory", 10**9, 0, timeout=2).lost == ["no end within 2 s"]


@pytest.mark.parametrize(("names", "status"), [(["pickling"], 0), (["no_such_attack"], 2)])
def test_the_program_prints_a_line_of_each(names: list[str], status: int) -> None:
    command = [sys.executable, "-m", "benchmarks.attacks", *names]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == status, ended.stderr
    assert status or ended.stdout.startswith("pickling")


Patch = Callable[[pytest.MonkeyPatch], None]


def load_other_weights(patch: pytest.MonkeyPatch) -> None:
    plain = minidl.load

    def load(path: Any) -> Any:
        model = plain(path)
        for parameter in model.parameters():
            parameter.data += 1
        return model

    patch.setattr(minidl, "load", load)


def load_with_any_error(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(minidl, "load", lambda path: {}[path])


def load_in_much_memory(patch: pytest.MonkeyPatch) -> None:
    plain = minidl.load
    patch.setattr(minidl, "load", lambda path: (np.zeros(2**24), plain(path))[1])


def change_before_refusal(patch: pytest.MonkeyPatch) -> None:
    plain = minidl.Trainer.resume

    def resume(trainer: minidl.Trainer, path: Any) -> None:
        try:
            plain(trainer, path)
        except ValueError:
            trainer.model.parameters()[0].data += 1
            raise

    patch.setattr(minidl.Trainer, "resume", resume)


def write_in_place(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def write(path: Any) -> Any:
        with Path(path).open("wb") as file:
            yield file

    patch.setattr("minidl.archive.atomic_write", write)


def read_as_other_shape(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("benchmarks.attacks.photographs.read_image", lambda path, size: np.zeros(size, np.uint8))


def predict_without_looking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(minidl.Module, "predict", lambda model, x, batch_size=None: np.zeros((6, 1)))


def end_without_a_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        minidl.History, "interrupted", property(lambda history: False, lambda history, value: None), raising=False
    )


def share_arrays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(minidl.Module, "__deepcopy__", lambda module, memo: module, raising=False)


@pytest.mark.parametrize(
    ("name", "count", "fault", "expected"),
    [
        ("model_files", 30, load_other_weights, "other numbers"),
        ("model_files", 4, load_with_any_error, "KeyError"),
        ("model_files", 4, load_in_much_memory, "134 MB for a file"),
        ("checkpoints", 4, change_before_refusal, "model or optimizer changed"),
        ("disk", 10, write_in_place, "the old file has changed"),
        ("photographs", 1, read_as_other_shape, "received array"),
        ("odd_arrays", 1, predict_without_looking, "expected to be refused"),
        ("lines", 6, end_without_a_word, "interrupted"),
        ("pickling", 1, share_arrays, "arrays are shared"),
    ],
)
def test_a_fault_is_noticed(
    name: str, count: int, fault: Patch, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])  # which one attack changes
    fault(monkeypatch)
    with np.errstate(all="ignore"):
        assert any(expected in line for line in attack(name, count, seed=0).lost)
