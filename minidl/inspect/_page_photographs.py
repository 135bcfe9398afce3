"""Photographs for the page: what the network answers for each, all of them small, and some exactly."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl._validation import cast, check_finite
from minidl.functional import sigmoid, softmax
from minidl.inspect._page_pictures import SIDE, as_picture, picture_file, sheet_of, small
from minidl.layers import LogSoftmax, Sigmoid, Softmax
from minidl.module import Module
from minidl.training.rewrites.layers import computes_as, last_layer

AT_ONCE = 64
"""Samples that go through the network together."""

SHOWN = 1000
"""Samples of which a small picture is in the page, at most; the numbers above them are of all."""

EXACT = 24
EXACT_BYTES = 680_000
"""Samples that are in the page exactly, so that the network runs on them there, and their bytes, at most."""


class Answers(NamedTuple):
    """What the network says of samples: probabilities of all classes (n, k), and the true classes (n,) or None."""

    probabilities: Array
    labels: Array | None

    @property
    def says(self) -> Array:
        """The class of the largest probability; of two equally probable ones the first."""
        says: Array = self.probabilities.argmax(axis=1)
        return says

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float((self.says == self.labels).mean())

    @property
    def baseline(self) -> float:
        """The share of the class that is the most frequent."""
        return float(np.bincount(np.asarray(self.labels)).max() / len(self.probabilities))


def head_of(model: Module) -> str:
    """Return the kind of layer that turns the network's logits into its output; "" where it ends in none.

    >>> from minidl import mlp
    >>> head_of(mlp([2, 1]))
    'Sigmoid'
    """
    last = last_layer(model)
    kinds = (Sigmoid, Softmax, LogSoftmax)
    return next((kind.__name__ for kind in kinds if computes_as(last, kind)), "")


def probabilities_of(model: Module, x: Any) -> Array:
    """Return the probabilities (n, k) of all classes, those of one output being `1 - p` and `p`.

    Outputs of a network that ends in neither Sigmoid, Softmax nor LogSoftmax are logits.

    Raises: ValueError for a network whose output for a sample is no row of numbers, or not finite.
    """
    output = np.asarray(model.predict(x, AT_ONCE), np.float64)
    if output.ndim != 2 or output.shape[1] == 0:
        raise ValueError(f"page model: expected outputs (n, classes), received {output.shape}")
    check_finite(output, "page: the model's output")
    head = head_of(model)
    if output.shape[1] == 1:
        p = output if head == "Sigmoid" else sigmoid(output)
        return np.concatenate([1 - p, p], axis=1)
    if head == "LogSoftmax":
        return np.exp(output)
    return output if head in ("Sigmoid", "Softmax") else softmax(output)


def photographs_of(images: Any, answers: Answers, names: list[str]) -> dict[str, Any]:
    """Return the samples as JSON values: a sheet of small pictures with their answers, and exact ones."""
    chosen = _chosen(answers, SHOWN)
    exact: list[dict[str, Any]] = []
    size = 0
    for place in _exact_first(answers, chosen):
        data = _exactly(np.asarray(images[int(chosen[place]) : int(chosen[place]) + 1])[0])
        size += len(data)
        if len(exact) == EXACT or (exact and size > EXACT_BYTES):
            break
        exact.append({"place": int(place), "data": data})
    pictures = (small(as_picture(np.asarray(images[int(i) : int(i) + 1])[0]), SIDE) for i in chosen)
    rounded = np.round(answers.probabilities[chosen], 6)
    return {
        "total": len(images),
        "sheet": sheet_of(pictures, len(chosen), quality=60),
        "names": [names[i] for i in chosen] if names else [f"photograph {i + 1}" for i in chosen],
        "labels": None if answers.labels is None else answers.labels[chosen].tolist(),
        "probabilities": rounded.tolist(),
        "says": answers.says[chosen].tolist(),  # rounded probabilities may be equal
        "exact": sorted(exact, key=lambda entry: entry["place"]),
    }


def _chosen(answers: Answers, limit: int) -> Array:
    """Return which samples to show: all, or evenly spaced ones."""
    count = len(answers.probabilities)
    return np.arange(count) if count <= limit else np.linspace(0, count - 1, limit).round().astype(int)


def _exact_first(answers: Answers, chosen: Array) -> list[int]:
    """Return the places in `chosen`, as evenly as possible right and wrong, of every class and of every sureness."""
    sureness = answers.probabilities[chosen].max(axis=1)
    says = answers.says[chosen]
    truth = says if answers.labels is None else answers.labels[chosen]
    groups: dict[tuple[int, bool], list[int]] = {}
    for place in np.argsort(-sureness, kind="stable"):
        groups.setdefault((int(truth[place]), bool(says[place] == truth[place])), []).append(int(place))
    spread = [_spread(group) for _, group in sorted(groups.items())]
    return [group[i] for i in range(max(map(len, spread), default=0)) for group in spread if i < len(group)]


def _spread(group: list[int]) -> list[int]:
    """Return a list in such an order that each beginning of it is spread over the list (van der Corput's)."""
    return [group[i] for i in sorted(range(len(group)), key=lambda i: int(f"{i:032b}"[::-1], 2))]


def _exactly(sample: Array) -> str:
    """Return a sample as the address of a picture without loss, or its numbers in float32 as base64."""
    if is_picture(sample):
        return picture_file(as_picture(sample))
    numbers = cast(sample, np.dtype(np.float32), "page images")
    return b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode("ascii")


def is_picture(sample: Array) -> bool:
    """Return whether a sample is made of pixels, as `read_image` returns them.

    >>> is_picture(np.zeros((4, 4, 3), np.uint8)), is_picture(np.zeros(4))
    (True, False)
    """
    return sample.dtype == np.uint8 and sample.ndim == 3 and sample.shape[2] in (1, 3)
