"""The benchmarks' own arithmetic: ratios pair by pair, targets, the table, and which parts of the package they time."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import benchmarks.comparison as comparison_module
import benchmarks.tuning as tuning_benchmark
from benchmarks.__main__ import CLAIMS
from benchmarks.comparison import BEST_PEER, Comparison, Limit, Target, compare
from benchmarks.overhead import LEARNING_RATE, bare_loop
from benchmarks.profile import REST, WHOLE, calls, mlp_steps, shares
from benchmarks.report import as_json, table
from benchmarks.tuning import Trial, measured, multiples
from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
from minidl.ops import tuning


def test_rivals_take_turns_and_the_warm_up_is_left_out() -> None:
    turns: list[str] = []

    def measurement(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    rivals = {"a": lambda: measurement("a"), "b": lambda: measurement("b"), "c": None}
    found = compare("job", rivals, repetitions=2)
    assert "".join(turns) == "ababab"
    assert found.values == {"a": [3.0, 5.0], "b": [4.0, 6.0], "c": []}


def test_a_slow_rival_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(comparison_module, "PAUSE", 0)

    def measurement(seconds: float) -> float:
        now[0] += seconds
        return seconds

    limit = comparison_module.SLOW
    rivals = {"own": lambda: measurement(2 * limit), "slow": lambda: measurement(3 * limit), "fast": lambda: 1.0}
    found = compare("job", rivals, repetitions=3)
    assert {name: len(values) for name, values in found.values.items()} == {"own": 3, "slow": 1, "fast": 3}
    assert found.ratio("slow") == 1.5
    assert table(found)


def test_table_and_json_show_ratio_target_and_what_is_not_installed() -> None:
    targets = {"minidl": Target(at_most=0.001), "peer": Target(at_least=3.0)}
    # The ratios pair by pair are 4, 1 and 2; that of the medians would be 1.5.
    values = {"minidl": [0.001, 0.003, 0.002], "peer": [0.004, 0.003, 0.004], "other": []}
    comparison = Comparison("a job", "s", values, targets)
    assert comparison.ratio("peer") == 2.0
    job, own, peer, other = table(comparison).splitlines()
    assert job == "a job"
    assert own.split() == [
        "minidl",
        "2",
        "ms",
        "(1",
        "ms",
        "to",
        "3",
        "ms)",
        "target",
        "at",
        "most",
        "0.001",
        "s:",
        "MISSED",
    ]
    assert peer.split() == [
        "peer",
        "4",
        "ms",
        "(3",
        "ms",
        "to",
        "4",
        "ms)",
        "2x",
        "target",
        "at",
        "least",
        "3",
        "x:",
        "MISSED",
    ]
    assert other.split() == ["other", "not", "installed"]
    entry = as_json(comparison)["rivals"]["peer"]
    assert (entry["ratio"], entry["target"], entry["met"]) == (2.0, "at least 3", False)
    assert as_json(comparison)["rivals"]["other"] == {"installed": False, "values": []}


def test_the_best_peer_is_named_and_held_to_the_target() -> None:
    values = {"minidl": [1.0, 2.0], "slow": [9.0, 9.0], "fast": [1.5, 3.0], "other": []}
    comparison = Comparison("a job", "s", values, {BEST_PEER: Target(at_least=2.0)}, Limit(0.75, "memory"))
    assert comparison.best_peer == "fast"
    _, limit, own, _, fast, _, best = table(comparison).splitlines()
    assert limit.split() == ["limit", "of", "the", "machine", "750", "ms", "(memory)"]
    assert own.split()[-4:] == ["50%", "of", "the", "limit"]
    assert fast.split()[-5:] == ["1.5x", "33%", "of", "the", "limit"]
    assert best.split() == ["best", "peer:", "fast", "1.5x", "target", "at", "least", "2", "x:", "MISSED"]
    found = as_json(comparison)
    assert found["best_peer"] == {"name": "fast", "ratio": 1.5, "target": "at least 2", "met": False}
    assert found["limit"] == {"seconds": 0.75, "cause": "memory"}


@pytest.mark.parametrize(
    ("seconds", "share"), [(1e-7, "<0.01%"), (0.00123, "0.12%"), (0.5, "50%"), (0.997, "100%"), (1.234, "123%")]
)
def test_shares_of_the_limit(seconds: float, share: str) -> None:
    comparison = Comparison("a job", "s", {"minidl": [1.0]}, limit=Limit(seconds, "memory"))
    assert table(comparison).splitlines()[-1].endswith(f" {share} of the limit")


def test_without_a_peer_there_is_no_best_one() -> None:
    comparison = Comparison("a job", "s", {"minidl": [1.0], "peer": []}, {BEST_PEER: Target(at_least=2.0)})
    assert comparison.best_peer is None
    assert table(comparison).splitlines()[1:] == [
        f"  {'minidl':<28}      1 s   (1 s to 1 s)",
        f"  {'peer':<28}not installed",
    ]
    assert "best_peer" not in as_json(comparison)


def test_every_claim_can_be_measured() -> None:
    for claim in CLAIMS:
        module = importlib.import_module(f"benchmarks.{claim}")
        assert callable(module.measure)
        assert module.__doc__


def test_the_bare_loop_makes_the_steps_of_the_trainer() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 6), dtype=np.float32), rng.integers(0, 2, (50, 1)).astype(np.float32)
    trained, looped = mlp([6, 4, 3, 1], rng=0), mlp([6, 4, 3, 1], rng=0)
    Trainer(trained, BinaryCrossEntropy(), SGD(trained.parameters(), LEARNING_RATE)).fit(x, y, 5, print_every=None)
    bare_loop(looped, x, y, 5)
    for received, expected in zip(looped.parameters(), trained.parameters(), strict=True):
        np.testing.assert_array_equal(received.data, expected.data)
        assert (received.data != 0).any()


@pytest.mark.parametrize(
    ("dual", "own_parts"),
    [(False, {"Dense forward"}), (True, {"Dense forward", "DualLayer forward", "DualLayer backward"})],
)
def test_the_profile_times_layers_update_and_gram_matrix(dual: bool, own_parts: set[str]) -> None:
    values = shares("job", 3, mlp_steps([40, 4, 3, 1], 9, None, 3, dual=dual)).values
    parts = {"Dense backward", "ReLU forward", "ReLU backward", "update"} | own_parts
    assert set(values) == parts | {WHOLE, REST} | ({"forming the Gram matrix"} if dual else set())
    for whole, *of_parts in zip(values[WHOLE], *(values[name] for name in parts), strict=True):
        assert min(of_parts) > 0
        assert sum(of_parts) < whole


def test_the_profile_counts_calls() -> None:
    def step() -> int:
        return sum([1, 2])

    ((count,),) = calls("job", 100, lambda: [step() for _ in range(100)]).values.values()
    assert count == pytest.approx(2, abs=0.1)


def test_tuning_measures_in_turn_at_each_value_and_leaves_the_constants_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_use, seen = tuning.TUNING, []
    monkeypatch.setattr(tuning_benchmark, "SHORTEST", 1e-9)
    monkeypatch.setattr(comparison_module, "PAUSE", 0)
    trial = Trial("thin_run", "job", lambda: seen.append(tuning.TUNING), multiples("thin_run", 1 / 2, 2) | {"off": 0})
    found = measured(trial)
    assert tuning.TUNING is in_use
    names = [f"{in_use.thin_run} (in use)", str(in_use.thin_run // 2), str(in_use.thin_run * 2), "off"]
    assert list(found.values) == names
    assert {len(times) for times in found.values.values()} == {9}
    values = [in_use.thin_run, in_use.thin_run // 2, in_use.thin_run * 2, 0]
    assert [constants.thin_run for constants in seen] == [in_use.thin_run] * 2 + values * 10
    for field in in_use._fields:
        if field != "thin_run":
            assert {getattr(constants, field) for constants in seen} == {getattr(in_use, field)}


def test_fast_paths_run_at_each_value_of_the_tuning() -> None:
    trials: list[Any] = [*tuning_benchmark.updates(), *tuning_benchmark.thin(), *tuning_benchmark.few_samples()]
    fields = {"update_block", "thin_batch", "thin_weight", "thin_run", "vector_product", "few_samples", "thin_wide"}
    assert {trial.field for trial in trials} == fields
    for trial in trials:
        for value in trial.others.values():
            tuning_benchmark.at_value(trial, value, calls=1)()
