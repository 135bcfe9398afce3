"""Cat or not: the article's classifier, from two folders of photographs to a test accuracy.

    python examples/cats.py --cats DIR --others DIR
    python examples/cats.py --predict PHOTO...

Without folders it draws practice pictures. `python examples/cats.py --help` lists the options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy

from command_line import errors_as_one_line, whole_number

with errors_as_one_line("cats.py"):  # Ctrl-C is handled during these imports, too
    from cat_folders import FOLDERS, load_cats, parse_with_cats
    from out_folder import reserved
    from photo_classifier import parser_of, train
    from photo_results import finish, predict, recorder_of

    from minidl import SGD, BinaryCrossEntropy, Flatten, Rescale, Sequential, Trainer, mlp


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or files, 130 for Ctrl-C."""
    with errors_as_one_line("cats.py"):
        options = options_of(arguments)
        if options.predict is not None:
            return predict(options.predict, options.model)
        with reserved(options.out):
            return run(options)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that describes the mistake."""
    parser = parser_of(
        "Train the article's cat-or-not classifier, or classify photographs with it.", FOLDERS,
        out="runs/cats", size=128, epochs=2500, learning_rate=0.0075,
    )  # fmt: skip
    parser.add_argument("--layers", type=whole_number(1), nargs="+", default=[20, 7, 5, 1], metavar="UNITS",
        help="sizes of the layers after the pixels; the last is 1 (20 7 5 1)")  # fmt: skip
    parser.add_argument("--centre", action="store_true", help="use pixels / 255 - 0.5, which trains more steadily")
    options = parse_with_cats(parser, arguments)
    if options.layers[-1] != 1:
        parser.error(f"--layers: the last layer answers cat or not with 1 unit, received {options.layers[-1]}")
    return options


def run(options: argparse.Namespace) -> int:
    """Load, train, report, write."""
    photographs = load_cats(options)
    model = Sequential(
        Rescale(offset=-0.5 if options.centre else 0.0),
        Flatten(),
        *mlp([options.size * options.size * 3, *options.layers], rng=options.seed),
    )
    model.summary(input_shape=photographs.train.x.shape[1:])
    print()

    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), options.learning_rate))
    # Not --epochs: at a constant learning rate a run may be resumed with more of them.
    settings = ("size", "layers", "learning_rate", "centre")
    initial, recorder = deepcopy(model), recorder_of(photographs)
    history = train(trainer, photographs, options, settings, checkpoint_every=250, print_every=50, callbacks=[recorder])
    span = trainer.run.span if trainer.run else None
    return finish(options, model, history, photographs, initial=initial, recorder=recorder, span=span)


if __name__ == "__main__":
    sys.exit(main())
