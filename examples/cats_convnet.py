"""Cat or not with a convolutional network, which uses the positions of pixels; the article's network does not.

    python examples/cats_convnet.py --cats DIR --others DIR [--network convnet|resnet]
    python examples/cats_convnet.py --predict PHOTO...

Folders, options and output files are those of `cats.py`. The network is a convnet, four blocks of convolution,
normalization, ReLU and pooling that each halve the picture, or a residual network. In every epoch the photographs are
changed at random: mirrored and shifted, for the residual network also turned, cropped and recoloured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from command_line import errors_as_one_line

with errors_as_one_line("cats_convnet.py"):  # Ctrl-C is handled during these imports, too
    from out_folder import reserved
    from photo_classifier import parse, parser_of, train
    from photo_results import finish, predict
    from photographs import load_photographs

    from minidl import (
        Adam,
        AdamW,
        BinaryCrossEntropy,
        LearningRateSchedule,
        Optimizer,
        Rescale,
        Sequential,
        Sigmoid,
        Trainer,
        convnet,
        resnet,
    )
    from minidl.data import Augment
    from minidl.schedules import Schedule, cosine, warm_up

CHANNELS = (16, 32, 64, 64)  # of the convnet's four blocks
SMALLEST = 2 ** len(CHANNELS)  # pixels a side: each block halves them, one must remain


def convnet_of(size: int, seed: int) -> Sequential:
    """Return the convnet for pictures of `size` pixels a side."""
    return convnet((size, size, 3), CHANNELS, outputs=1, dropout=0.5, rng=seed)


def resnet_of(size: int, seed: int) -> Sequential:  # noqa: ARG001 - it takes pictures of any size
    """Return the residual network, whose first convolution halves the picture."""
    return resnet((1, 1, 1, 1), (16, 32, 64, 128), outputs=1, first_stride=2, dropout=0.3, rng=seed)


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained."""

    network: Callable[[int, int], Sequential]
    epochs: int
    learning_rate: float
    optimizer: Callable[..., Optimizer]
    warm_up_epochs: int
    augment: Callable[..., Augment]

    def schedule(self, learning_rate: float, epochs: int) -> Schedule:
        """Return the learning rate by epoch: half a wave down to a hundredth, after the epochs of warm-up."""
        wave = cosine(learning_rate, learning_rate / 100, epochs)
        return warm_up(wave, self.warm_up_epochs) if self.warm_up_epochs else wave


RECIPES = {
    "convnet": Recipe(convnet_of, 40, 0.001, Adam, 0, partial(Augment, flip=True, shift=0.1)),
    "resnet": Recipe(
        resnet_of, 80, 0.003, partial(AdamW, weight_decay=0.05), 3,
        partial(Augment, flip=True, shift=0.1, crop=0.35, rotation=10, brightness=0.2, contrast=0.3),
    ),
}  # fmt: skip


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
    chosen = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chosen.add_argument("--network", default="convnet")
    network = chosen.parse_known_args(arguments)[0].network
    recipe = RECIPES.get(network, RECIPES["convnet"])
    parser = parser_of(
        "Train a convolutional cat-or-not classifier, or classify photographs with it.",
        out=f"runs/cats-{network}", size=64, epochs=recipe.epochs, learning_rate=recipe.learning_rate,
    )  # fmt: skip
    parser.add_argument("--network", choices=RECIPES, default="convnet", help="the network to train (convnet)")
    options = parse(parser, arguments)
    if options.network == "convnet" and options.size < SMALLEST:
        parser.error(f"--size: expected at least {SMALLEST} pixels, which four poolings halve, received {options.size}")
    return options


def network_of(name: str, size: int, seed: int) -> Sequential:
    """Return the network of this name for pictures of `size` pixels a side."""
    return Sequential(Rescale(offset=-0.5), *RECIPES[name].network(size, seed), Sigmoid())


def run(options: argparse.Namespace) -> int:
    """Load, train, report, write."""
    photographs, recipe = load_photographs(options), RECIPES[options.network]
    model = network_of(options.network, options.size, options.seed)
    model.summary(input_shape=photographs.train.x.shape[1:])
    print()

    trainer = Trainer(model, BinaryCrossEntropy(), recipe.optimizer(model.parameters(), options.learning_rate))
    history = train(
        trainer,
        photographs,
        options,
        settings=("network", "size", "learning_rate", "epochs"),
        checkpoint_every=1,
        batch_size=32,
        print_every=1,
        rng=options.seed,
        callbacks=[LearningRateSchedule(recipe.schedule(options.learning_rate, options.epochs))],
        augment=recipe.augment(rng=options.seed),
    )
    return finish(options, model, history, photographs, unit="epoch")


if __name__ == "__main__":
    sys.exit(main())
