"""Cat or not: the article's classifier, from two folders of photographs to a test accuracy.

    python examples/cats.py --cats DIR --others DIR

Without folders it draws practice pictures. `python examples/cats.py --help` lists the options.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from practice_pictures import draw_practice_pictures

from minidl import SGD, BinaryCrossEntropy, Flatten, Rescale, Sequential, Trainer, majority_baseline, mlp
from minidl.data import ImageDataset, load_image_folders, train_test_split


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or files, 130 for Ctrl-C."""
    options = parse(arguments)
    try:
        run(options)
    except (ValueError, OSError) as error:
        print(f"cats.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ncats.py: interrupted", file=sys.stderr)
        return 130
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that says what is wrong with them."""
    parser = argparse.ArgumentParser(description="Train the article's cat-or-not classifier.", allow_abbrev=False)
    add = parser.add_argument
    add("--cats", type=Path, metavar="DIR", help="folder of photographs of cats")
    add("--others", type=Path, metavar="DIR", help="folder of photographs of anything else")
    add("--size", type=whole_number, default=128, help="pixels a side that photographs are resized to (128)")
    add("--layers", type=whole_number, nargs="+", default=[20, 7, 5, 1], metavar="UNITS",
        help="sizes of the layers after the pixels; the last is 1 (20 7 5 1)")  # fmt: skip
    add("--epochs", type=whole_number, default=2500, help="iterations of gradient descent (2500)")
    add("--learning-rate", type=positive, default=0.0075, help="length of a step (0.0075)")
    add("--test-size", type=positive, default=0.2, help="share of the photographs kept apart to test on (0.2)")
    add("--centre", action="store_true", help="use pixels / 255 - 0.5, which trains far more steadily")
    add("--seed", type=seed, default=1, help="seed of the split and of the first weights (1)")
    add("--out", type=Path, default=Path("runs/cats"), metavar="DIR", help="folder for what is written (runs/cats)")
    options = parser.parse_args(arguments)
    if (options.cats is None) != (options.others is None):
        parser.error("--cats and --others go together: give both folders, or none for practice pictures")
    if options.layers[-1] != 1:
        parser.error(f"--layers: the last layer answers cat or not with 1 unit, received {options.layers[-1]}")
    if options.test_size >= 1:
        parser.error(f"--test-size: expected a share between 0 and 1, received {options.test_size:g}")
    return options


def whole_number(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text}")
    return value


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a finite number above 0, received {text}")
    return value


def seed(text: str) -> int:
    """Parse a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, received {text}")
    return value


def run(options: argparse.Namespace) -> None:
    """Load, train, report."""
    with timed("loading"):
        dataset = load(options)
    x_train, x_test, y_train, y_test = train_test_split(
        dataset.images, dataset.labels, options.test_size, rng=options.seed
    )
    print(f"{len(x_train)} to train on, {len(x_test)} kept apart to test on\n")

    model = Sequential(
        Rescale(offset=-0.5 if options.centre else 0.0),
        Flatten(),
        *mlp([options.size * options.size * 3, *options.layers], rng=options.seed),
    )
    model.summary(input_shape=x_train.shape[1:])
    print()

    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), options.learning_rate))
    with timed("training"):
        trainer.fit(x_train, y_train, options.epochs, print_every=50)
    with timed("evaluation"):
        print(f"\n{'':10}accuracy    majority class")
        for name, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
            print(f"{name:10}{trainer.evaluate(x, y)['accuracy']:8.1%}    {majority_baseline(y):14.1%}")


def load(options: argparse.Namespace) -> ImageDataset:
    """Return the photographs of the given folders, or practice pictures, after saying what was found."""
    cats, others = options.cats, options.others
    if cats is None:
        folder = options.out / "practice-pictures"
        print(f"No folders given (--cats DIR --others DIR): drawing practice pictures into {folder}")
        cats, others = draw_practice_pictures(folder)
    dataset = load_image_folders(
        {"cat": cats, "not cat": others}, size=(options.size, options.size), positive="cat", on_error="skip"
    )
    count = int(dataset.labels.sum())
    print(f"{count} cats from {cats}\n{len(dataset) - count} others from {others}")
    for path, reason in dataset.skipped:
        print(f"skipped {path}: {reason}")
    return dataset


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    print(f"[{part} took {time.perf_counter() - start:.1f} s]")


if __name__ == "__main__":
    sys.exit(main())
