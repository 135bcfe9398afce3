"""RandAugment: a few operations, drawn for each picture out of a list, all of one magnitude."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array, Seed
from minidl._validation import as_generator, positive_int, unit_number
from minidl.data._picture_operations import OPERATIONS
from minidl.data.augment import check_pictures


class RandAugment:
    """A few operations one after another, drawn for each picture by itself, all of one magnitude.

    Formula: each operation is one of the following, each as likely as another; its magnitude is `m = magnitude` or, as
    often, `m = -magnitude`. With `f = 1 + 0.9 m`:

    - mirror: left to right, whatever the magnitude;
    - rotate by `30 m` degrees; shear rows or columns by `0.3 m`; shift down or right by `0.3 m` of the side;
    - brightness: values times f; contrast, colour and sharpness: differences from the picture's mean, from the mean of
      the channels of the pixel, and from the mean of the pixel and its eight neighbours, times f;
    - posterize: the last `4 |m|` bits are 0; solarize: values v of at least `256 (1 - |m|)` become `255 - v`;
    - cutout: a box of `|m| / 2` of the sides about any pixel is filled with the mean colour.

    Positions beyond the edge show the edge; values are rounded and clipped to 0 ... 255 after each operation.

    Arguments: `operations` is how many each picture goes through, `magnitude` from 0 to 1 how far they go; `rng` is a
    seed or a generator.

    Shapes: uint8 (n, height, width, channels) in, a new array of the same shape out.

    Raises: ValueError for `operations` that are no whole number of at least 1, a `magnitude` outside [0, 1], and
    pictures of another shape or type; TypeError for pictures that are no array.

    Source: Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", 2020; the
    list is like theirs, without equalizing, with mirror and cutout, which they apply beside it.

    >>> x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    >>> RandAugment(operations=2, magnitude=0.5, rng=0)(x).shape
    (2, 4, 4, 3)
    """

    works_ahead = True  # of its turn, on another thread: it depends on the samples and its own generator alone

    def __init__(self, operations: int = 2, magnitude: float = 0.3, rng: Seed = None) -> None:
        self.operations = positive_int(operations, "RandAugment operations")
        self.magnitude = unit_number(magnitude, "RandAugment magnitude")
        self.rng = as_generator(rng)

    @without_false_alarms
    def __call__(self, images: Array) -> Array:
        """Return changed copies of the pictures."""
        check_pictures(images, "RandAugment")
        size = len(images), self.operations
        chosen = self.rng.integers(len(OPERATIONS), size=size)
        magnitudes = self.magnitude * (1 - 2 * self.rng.integers(2, size=size))
        places = self.rng.random((*size, 2))
        changed = np.empty_like(images, order="C")
        for i, image in enumerate(images):
            for number, magnitude, place in zip(chosen[i], magnitudes[i].tolist(), places[i], strict=True):
                image = OPERATIONS[number](image, magnitude, place)
            changed[i] = image
        return changed
