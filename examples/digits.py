"""Ten classes: a network learns to classify the 1,797 handwritten digits in scikit-learn.

pip install scikit-learn    # or, from the project's folder, pip install ".[sklearn]"
python examples/digits.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from command_line import SHARE, errors_as_one_line, timed, whole_number

with errors_as_one_line("digits.py"):  # Ctrl-C is handled during these imports, too
    import numpy as np

    from minidl import (
        Adam,
        BatchNorm,
        Dense,
        LearningRateSchedule,
        ReLU,
        Rescale,
        Sequential,
        Softmax,
        SoftmaxCrossEntropy,
        Trainer,
        accuracy,
        majority_baseline,
    )
    from minidl._typing import Array
    from minidl.data import train_test_split
    from minidl.schedules import cosine

LEARNING_RATE = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or a missing extra, 130 for Ctrl-C."""
    with errors_as_one_line("digits.py"):
        parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.", allow_abbrev=False)
        parser.add_argument("--epochs", type=whole_number(1), default=40, help="passes over the digits (40)")
        parser.add_argument("--test-size", type=SHARE, default=0.2, help="share kept apart to test on (0.2)")
        parser.add_argument("--seed", type=whole_number(0), default=1, help="seed of split, weights and batches (1)")
        run(parser.parse_args(arguments))
    return 0


def load_digits() -> tuple[Array, Array]:
    """Return the pictures as (1797, 64) greys from 0 to 16, and the digits they show."""
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError("the digits come with scikit-learn: pip install scikit-learn") from None
    digits = datasets.load_digits()
    return digits.data.astype(np.float32), digits.target


def run(options: argparse.Namespace) -> None:
    """Load, train, report."""
    x_train, x_test, y_train, y_test = train_test_split(*load_digits(), options.test_size, rng=options.seed)
    print(f"{len(x_train)} digits to train on, {len(x_test)} kept apart to test on\n")

    rng = np.random.default_rng(options.seed)
    model = Sequential(
        Rescale(scale=1 / 16),
        Dense(64, 128, weight_init="he_normal", rng=rng),
        BatchNorm(128),
        ReLU(),
        Dense(128, 10, rng=rng),
        Softmax(),
    )
    model.summary()
    print()

    trainer = Trainer(model, SoftmaxCrossEntropy(from_logits=False), Adam(model.parameters(), LEARNING_RATE))
    schedule = LearningRateSchedule(cosine(LEARNING_RATE, LEARNING_RATE / 100, options.epochs))
    with timed("training"):
        trainer.fit(x_train, y_train, options.epochs, batch_size=32, print_every=10, rng=rng, callbacks=[schedule])

    print(f"\n{'':10}accuracy    majority class")
    for name, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
        print(f"{name:10}{accuracy(model.predict(x), y):8.1%}    {majority_baseline(y):14.1%}")
    wrong = np.flatnonzero(model.predict(x_test).argmax(axis=1) != y_test)
    for i in wrong[:3]:
        p = model.predict(x_test[i : i + 1])[0]
        print(f"\na {y_test[i]}, read as a {p.argmax()} with probability {p.max():.2f}:\n{drawn(x_test[i])}")


def drawn(digit: Array) -> str:
    """Return a picture of 64 greys as eight lines of text."""
    shades = " .:-=+*#@"
    return "\n".join("  " + "".join(2 * shades[int(grey) // 2] for grey in row) for row in digit.reshape(8, 8))


if __name__ == "__main__":
    sys.exit(main())
