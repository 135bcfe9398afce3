"""Any classes: a classifier of photographs from a folder that has a sub-folder of photographs for each class.

    python examples/photos.py --folder DIR [--network convnet|resnet]
    mpiexec -n N python examples/photos.py --folder DIR --distributed
    python examples/photos.py --predict PHOTO_OR_FOLDER...

Without a folder it draws practice pictures of eight things. Rare classes count as much as frequent ones, and the
weights are those of the best epoch on a validation part. `python examples/photos.py --help` lists the options;
`photo_networks.py` has the networks and their training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from command_line import INTERRUPTED, errors_as_one_line

with errors_as_one_line("photos.py"):  # Ctrl-C is handled during these imports, too
    from out_folder import reserved
    from photo_classifier import parse
    from photo_networks import check_size, network_of, parser_with_network, train_network
    from photo_results import finish, predict, recorder_of
    from photographs import load_photographs, practice_folder
    from practice_pictures import draw_practice_classes
    from together import shares_of, silent_but_for_one

    from minidl import Softmax, SoftmaxCrossEntropy

if TYPE_CHECKING:
    from minidl.distributed import Group

FOLDERS = {"folder": "folder that has a folder of photographs for each class, named after it"}
PATIENCE = 10  # epochs without a better one


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or files, 130 for Ctrl-C."""
    with errors_as_one_line("photos.py"):
        options = options_of(arguments)
        if options.predict is not None:
            return predict(options.predict, options.model)
        if not options.distributed:
            with reserved(options.out):
                return run(options)
        from minidl.distributed import Group
    group = Group()
    with group.ending_together(), errors_as_one_line("photos.py"), silent_but_for_one(group, options.out):
        return run(options, group)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that describes the mistake."""
    description = "Train a classifier of photographs of any classes, or classify photographs with it."
    parser = parser_with_network(description, FOLDERS, arguments, out="runs/photos", early_stopping=PATIENCE)
    parser.add_argument("--distributed", action="store_true", help="share the photographs among the processes that "
        "mpiexec has started; this needs minidl[mpi]")  # fmt: skip
    return check_size(parser, parse(parser, arguments))


def run(options: argparse.Namespace, group: Group | None = None) -> int:
    """Load, train, report, write; of several processes each trains with its share, and the first one reports."""
    folder = options.folder
    if folder is None and (group is None or group.is_root):
        folder = draw_practice_classes(practice_folder(options, "--folder DIR"))
    if group is not None:
        folder = group.broadcast(folder)  # and so after it is drawn
    photographs = load_photographs(options, folder)
    outputs = len(photographs.class_names)
    model = network_of(options.network, options.size, options.seed, head=Softmax(), outputs=outputs)
    loss = SoftmaxCrossEntropy(from_logits=False)
    initial, recorder = deepcopy(model), recorder_of(photographs)
    own = photographs if group is None else shares_of(photographs, group)
    history = train_network(options, model, loss, own, recorder, class_weight="balanced")
    if group is not None and not group.is_root:
        return INTERRUPTED if history.interrupted else 0
    return finish(options, model, history, photographs, unit="epoch", initial=initial, recorder=recorder)


if __name__ == "__main__":
    sys.exit(main())
