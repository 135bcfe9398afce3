"""The benchmark of a service: its sides answer alike, and its figures are those of its calls."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import serving_sides
from benchmarks.serving import TARGETS, Figures, comparisons, write_networks
from benchmarks.serving_sides import SIDES, SIZE, figures, photographs


def test_all_sides_give_one_probability(tmp_path: Path) -> None:
    sides, x = write_networks(tmp_path), photographs(3)
    assert sides[0] == "minidl"
    expected = SIDES["minidl"](tmp_path)(x)
    assert expected.shape == (3, 1)
    assert len(np.unique(expected)) == 3
    for side in sides:
        if "," not in side:  # the others would change this process's number of threads, or their order
            np.testing.assert_allclose(SIDES[side](tmp_path)(x), expected, rtol=0, atol=1e-5, err_msg=side)


def test_figures_are_those_of_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count()
    monkeypatch.setattr("time.perf_counter", lambda: next(clock) / 8)
    monkeypatch.setattr("time.process_time", iter([3.0, 5.0]).__next__)
    shapes = []

    def answer(x: NDArray[np.uint8]) -> NDArray[np.float32]:
        shapes.append(x.shape)
        return np.zeros((len(x), 1), np.float32)

    found = figures(answer, threads=1, batch=2)
    assert found == {"between answers": 1 / 8, "median": 1 / 8, "99th percentile": 1 / 8, "processor time": 2 / 8}
    assert shapes == [(2, SIZE, SIZE, 3)] * 8


def test_several_threads_answer_more_often_than_a_call_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [[0.5, 0.5], [0.25] * 3 + [1.0]]
    monkeypatch.setattr(serving_sides, "seconds_of_calls", lambda answer, threads, batch: calls)
    found = figures(lambda x: x.astype(np.float32), threads=2, batch=1)
    assert found["between answers"] == pytest.approx(1 / (2 / 1 + 4 / 1.75))
    assert found["median"] == 0.375
    assert 0.5 < found["99th percentile"] <= 1


def test_targets_stand_at_the_peers_of_their_jobs() -> None:
    job = "one photograph a call, 8 threads"
    own: Figures = {job: {"between answers": 1.0, "median": 5.0}}
    peer: Figures = {job: {"between answers": 2.0, "median": 5.0}}
    answers, medians = comparisons([{"minidl": own, "PyTorch": peer}] * 2)
    assert answers.values == {side: [] for side in SIDES} | {"minidl": [1.0, 1.0], "PyTorch": [2.0, 2.0]}
    peers = [side for side in SIDES if "minidl" not in side]
    assert answers.targets == dict.fromkeys(peers, TARGETS[job, "between answers"])
    assert answers.ratio("PyTorch") == 2
    assert not medians.targets
