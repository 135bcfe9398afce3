"""RandomResizedCrop: a part of each picture, of random size, place and proportions, enlarged to the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from minidl._typing import Array, Seed
from minidl._validation import as_generator, shown
from minidl.data.augment import check_pictures, resample


class RandomResizedCrop:
    """A random part of each picture, drawn for each by itself and resized to the size of the whole.

    Formula: the part's area is `a` times the picture's, its width `r` times its height in pixels, with `a` uniform in
    `scale` and `log r` uniform between those of `ratio`; a side longer than the picture's is cut to it. It stands
    anywhere inside the picture, each place as likely as another. Output pixel `i` of a side of `n` shows, bilinearly,
    position `first + (i + 1/2) k - 1/2` of the input, where the part begins at `first` and has `k n` pixels.

    Arguments: `scale` and `ratio` are pairs (smallest, largest); `rng` is a seed or a generator.

    Shapes: uint8 (n, height, width, channels) in, a new array of the same shape out.

    Raises: ValueError for a `scale` that is no pair in (0, 1], a `ratio` that is no pair of positive numbers, and for
    pictures of another shape or type; TypeError for pictures that are no array.

    Source: Szegedy et al., "Going deeper with convolutions", 2015, section 6; limits as in torchvision's class of this
    name, which draws anew where this one cuts a side.

    >>> x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    >>> RandomResizedCrop(scale=(0.5, 1.0), rng=0)(x).shape
    (2, 4, 4, 3)
    """

    works_ahead = True  # of its turn, on another thread: it depends on the samples and its own generator alone

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        rng: Seed = None,
    ) -> None:
        self.scale = _pair(scale, "scale", 1.0)
        self.ratio = _pair(ratio, "ratio", math.inf)
        self.rng = as_generator(rng)

    def __call__(self, images: Array) -> Array:
        """Return changed copies of the pictures."""
        check_pictures(images, "RandomResizedCrop")
        n, height, width, _ = images.shape
        area, ratio = self._drawn(n, height / width)
        rows = _positions(np.minimum(1, np.sqrt(area / ratio)), self.rng.random((n,)), height)
        columns = _positions(np.minimum(1, np.sqrt(area * ratio)), self.rng.random((n,)), width)
        cropped = np.empty_like(images, order="C")
        for i in range(n):
            row, column = np.broadcast_arrays(rows[i, :, None], columns[i, None, :])
            cropped[i] = np.rint(resample(images[i], row, column))
        return cropped

    def _drawn(self, n: int, height_by_width: float) -> tuple[Array, Array]:
        """Return the share of the area and the ratio of the shares of width and height, (n,) each."""
        area = self.rng.uniform(self.scale[0], self.scale[1], n)
        smallest, largest = self.ratio
        return area, np.exp(self.rng.uniform(math.log(smallest), math.log(largest), n)) * height_by_width


def _positions(share: Array, place: Array, side: int) -> Array:
    """Return the positions (n, side) that the pixels of a side show, of parts that have this share of it."""
    first = place * (1 - share) * side
    positions: Array = first[:, None] + (np.arange(side) + 0.5) * share[:, None] - 0.5
    return positions.astype(np.float32)


def _pair(value: Any, name: str, largest: float) -> tuple[float, float]:
    is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not is_pair or not all(isinstance(bound, Real) and not isinstance(bound, bool) for bound in value):
        raise ValueError(f"RandomResizedCrop {name}: expected a pair of numbers, received {shown(value)}")
    low, high = float(value[0]), float(value[1])
    if not (0 < low <= high <= largest and math.isfinite(high)):
        limit = "in (0, 1]" if largest == 1 else "above 0"
        raise ValueError(f"RandomResizedCrop {name}: expected (smallest, largest) {limit}, received {shown(value)}")
    return low, high
