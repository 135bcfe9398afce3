"""Results of a trained photo classifier: the report of its accuracy, its files, and classes of new photographs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from command_line import INTERRUPTED, MISTAKE, one_line, timed
from cost_curve import draw_cost_curve
from out_folder import COST, HISTORY, MODEL, PREDICTIONS
from photographs import Photographs

from minidl import (
    History,
    Sequential,
    accuracy,
    confusion_counts,
    load,
    load_metadata,
    majority_baseline,
    precision,
    recall,
    save,
)
from minidl._typing import Array
from minidl.data import ImageFileError, read_image
from minidl.reports import draw_contact_sheet

Kind = TypeVar("Kind")

AT_ONCE = 64  # photographs that go through the network together


def finish(
    options: argparse.Namespace, model: Sequential, history: History, photographs: Photographs, unit: str = "iteration"
) -> int:
    """Print the accuracy of a trained network, write all files, and return the program's exit status."""
    if history.epochs:
        with timed("evaluation"):
            probabilities = _report(model, photographs)
        with timed("writing"):
            _write(options.out, model, photographs, probabilities)
            history.to_csv(options.out / HISTORY)
            draw_cost_curve(history["loss"], options.out / COST, history.get("val_loss"), unit=unit)
            print(f"\n{MODEL}, {HISTORY}, {COST} and {PREDICTIONS} are in {one_line(options.out)}")
    return INTERRUPTED if history.interrupted else 0


def _report(model: Sequential, photographs: Photographs) -> Array:
    """Print accuracy, precision and recall on each part, and return the probabilities for the test part."""
    parts = {"training": photographs.train, "validation": photographs.validation, "test": photographs.test}
    print(f"\n{'':12}accuracy    majority class    precision    recall")
    for name, part in parts.items():
        if part is not None:
            p, y = model.predict(part.x, AT_ONCE), part.y
            of_cats = f"{precision(p, y):9.1%}    {recall(p, y):6.1%}"
            print(f"{name:12}{accuracy(p, y):8.1%}    {majority_baseline(y):14.1%}    {of_cats}")
    counts = confusion_counts(p, y)  # of the test part, which comes last
    print(
        f"\nOf the test photographs {counts.tp} cats are known as cats and {counts.fn} are not, "
        f"{counts.tn} others are known as others and {counts.fp} are not"
    )
    return p


def _write(out: Path, model: Sequential, photographs: Photographs, probabilities: Array) -> None:
    """Write the network, and the picture of test photographs with their predictions."""
    (x, y), names = photographs.test, photographs.class_names
    save(model, out / MODEL, class_names=names, image_size=x.shape[1:3])
    draw_contact_sheet(x, probabilities, y, out / PREDICTIONS, names)


def predict(photos: Sequence[Path], path: Path) -> int:
    """Print name, class and probability of each photograph, and return the exit status.

    For a photograph that cannot be read the line has the reason, and the status is that of a mistake.
    """
    model, metadata = load(path), load_metadata(path)
    names, size = _pair(metadata, "class_names", str), _pair(metadata, "image_size", int)
    if names is None or size is None:
        raise ValueError(f"{path}: expected the network of a photo classifier, with two class names and an image size")
    status = 0
    for photo in photos:
        try:
            pixels = read_image(photo, size)
        except ImageFileError as error:
            print(f"{one_line(photo)}: {one_line(error.reason)}")
            status = MISTAKE
            continue
        p = model.predict(pixels[None])
        if p.shape != (1, 1):
            raise ValueError(f"{path}: expected a network with one output, received an output of shape {p.shape}")
        of_class = (1 - p[0, 0], p[0, 0])
        says = int(p[0, 0] > 0.5)
        print(f"{one_line(photo)}: {one_line(names[says])}, probability {of_class[says]:.3f}", flush=True)
    return status


def _pair(metadata: Mapping[str, Any], name: str, kind: type[Kind]) -> tuple[Kind, Kind] | None:
    value = metadata.get(name)
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, kind) for each in value):
        return value[0], value[1]
    return None
