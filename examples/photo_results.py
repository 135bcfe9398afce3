"""Results of a trained photo classifier: the report of its accuracy, its files, and classes of new photographs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from command_line import INTERRUPTED, MISTAKE, one_line, timed
from confusion_picture import draw_confusion_matrix
from cost_curve import draw_cost_curve
from out_folder import CONFUSION, COST, HISTORY, MODEL, PAGE, PREDICTIONS
from photographs import Photographs

from minidl import History, Module, Sequential, classification_report, load, load_metadata, majority_baseline, save
from minidl._typing import Array
from minidl._validation import shown
from minidl.data import ImageFileError, read_image
from minidl.data._folders import find_files
from minidl.inspect import Recorder, page
from minidl.reports import ClassificationReport, draw_contact_sheet

Kind = TypeVar("Kind")

AT_ONCE = 64  # photographs that go through the network together
RECORDED = 6  # photographs whose way through the network is recorded while it is trained


def recorder_of(photographs: Photographs) -> Recorder:
    """Return what records a run for the page, with a few photographs of the test part."""
    x = photographs.test.x
    rows = np.unique(np.linspace(0, len(x) - 1, RECORDED).round().astype(int))
    return Recorder(x[rows], limit=24)


def finish(
    options: argparse.Namespace, model: Sequential, history: History, photographs: Photographs, unit: str = "iteration",
    **of_page: Any,
) -> int:  # fmt: skip
    """Print the accuracy of a trained network, write all files, and return the program's exit status.

    Arguments: `of_page` are those of `minidl.inspect.page` that belong to the run: `initial`, `recorder` and `span`.
    """
    if history.epochs:
        with timed("evaluation"):
            report = _report(model, photographs)
        with timed("writing"):
            _write(options.out, model, photographs, report)
            history.to_csv(options.out / HISTORY)
            draw_cost_curve(history["loss"], options.out / COST, history.get("val_loss"), unit=unit)
            print(f"\n{MODEL}, {HISTORY}, {COST}, {CONFUSION} and {PREDICTIONS} are in {one_line(options.out)}")
            (x, y), (train_x, train_y) = photographs.test, photographs.train
            title = f"Behind the scenes: {' or '.join(photographs.class_names)}"
            page(
                model, options.out / PAGE, x, y, train_images=train_x, train_labels=train_y, history=history,
                class_names=photographs.class_names, names=photographs.test_names, title=title, **of_page,
            )  # fmt: skip
        print(f"To look inside the network, open {one_line(options.out / PAGE)} in a browser")
    return INTERRUPTED if history.interrupted else 0


def _report(model: Sequential, photographs: Photographs) -> ClassificationReport:
    """Print the accuracy on each part and how well the classes of the test part are told apart; return the latter."""
    parts = {"training": photographs.train, "validation": photographs.validation, "test": photographs.test}
    print(f"\n{'':12}accuracy    mean over classes    majority class")
    for name, part in parts.items():
        if part is not None:
            report = classification_report(model, *part, photographs.class_names, AT_ONCE)
            print(
                f"{name:12}{report.accuracy:8.1%}    {report.macro.recall:17.1%}    {majority_baseline(part.y):14.1%}"
            )
    print(f"\nThe test photographs:\n\n{report}\n")  # the test part comes last
    return report


def _write(out: Path, model: Sequential, photographs: Photographs, report: ClassificationReport) -> None:
    """Write the network, the confusion matrix, and the picture of test photographs with their predictions."""
    (x, y), names = photographs.test, photographs.class_names
    save(model, out / MODEL, class_names=names, image_size=x.shape[1:3])
    draw_contact_sheet(x, model.predict(x, AT_ONCE), y, out / PREDICTIONS, names)
    draw_confusion_matrix(report, out / CONFUSION)


def predict(photos: Sequence[Path], path: Path) -> int:
    """Print name, class and probability of each photograph, also of those in folders, and return the exit status.

    For a photograph that cannot be read the line has the reason, and the status is that of a mistake.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such model file: train a network first, or name one with --model")
    model, metadata = load(path), load_metadata(path)
    names, size = _list(metadata, "class_names", str), _list(metadata, "image_size", int)
    if len(names) < 2 or len(size) != 2:
        raise ValueError(f"{path}: expected the network of a photo classifier, with class names and an image size")
    files = [file for photo in photos for file in _files_of(photo)]
    width = max(len(one_line(file)) for file in files)
    longest = max(len("class"), *(len(one_line(name)) for name in names))
    print(f"{'photograph':{width}}  {'class':{longest}}  probability")
    status = 0
    for file in files:
        name = f"{one_line(file):{width}}"
        try:
            pixels = read_image(file, (size[0], size[1]))
        except ImageFileError as error:
            print(f"{name}  {one_line(error.reason)}")
            status = MISTAKE
            continue
        p = _probabilities(model, pixels, len(names), path)
        print(f"{name}  {one_line(names[p.argmax()]):{longest}}  {p.max():11.3f}", flush=True)
    return status


def _files_of(photo: Path) -> list[Path]:
    """Return the photograph, or all files below a folder.

    Raises: FileNotFoundError for a folder that holds none.
    """
    if not photo.is_dir():
        return [photo]
    files = [file.path for file in find_files({"": photo})]
    if not files:
        raise FileNotFoundError(f"--predict: there are no files in {photo}")
    return files


def _probabilities(model: Module, pixels: Array, classes: int, path: Path) -> Array:
    """Return the probability of each class; a single output is that of the second of two."""
    p = model.predict(pixels[None])
    if p.shape == (1, 1) and classes == 2:
        p = np.concatenate([1 - p, p], axis=1)
    if p.shape != (1, classes) or not (p >= 0).all() or abs(p.sum() - 1) > 1e-3:
        raise ValueError(
            f"{path}: expected a network that ends in the probabilities of its {classes} classes, received {shown(p)}"
        )
    return np.asarray(p[0])


def _list(metadata: Mapping[str, Any], name: str, kind: type[Kind]) -> list[Kind]:
    """Return a list of the metadata, an empty one where it is none of this kind."""
    value = metadata.get(name)
    is_one = isinstance(value, list) and all(isinstance(each, kind) for each in value)
    return list(value or []) if is_one else []
