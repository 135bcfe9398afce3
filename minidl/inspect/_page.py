"""Page: one HTML file in which a trained network runs and can be looked into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np

from minidl._files import FilePath, atomic_write
from minidl._samples import as_samples
from minidl._typing import Array
from minidl._validation import as_array, shown
from minidl.inspect._network_data import network_data
from minidl.inspect._page_file import html_of, packed
from minidl.inspect._page_photographs import Answers, head_of, is_picture, photographs_of, probabilities_of
from minidl.inspect._page_run import curves_of, moments_of
from minidl.inspect._page_units import units_of
from minidl.module import Module
from minidl.training.span import Span


def page(
    model: Module,
    path: FilePath,
    images: Any = None,
    labels: Any = None,
    *,
    train_images: Any = None,
    train_labels: Any = None,
    class_names: Sequence[str] | None = None,
    names: Sequence[Any] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    recorder: Any = None,
    initial: Module | None = None,
    span: Span | None = None,
    input_shape: Sequence[int] | None = None,
    title: str = "Behind the scenes",
) -> None:
    """Write one HTML file that shows what happens inside a network, and in which the network itself runs.

    It needs no server, no network and no other file, and no request is possible from it. It shows the layers with
    their shapes; the run; one photograph's way through the network, also of a file that is dropped on it, and the way
    back; which photographs are right and wrong. Each part is there as far as its arguments are given.

    Shapes: `images` and `train_images` (n, ...), samples as `predict` takes them: uint8 (n, height, width, 3) for
    photographs, or any other numbers; `labels` and `train_labels` (n,) or (n, 1), class numbers from 0.

    Arguments: `images` are those to show, best of a test set: a few dozen are kept exactly, so that the network in the
    page answers as `predict` does, to 1e-5, the others as small pictures with `predict`'s answers. `class_names` are
    the class numbers if not given; `names` are those of the images, such as file names. `history` is what `fit` has
    returned; `recorder` a `Recorder` that was among its callbacks; `initial` the network as it was before training, to
    show what training has changed, and, with `train_images`, the photographs that did (see `influences`, also for
    `span`, without which this takes seconds). `input_shape`, of one sample, is needed where no samples are given.

    Raises: ValueError for arguments that do not belong together, and for a network with a layer that is not minidl's;
    TypeError for arguments of another kind; OSError where the file cannot be written, whose folder is then as it was.

    >>> import tempfile
    >>> from minidl import mlp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page(mlp([2, 3, 1], rng=0), f"{folder}/behind.html", [[0.0, 1.0], [1.0, 0.0]], [0, 1])
    """
    shown_part, train_part = _samples(images, "images"), _samples(train_images, "train_images")
    shape = _shape_of_sample(shown_part, train_part, input_shape)
    if names is not None and shown_part is None:
        raise ValueError(f"page names: expected None where there are no images, received {shown(names)}")
    network = network_data(model, shape)
    tested = _answers(model, shown_part, labels, "labels")
    trained = _answers(model, train_part, train_labels, "train_labels")
    data = {
        "title": str(title),
        "network": {**network, "network": packed(network["network"])},
        "head": head_of(model),
        "input": {"shape": list(shape), "isPicture": _has_pixels(shape, shown_part, train_part)},
        "classes": _class_names(class_names, network["network"]["outputShape"]),
        "run": {"curves": curves_of(history), "train": _scores(trained), "test": _scores(tested)},
        "moments": moments_of(recorder),
        "units": units_of(model, initial, train_part, shape, span),
        "photographs": None if tested is None else photographs_of(shown_part, tested, _names(names, len(shown_part))),
    }
    content = html_of(str(title), data)
    with atomic_write(path) as file:
        file.write(content)


def _samples(x: Any, name: str) -> Any:
    """Return samples, and None for none at all, of which there is nothing to show."""
    if x is None:
        return None
    samples = as_samples(x, f"page {name}")
    return samples if len(samples) else None


def _shape_of_sample(images: Any, train_images: Any, input_shape: Sequence[int] | None) -> tuple[int, ...]:
    shapes = [tuple(part.shape[1:]) for part in (images, train_images) if part is not None]
    if input_shape is not None:
        shapes.append(tuple(input_shape))
    if not shapes:
        raise ValueError("page input_shape: expected the shape of one sample where no images are given, received None")
    if len(set(shapes)) > 1:
        raise ValueError(f"page: expected images, train_images and input_shape of one shape, received {shapes}")
    return shapes[0]


def _answers(model: Module, x: Any, labels: Any, name: str) -> Answers | None:
    """Return what the network says of samples, beside their checked labels."""
    if x is None:
        if labels is not None and np.size(labels):
            raise ValueError(f"page {name}: expected None where there are no images, received {shown(labels)}")
        return None
    probabilities = probabilities_of(model, x)
    classes = probabilities.shape[1]
    if labels is None:
        return Answers(probabilities, None)
    truth = as_array(labels, f"page {name}")
    if truth.shape not in ((len(x),), (len(x), 1)):
        raise ValueError(f"page {name}: expected one for each of {len(x)} images, received shape {truth.shape}")
    if not np.isin(truth, range(classes)).all():
        expected = "0 and 1" if classes == 2 else f"class numbers below {classes}"
        raise ValueError(f"page {name}: expected {expected}, received {shown(np.unique(truth).tolist())}")
    return Answers(probabilities, truth.ravel().astype(int))


def _has_pixels(shape: tuple[int, ...], *parts: Any) -> bool:
    """Return whether samples are pixels; of a network without samples, whether they can be."""
    samples = (np.asarray(part[:1])[0] for part in parts if part is not None)
    return all(map(is_picture, samples)) and len(shape) == 3 and shape[2] in (1, 3)


def _class_names(class_names: Sequence[str] | None, output_shape: Sequence[int]) -> list[str]:
    classes = max(2, output_shape[-1] if output_shape else 1)
    if class_names is None:
        return [f"class {i}" for i in range(classes)]
    if isinstance(class_names, str) or not isinstance(class_names, Sized) or len(class_names) != classes:
        raise ValueError(f"page class_names: expected {classes} names, received {shown(class_names)}")
    return [str(name) for name in class_names]


def _names(names: Sequence[Any] | None, count: int) -> list[str]:
    if names is None:
        return []
    if isinstance(names, str) or not isinstance(names, Sized) or len(names) != count:
        raise ValueError(f"page names: expected one for each of {count} images, received {shown(names)}")
    return [str(name) for name in names]


def _scores(answers: Answers | None) -> dict[str, Any] | None:
    """Return how many of a part's samples are right, and the confusion matrix, a row for each true class."""
    if answers is None:
        return None
    count, classes = answers.probabilities.shape
    if answers.labels is None:
        return {"count": count}
    matrix: Array = np.zeros((classes, classes), int)
    np.add.at(matrix, (answers.labels, answers.says), 1)
    return {"count": count, "accuracy": answers.accuracy, "baseline": answers.baseline, "matrix": matrix.tolist()}
