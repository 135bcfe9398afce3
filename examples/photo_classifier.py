"""The parts of a run that all photo classifiers share: their options, and training that can be resumed.

They write `model.npz`, `history.csv`, `cost.png`, `predictions.png`, `confusion.png` and `behind.html`, a page to look
inside the network, into the folder `--out`, and for `--resume` the last `checkpoint.npz` with `settings.json`, the
settings that a resumed run must repeat.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command_line import POSITIVE, SHARE, timed, whole_number
from out_folder import CHECKPOINT, MODEL
from photographs import Photographs
from resuming import begin_or_resume

from minidl import Callback, Checkpoint, EarlyStopping, History, Trainer


def parser_of(
    description: str, folders: Mapping[str, str], *, out: str, size: int, epochs: int, learning_rate: float,
    early_stopping: int | None = None,
) -> argparse.ArgumentParser:  # fmt: skip
    """Return a parser of the options that all classifiers have, with these defaults.

    Arguments: `folders` are the help texts of the options that name folders of photographs.
    """
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add = parser.add_argument
    for name, text in folders.items():
        add(f"--{name}", type=Path, metavar="DIR", help=text)
    add("--size", type=whole_number(1), default=size, help=f"pixels a side that photographs are resized to ({size})")
    add("--epochs", type=whole_number(1), default=epochs, help=f"passes over the photographs to train on ({epochs})")
    add("--learning-rate", type=POSITIVE, default=learning_rate, help=f"length of a step ({learning_rate:g})")
    add("--test-size", type=SHARE, default=0.2, help="share of the photographs kept apart to test on (0.2)")
    add("--early-stopping", type=whole_number(1), default=early_stopping, metavar="N", help="keep a validation part "
        "apart as well, stop when its cost has not fallen for N epochs, and take the weights of the best one"
        + (f" ({early_stopping})" if early_stopping else ""))  # fmt: skip
    add("--seed", type=whole_number(0), default=1, help="seed of the split and of the first weights (1)")
    add("--out", type=Path, default=Path(out), metavar="DIR", help=f"folder for what is written ({out})")
    add("--resume", action="store_true", help="continue from the last checkpoint in the --out folder")
    add("--predict", type=Path, nargs="+", metavar="PHOTO", help="classify these photographs, or all in these folders, "
        "and do not train")  # fmt: skip
    add("--model", type=Path, metavar="FILE", help=f"network for --predict (--out folder/{MODEL})")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that describes the mistake."""
    options = parser.parse_args(arguments)
    if options.model is not None and options.predict is None:
        parser.error("--model names the network for --predict: give photographs, too")
    if options.predict is not None:
        others = [name for name in vars(options) if name not in ("predict", "model", "out")]
        given = [name for name in others if getattr(options, name) != parser.get_default(name)]
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            parser.error(f"--predict trains nothing and takes all else from the model file: leave {names} out")
    if options.model is None:
        options.model = options.out / MODEL
    return options


def train(
    trainer: Trainer,
    photographs: Photographs,
    options: argparse.Namespace,
    settings: Sequence[str],
    *,
    checkpoint_every: int,
    batch_size: int | None = None,
    callbacks: Sequence[Callback] = (),
    **fit_arguments: Any,
) -> History:
    """Train, or continue from the last checkpoint, and return the history.

    Arguments: `settings` names the options that, with the photographs, determine the result of the run: to resume it,
    they must be the same; `fit_arguments` are passed to `Trainer.fit`.
    """
    path, unit = options.out / CHECKPOINT, "iterations" if batch_size is None else "epochs"
    names = (*settings, "test_size", "early_stopping", "seed")
    repeated = {name: getattr(options, name) for name in names}
    group = getattr(trainer, "group", None)  # of processes that train together
    begin_or_resume(
        trainer, options.out, repeated, {"photographs": photographs.digest}, resume=options.resume,
        writes=group is None or group.is_root,
    )  # fmt: skip
    stopping = [EarlyStopping(patience=options.early_stopping)] if options.early_stopping else []
    with timed("training"):
        history = trainer.fit(
            *photographs.train,
            options.epochs,
            batch_size,
            photographs.validation,
            callbacks=[*callbacks, *stopping, Checkpoint(path, checkpoint_every)],
            **fit_arguments,
        )
    if history.interrupted:
        # A full batch draws nothing at random and plain SGD keeps no state, so the weights are all there is to save.
        if batch_size is None and trainer.run is not None and history.epochs:
            trainer.run.save(path)
        hint = "; --resume goes on" if path.exists() else ""
        print(f"\ninterrupted after {history.epochs} of {options.epochs} {unit}{hint}")
        if trainer.run is not None and stopping and stopping[0].best_weights is not None:
            trainer.run.restore(stopping[0].best_weights)  # `fit` leaves the last ones, which the checkpoint has
    if stopping and history.epochs:
        print(f"{history.epochs} {unit}; the weights are those after {unit[:-1]} {stopping[0].best_epoch}")
    return history
