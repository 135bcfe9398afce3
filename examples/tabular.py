"""Two tables that come with scikit-learn: a number for each patient, and one of three kinds for each wine.

pip install scikit-learn matplotlib    # or, from the project's folder, pip install ".[sklearn,plot]"
python examples/tabular.py

The columns are of any size: `Normalize` learns their means and deviations from the training rows, and goes into the
model file with the network. A fifth of the training rows is held out to stop at the best epoch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from command_line import SHARE, errors_as_one_line, one_line, timed, whole_number

with errors_as_one_line("tabular.py"):  # Ctrl-C is handled during these imports, too
    from dataclasses import dataclass

    import numpy as np
    from out_folder import make_folder

    from minidl import (
        AdamW,
        Dense,
        EarlyStopping,
        History,
        Loss,
        MeanSquaredError,
        Normalize,
        ReLU,
        Rescale,
        Sequential,
        SoftmaxCrossEntropy,
        Trainer,
        classification_report,
        save,
    )
    from minidl._typing import Array
    from minidl.data import train_test_split
    from minidl.metrics import R2, MeanAbsoluteError, RootMeanSquaredError


@dataclass(frozen=True)
class Table:
    """Rows of numbers, what is to be predicted of each, and the names of the classes, if it is a class."""

    name: str
    x: Array
    y: Array
    class_names: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or a missing extra, 130 for Ctrl-C."""
    with errors_as_one_line("tabular.py"):
        parser = argparse.ArgumentParser(description="A regression and a classification of tables.", allow_abbrev=False)
        parser.add_argument("--epochs", type=whole_number(1), default=300, help="passes over the rows, at most (300)")
        parser.add_argument("--test-size", type=SHARE, default=0.2, help="share kept apart to test on (0.2)")
        parser.add_argument("--seed", type=whole_number(0), default=1, help="seed of split, weights and batches (1)")
        parser.add_argument("--out", type=Path, default=Path("runs/tabular"), help="folder of the results")
        options = parser.parse_args(arguments)
        make_folder(options.out)
        for table in load_tables():
            run(table, options)
        print(f"models, histories and plots are in {one_line(options.out)}")
    return 0


def load_tables() -> list[Table]:
    """Return the diabetes table (442, 10) and the wine table (178, 13)."""
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError("the tables come with scikit-learn: pip install scikit-learn") from None
    patients, wines = datasets.load_diabetes(scaled=False), datasets.load_wine()
    return [
        Table("diabetes", patients.data, patients.target, []),
        Table("wine", wines.data, wines.target, [str(name) for name in wines.target_names]),
    ]


def run(table: Table, options: argparse.Namespace) -> None:
    """Train on one table, report, write."""
    split = train_test_split(table.x, table.y, options.test_size, stratify=bool(table.class_names), rng=options.seed)
    x_train, x_test, y_train, y_test = split
    print(f"{table.name}: {len(x_train)} rows to train on, {len(x_test)} kept apart to test on\n")
    model, loss = network_of(table, x_train, y_train, options.seed)
    model.summary()
    print()
    trainer = Trainer(model, loss, AdamW(model.parameters(), 0.01, weight_decay=0.1))
    best = EarlyStopping("val_loss", patience=30)
    with timed("training"):
        history = trainer.fit(
            x_train, y_train, options.epochs, batch_size=32, validation_split=0.2, print_every=20, rng=options.seed,
            callbacks=[best],
        )  # fmt: skip
    print(f"\nepoch {best.best_epoch} was the best of {history.epochs}\n")
    report(table, model, x_test, y_test, y_train)
    save(model, options.out / f"{table.name}.npz")
    history.to_csv(options.out / f"{table.name}.csv")
    draw(table, model, history, x_test, y_test, options.out)


def network_of(table: Table, x: Array, y: Array, seed: int) -> tuple[Sequential, Loss]:
    """Return a network whose predictions are in the units of the targets, or logits of the classes, and its loss."""
    rng = np.random.default_rng(seed)
    outputs = len(table.class_names) or 1
    layers = Normalize(x.shape[1]).adapt(x), Dense(x.shape[1], 32, rng=rng), ReLU(), Dense(32, outputs, rng=rng)
    if table.class_names:
        return Sequential(*layers), SoftmaxCrossEntropy()
    return Sequential(*layers, Rescale(scale=float(y.std()), offset=float(y.mean()))), MeanSquaredError()


def report(table: Table, model: Sequential, x: Array, y: Array, y_train: Array) -> None:
    """Print how well a network predicts rows that it has not seen."""
    if table.class_names:
        print(f"{classification_report(model, x, y, table.class_names)}\n")
        return
    rows = {"network": model.predict(x)[:, 0], "mean of training": np.full(len(y), y_train.mean())}
    print(f"{'':18}mean error    root of squares    R2")
    for name, prediction in rows.items():
        errors = MeanAbsoluteError()(prediction, y), RootMeanSquaredError()(prediction, y)
        print(f"{name:18}{errors[0]:10.1f}{errors[1]:19.1f}{R2()(prediction, y):6.2f}")
    print()


def draw(table: Table, model: Sequential, history: History, x: Array, y: Array, out: Path) -> None:
    """Draw the curves of the training and the confusion matrix, where matplotlib is installed."""
    try:
        history.plot(out / f"{table.name}_history.png")
        if table.class_names:
            classification_report(model, x, y, table.class_names).plot(out / f"{table.name}_confusion.png")
    except ImportError as error:
        print(f"{error}\n")


if __name__ == "__main__":
    sys.exit(main())
