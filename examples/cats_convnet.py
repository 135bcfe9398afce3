"""Cat or not with a convolutional network, which uses the positions of pixels; the article's network does not.

    python examples/cats_convnet.py --cats DIR --others DIR [--network convnet|resnet]
    python examples/cats_convnet.py --predict PHOTO...

Folders, options and output files are those of `cats.py`; `photo_networks.py` has the networks and their training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy

from command_line import errors_as_one_line

with errors_as_one_line("cats_convnet.py"):  # Ctrl-C is handled during these imports, too
    from cat_folders import FOLDERS, load_cats, parse_with_cats
    from out_folder import reserved
    from photo_networks import check_size, network_of, parser_with_network, train_network
    from photo_results import finish, predict, recorder_of

    from minidl import BinaryCrossEntropy, Sigmoid


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
    description = "Train a convolutional cat-or-not classifier, or classify photographs with it."
    parser = parser_with_network(description, FOLDERS, arguments, out="runs/cats-{network}")
    return check_size(parser, parse_with_cats(parser, arguments))


def run(options: argparse.Namespace) -> int:
    """Load, train, report, write."""
    photographs = load_cats(options)
    model = network_of(options.network, options.size, options.seed, head=Sigmoid())
    initial, recorder = deepcopy(model), recorder_of(photographs)
    history = train_network(options, model, BinaryCrossEntropy(), photographs, recorder)
    return finish(options, model, history, photographs, unit="epoch", initial=initial, recorder=recorder)


if __name__ == "__main__":
    sys.exit(main())
