"""The benchmarks' own arithmetic: ratios pair by pair, targets, and the table."""

from __future__ import annotations

from benchmarks.comparison import Comparison, Target, compare
from benchmarks.report import as_json, table


def test_rivals_take_turns_and_the_warm_up_is_left_out() -> None:
    turns: list[str] = []

    def measurement(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    rivals = {"a": lambda: measurement("a"), "b": lambda: measurement("b"), "c": None}
    found = compare("job", rivals, repetitions=2)
    assert "".join(turns) == "ababab"
    assert found.values == {"a": [3.0, 5.0], "b": [4.0, 6.0], "c": []}


def test_table_and_json_tell_ratio_target_and_who_is_missing() -> None:
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
