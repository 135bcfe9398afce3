"""Cat or not with a convolutional network, which uses the positions of pixels; the article's network does not.

    python examples/cats_convnet.py --cats DIR --others DIR
    python examples/cats_convnet.py --predict PHOTO...

Folders, options and output files are those of `cats.py`. Four blocks of convolution, normalization, ReLU and pooling
each halve the picture; in every epoch the photographs are mirrored and shifted at random.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from command_line import errors_as_one_line

with errors_as_one_line("cats_convnet.py"):  # Ctrl-C is handled during these imports, too
    from out_folder import reserved
    from photo_classifier import parse, parser_of, train
    from photo_results import finish, predict
    from photographs import load_photographs

    from minidl import Adam, BinaryCrossEntropy, LearningRateSchedule, Rescale, Sequential, Sigmoid, Trainer, convnet
    from minidl.data import Augment
    from minidl.schedules import cosine

CHANNELS = (16, 32, 64, 64)  # of the four blocks
SMALLEST = 2 ** len(CHANNELS)  # pixels a side: each block halves them, one must remain


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or files, 130 for Ctrl-C."""
    with errors_as_one_line("cats_convnet.py"):
        options = options_of(arguments)
        if options.predict is not None:
            return predict(options.predict, options.model)
        with reserved(options.out):
            return run(options)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that describes the mistake."""
    parser = parser_of(
        "Train a convolutional cat-or-not classifier, or classify photographs with it.",
        out="runs/cats-convnet", size=64, epochs=40, learning_rate=0.001,
    )  # fmt: skip
    options = parse(parser, arguments)
    if options.size < SMALLEST:
        parser.error(f"--size: expected at least {SMALLEST} pixels, which four poolings halve, received {options.size}")
    return options


def network_of(size: int, seed: int) -> Sequential:
    """Return the network for pictures of `size` pixels a side."""
    body = convnet((size, size, 3), CHANNELS, outputs=1, dropout=0.5, rng=seed)
    return Sequential(Rescale(offset=-0.5), *body, Sigmoid())


def run(options: argparse.Namespace) -> int:
    """Load, train, report, write."""
    photographs = load_photographs(options)
    model = network_of(options.size, options.seed)
    model.summary(input_shape=photographs.train.x.shape[1:])
    print()

    trainer = Trainer(model, BinaryCrossEntropy(), Adam(model.parameters(), options.learning_rate))
    schedule = cosine(options.learning_rate, options.learning_rate / 100, options.epochs)
    history = train(
        trainer,
        photographs,
        options,
        settings=("size", "learning_rate", "epochs"),
        checkpoint_every=1,
        batch_size=32,
        print_every=1,
        rng=options.seed,
        callbacks=[LearningRateSchedule(schedule)],
        augment=Augment(flip=True, shift=0.1, rng=options.seed),
    )
    return finish(options, model, history, photographs, unit="epoch")


if __name__ == "__main__":
    sys.exit(main())
