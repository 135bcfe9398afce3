"""Three cups: a recurrent network follows the ball under one of three cups while they are swapped.

Each token of a sequence swaps two cups; the question is where the ball is at the end. The order of the swaps counts, so
that no rule that only knows how often each swap came can answer, and neither can one that sees the last few swaps: the
ball may have been anywhere before. The network is trained on games of up to 12 swaps and tested on games of up to 40.

python examples/cups.py
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import product

from command_line import errors_as_one_line, timed, whole_number

with errors_as_one_line("cups.py"):  # Ctrl-C is handled during these imports, too
    import numpy as np

    from minidl import Adam, LearningRateSchedule, SoftmaxCrossEntropy, Trainer, accuracy, lstm_classifier
    from minidl._typing import Array
    from minidl.schedules import cosine

CUPS = ("left", "middle", "right")
SWAPS = {1: (0, 1), 2: (1, 2), 3: (0, 2)}  # 0 is padding
LEARNING_RATE = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options, 130 for Ctrl-C."""
    with errors_as_one_line("cups.py"):
        parser = argparse.ArgumentParser(description="Train a network to follow a ball.", allow_abbrev=False)
        parser.add_argument("--games", type=whole_number(1), default=20_000, help="games to train on (20000)")
        parser.add_argument("--epochs", type=whole_number(1), default=4, help="passes over the games (4)")
        parser.add_argument("--units", type=whole_number(1), default=32, help="units of the LSTM (32)")
        parser.add_argument("--swaps", type=whole_number(1), default=12, help="most swaps of a training game (12)")
        parser.add_argument("--seed", type=whole_number(0), default=1, help="seed of games, weights and batches (1)")
        run(parser.parse_args(arguments))
    return 0


def ball_after(swaps: Sequence[int]) -> int:
    """Return the cup that the ball is under, which began under the left one."""
    ball = 0
    for swap in swaps:
        one, other = SWAPS[swap]
        ball = {one: other, other: one}.get(ball, ball)
    return ball


def random_games(count: int, shortest: int, longest: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return games of any length between these as rows of tokens, shorter ones padded with 0, and their answers."""
    lengths = rng.integers(shortest, longest + 1, size=count)
    tokens = rng.integers(1, len(SWAPS) + 1, size=(count, longest))
    tokens[np.arange(longest) >= lengths[:, None]] = 0
    return tokens, np.array([ball_after(game[game > 0]) for game in tokens])


def best_guess(length: int, seen: Callable[[tuple[int, ...]], Hashable]) -> float:
    """Return how often the best rule is right that knows of a game what `seen` returns, over all games of a length."""
    answers: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
    for game in product(SWAPS, repeat=length):
        answers[seen(game)][ball_after(game)] += 1
    right = sum(max(counts.values()) for counts in answers.values())
    return float(right / len(SWAPS) ** length)


def run(options: argparse.Namespace) -> None:
    """Train, test on longer games, and show one."""
    rng = np.random.default_rng(options.seed)
    x, y = random_games(options.games, 1, options.swaps, rng)
    model = lstm_classifier(len(SWAPS) + 1, len(CUPS), features=8, units=options.units, rng=rng)
    model.summary()
    print()

    trainer = Trainer(model, SoftmaxCrossEntropy(), Adam(model.parameters(), LEARNING_RATE, max_gradient_norm=1.0))
    schedule = LearningRateSchedule(cosine(LEARNING_RATE, LEARNING_RATE / 100, options.epochs))
    with timed("training"):
        trainer.fit(x, y, options.epochs, batch_size=64, print_every=1, rng=rng, callbacks=[schedule])

    print("\nright answers")
    print(f"  by the numbers of swaps alone  {best_guess(8, lambda game: tuple(sorted(game))):6.1%}")
    print(f"  by the last four swaps alone   {best_guess(8, lambda game: game[-4:]):6.1%}")
    for shortest, longest in ((1, options.swaps), (options.swaps + 1, 20), (21, 40)):
        if shortest <= longest:
            x_test, y_test = random_games(2000, shortest, longest, rng)
            name = f"new games of {shortest} to {longest}"
            print(f"  {name:<31}{accuracy(model.predict(x_test, batch_size=500), y_test):6.1%}")
    game = x_test[0][x_test[0] > 0]
    answer, moves = CUPS[model.predict(game[None])[0].argmax()], " ".join(map(str, game))
    print(f"\nafter the swaps {moves} the ball is under the {CUPS[y_test[0]]} cup, the network says {answer}")


if __name__ == "__main__":
    sys.exit(main())
