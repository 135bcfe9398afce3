"""A wide table: a few hundred rows of 20,000 columns, such as the genes of some hundred patients, and two classes.

python examples/wide.py               # with scikit-learn's networks beside it, where that is installed
python examples/wide.py --compare     # and the same training without the dual form
python examples/wide.py --data FILE   # a table of your own: an .npz file with arrays x (rows, columns) and y (rows,)

The drawn table is noise but for one column in a hundred, whose mean differs between the classes. The network is wider
than the table is long, so that `Trainer.fit` trains it in its dual form: a step needs a few hundred numbers a row, the
products of the row with all others, in place of 20,000. Its first weights begin small: of so many, training moves each
so little that the answer to a new row would be mostly that of the random ones.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias
from zipfile import BadZipFile

from command_line import POSITIVE, SHARE, errors_as_one_line, one_line, whole_number

with errors_as_one_line("wide.py"):  # Ctrl-C is handled during these imports, too
    import numpy as np

    from minidl import (
        SGD,
        Dense,
        Normalize,
        ReLU,
        Sequential,
        SoftmaxCrossEntropy,
        Trainer,
        accuracy,
        majority_baseline,
    )
    from minidl._typing import Array
    from minidl.data import train_test_split

DIFFERENCE, INFORMATIVE = 0.55, 100  # of the means of one column in so many, in deviations
MOMENTUM = 0.9

Predict: TypeAlias = "Callable[[Array], Array]"
Fit: TypeAlias = "Callable[[Array, Array], Predict]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or data, 130 for Ctrl-C."""
    with errors_as_one_line("wide.py"):
        parser = argparse.ArgumentParser(description="Train a network on a wide table.", allow_abbrev=False)
        parser.add_argument("--rows", type=whole_number(8), default=400, help="rows to draw (400)")
        parser.add_argument("--columns", type=whole_number(1), default=20_000, help="columns to draw (20000)")
        parser.add_argument("--data", type=Path, metavar="FILE", help="an .npz file with x and y in place of a draw")
        parser.add_argument("--units", type=whole_number(1), default=16, help="hidden units (16)")
        parser.add_argument("--epochs", type=whole_number(1), default=100, help="passes over the rows (100)")
        parser.add_argument("--batch-size", type=whole_number(1), default=32, help="rows of a step (32)")
        parser.add_argument("--learning-rate", type=POSITIVE, help="size of the steps (1 / columns)")
        parser.add_argument("--test-size", type=SHARE, default=0.25, help="share kept apart to test on (0.25)")
        parser.add_argument("--compare", action="store_true", help="train without the dual form, too")
        parser.add_argument("--seed", type=whole_number(0), default=1, help="seed of draw, split, weights, batches (1)")
        options = parser.parse_args(arguments)
        x, y = draw(options.rows, options.columns, options.seed) if options.data is None else read(options.data)
        run(x, y, options)
    return 0


def draw(rows: int, columns: int, seed: int) -> tuple[Array, Array]:
    """Return a table of noise, one column in a hundred of which depends on the class, and the classes, half of each."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(rows) % 2)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    x[:, ::INFORMATIVE] += np.float32(DIFFERENCE) * (y[:, None] - np.float32(0.5))
    return x, y


def read(path: Path) -> tuple[Array, Array]:
    """Return the table of a file, and its classes as numbers from 0 on.

    Raises: ValueError, which says what was found, for a file without a table x of numbers and as many classes y, two or
    more; OSError for one that cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            x, y = arrays["x"], arrays["y"]
    except (BadZipFile, EOFError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"--data: expected an .npz file with arrays x and y, received {path}: {error}") from None
    if x.ndim != 2 or x.dtype.kind not in "fiub" or y.shape != (len(x),):
        raise ValueError(
            f"--data: expected x (rows, columns) of numbers and y (rows,), received shapes {x.shape} of {x.dtype} and "
            f"{y.shape} of {y.dtype}"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("--data: expected classes in y, received NaN or infinity")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        row = int(np.isfinite(x).all(axis=1).argmin())  # of the file; the parts for training and testing are shuffled
        raise ValueError(f"--data: expected finite numbers in x, received NaN or infinity, first in row {row}")
    classes, numbers, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"--data: expected at least two classes in y, received {len(classes)}")
    if counts.min() < 2:
        rare = one_line(classes[counts.argmin()])
        raise ValueError(f"--data: expected at least two rows of each class, received one of class {rare}")
    return x, numbers


def run(x: Array, y: Array, options: argparse.Namespace) -> None:
    """Split the table, train the networks, and print how often each is right, and its time."""
    x_train, x_test, y_train, y_test = train_test_split(x, y, options.test_size, rng=options.seed)
    source = "drawn" if options.data is None else one_line(options.data)
    print(f"{len(x)} rows of {x.shape[1]} columns ({source}): {len(x_train)} to train on, {len(x_test)} to test on\n")
    untrained(x_train, y_train, options).summary()
    fits = rivals(options)
    print(f"\n{'':34}test accuracy    seconds of training")
    for name, fit in fits.items():
        start = time.perf_counter()
        predict = fit(x_train, y_train)
        seconds = time.perf_counter() - start
        print(f"{name:34}{accuracy(predict(x_test), y_test):13.1%}{seconds:23.2f}", flush=True)
    print(f"{'majority class':34}{majority_baseline(y_test):13.1%}")


def untrained(x: Array, y: Array, options: argparse.Namespace) -> Sequential:
    """Return a network that brings each column to mean 0 and deviation 1, with one logit for each class."""
    rng, columns = np.random.default_rng(options.seed), x.shape[1]
    first = Dense(columns, options.units, weight_init=small, rng=rng)
    return Sequential(Normalize(columns).adapt(x), first, ReLU(), Dense(options.units, int(y.max()) + 1, rng=rng))


def small(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return first weights with which the first layer's outputs have deviation 0.01, where a column's is 1."""
    return rng.normal(0, 0.01 / shape[1] ** 0.5, shape)


def rivals(options: argparse.Namespace) -> dict[str, Fit]:
    """Return what trains each network, by name: minidl's, without the dual form too if asked, and scikit-learn's."""
    own: dict[str, Fit] = {"minidl": lambda x, y: trained(x, y, options, "auto")}
    if options.compare:
        own["minidl, dual=False"] = lambda x, y: trained(x, y, options, False)
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        print("\nscikit-learn's networks are compared where it is installed: pip install scikit-learn")
        return own

    def fitted(classifier: Any, x: Array, y: Array) -> Predict:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the epochs that were asked for, that they are the last
            predict: Predict = make_pipeline(StandardScaler(), classifier).fit(x, y).predict
        return predict

    def network(x: Array, y: Array) -> Predict:
        settings = {"solver": "sgd", "momentum": MOMENTUM, "nesterovs_momentum": False, "alpha": 0.0}
        settings |= {"learning_rate_init": learning_rate(x, options), "batch_size": min(options.batch_size, len(x))}
        settings |= {"max_iter": options.epochs, "n_iter_no_change": options.epochs + 1}
        settings |= {"random_state": options.seed % 2**32}
        return fitted(MLPClassifier((options.units,), **settings), x, y)

    return {
        **own,
        "scikit-learn, MLPClassifier": network,
        "scikit-learn, LogisticRegression": lambda x, y: fitted(LogisticRegression(max_iter=1000), x, y),
    }


def trained(x: Array, y: Array, options: argparse.Namespace, dual: bool | Literal["auto"]) -> Predict:
    """Return what predicts with a network that was trained with the dual form, where it pays, or without it."""
    model = untrained(x, y, options)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), learning_rate(x, options), MOMENTUM))
    history = trainer.fit(x, y, options.epochs, options.batch_size, print_every=None, rng=options.seed, dual=dual)
    if history.interrupted:
        raise KeyboardInterrupt
    return model.predict


def learning_rate(x: Array, options: argparse.Namespace) -> float:
    """Return the size of the steps: a step moves the answer to a row by this times the square of the row."""
    return float(options.learning_rate or 1 / x.shape[1])


if __name__ == "__main__":
    sys.exit(main())
