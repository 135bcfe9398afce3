"""The recurrent example: its games, and a small run that solves longer ones than it has seen."""

from __future__ import annotations

import re
from collections.abc import Sequence

import cups
import numpy as np
import pytest


@pytest.mark.parametrize(
    ("swaps", "ball"), [([], 0), ([1], 1), ([2], 0), ([3], 2), ([1, 2], 2), ([2, 1], 1), ([1, 2, 3, 2], 0)]
)
def test_the_ball_moves_with_its_cup(swaps: Sequence[int], ball: int) -> None:
    assert cups.ball_after(swaps) == ball


def test_games_have_all_lengths_and_padding_behind_them() -> None:
    tokens, answers = cups.random_games(500, 2, 5, np.random.default_rng(0))
    lengths = (tokens > 0).sum(axis=1)
    assert sorted(set(lengths)) == [2, 3, 4, 5]
    assert all((game[length:] == 0).all() for game, length in zip(tokens, lengths, strict=True))
    assert sorted(set(answers)) == [0, 1, 2]


def test_no_rule_without_memory_is_much_better_than_chance() -> None:
    assert cups.best_guess(8, lambda game: tuple(sorted(game))) < 0.4
    assert cups.best_guess(8, lambda game: game[-6:]) < 0.4
    assert cups.best_guess(4, lambda game: game) == 1


def test_longer_games_are_solved(capsys: pytest.CaptureFixture[str]) -> None:
    assert cups.main(["--games", "4000", "--epochs", "5", "--swaps", "8", "--units", "16"]) == 0
    out = capsys.readouterr().out
    for lengths in ("1 to 8", "9 to 20", "21 to 40"):
        share = re.search(rf"new games of {lengths} +([\d.]+)%", out)
        assert share is not None
        assert float(share[1]) >= 99
    assert re.search(r"the ball is under the (\w+) cup, the network says \1$", out, re.MULTILINE)


def test_mistyped_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cups.main(["--units", "0"])
    assert ended.value.code == 2
    assert "argument --units: expected a whole number of at least 1, received '0'" in capsys.readouterr().err
