"""The networks of convolutions that classify photographs, and the recipe by which each is trained.

The network is a convnet, four stages of convolution, normalization, ReLU and pooling that each halve the picture, or
one with a residual block behind the second and the fourth of them. In every epoch the photographs are changed at
random: mirrored and shifted, for the residual network also recoloured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from photo_classifier import parser_of, train
from photographs import Photographs

from minidl import (
    Adam,
    AdamW,
    BatchNorm,
    Callback,
    Conv2D,
    History,
    LearningRateSchedule,
    Loss,
    Optimizer,
    ReLU,
    Rescale,
    Residual,
    Sequential,
    Trainer,
    convnet,
)
from minidl.data import Augment
from minidl.module import Module
from minidl.schedules import Schedule, cosine, warm_up

CHANNELS, RESNET_CHANNELS = (16, 32, 64, 64), (24, 48, 96, 96)  # of the four stages
SMALLEST = 2 ** len(CHANNELS)  # pixels a side: each stage halves them, one must remain


def convnet_of(size: int, outputs: int, seed: int) -> Sequential:
    """Return the convnet for pictures of `size` pixels a side."""
    return convnet((size, size, 3), CHANNELS, outputs, dropout=0.5, rng=seed)


def resnet_of(size: int, outputs: int, seed: int) -> Sequential:
    """Return a convnet of more channels, with a residual block behind its second and its fourth stage.

    Source: David Page's ResNet-9 for CIFAR-10 has such blocks in every other stage.
    """
    rng = np.random.default_rng(seed)
    layers = convnet((size, size, 3), RESNET_CHANNELS, outputs, dropout=0.5, rng=rng)
    first_half, second_half, head = layers[:8], layers[8:16], layers[16:]  # a stage has four layers
    second, fourth = residual_block(RESNET_CHANNELS[1], rng), residual_block(RESNET_CHANNELS[3], rng)
    return Sequential(*first_half, second, *second_half, fourth, *head)


def residual_block(channels: int, rng: np.random.Generator) -> Residual:
    """Return `x + f(x)`, f being two convolutions with normalization and ReLU."""

    def convolution() -> list[Module]:
        return [Conv2D(channels, channels, 3, padding="same", rng=rng), BatchNorm(channels), ReLU()]

    return Residual(*convolution(), *convolution())


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained."""

    network: Callable[[int, int, int], Sequential]
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
        resnet_of, 60, 0.002, partial(AdamW, weight_decay=0.05), 3,
        partial(Augment, flip=True, shift=0.1, brightness=0.1, contrast=0.2),
    ),
}  # fmt: skip


def parser_with_network(
    description: str, folders: Mapping[str, str], arguments: Sequence[str] | None, out: str,
    early_stopping: int | None = None,
) -> argparse.ArgumentParser:  # fmt: skip
    """Return a parser of the options of all classifiers and `--network`, with the defaults of the chosen network."""
    chosen = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chosen.add_argument("--network", default="convnet")
    network = chosen.parse_known_args(arguments)[0].network
    recipe = RECIPES.get(network, RECIPES["convnet"])
    parser = parser_of(
        description, folders, out=out.format(network=network), size=64, epochs=recipe.epochs,
        learning_rate=recipe.learning_rate, early_stopping=early_stopping,
    )  # fmt: skip
    parser.add_argument("--network", choices=RECIPES, default="convnet", help="the network to train (convnet)")
    return parser


def check_size(parser: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.Namespace:
    """Return the options, or end the program where the pictures are too small for the network."""
    if options.size < SMALLEST:
        parser.error(f"--size: expected at least {SMALLEST} pixels, which four poolings halve, received {options.size}")
    return options


def network_of(name: str, size: int, seed: int, head: Module, outputs: int = 1) -> Sequential:
    """Return the network of this name for pictures of `size` pixels a side, which ends in `head`."""
    return Sequential(Rescale(offset=-0.5), *RECIPES[name].network(size, outputs, seed), head)


def trainer_of(options: argparse.Namespace) -> type[Trainer]:
    """Return the class that trains, on one process or on all that `mpiexec` has started."""
    if not getattr(options, "distributed", False):
        return Trainer
    from minidl.distributed import DistributedTrainer

    return DistributedTrainer


def train_network(
    options: argparse.Namespace, model: Sequential, loss: Loss, photographs: Photographs, recorder: Callback,
    **fit_arguments: Any,
) -> History:  # fmt: skip
    """Print a network, train it by its recipe, and return the history; `fit_arguments` go to `Trainer.fit`."""
    model.summary(input_shape=photographs.train.x.shape[1:])
    print()
    recipe = RECIPES[options.network]
    trainer = trainer_of(options)(model, loss, recipe.optimizer(model.parameters(), options.learning_rate))
    return train(
        trainer,
        photographs,
        options,
        settings=("network", "size", "learning_rate", "epochs"),
        checkpoint_every=1,
        batch_size=32,
        print_every=1,
        rng=options.seed,
        callbacks=[LearningRateSchedule(recipe.schedule(options.learning_rate, options.epochs)), recorder],
        augment=recipe.augment(rng=options.seed),
        **fit_arguments,
    )
