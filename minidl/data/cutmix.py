"""CutMix: a box of each picture of a batch cut out of another one, and its target mixed by the share of the pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import shown
from minidl.data._mixing import STEPS, Mixing


class CutMix(Mixing):
    """Pictures with a box cut out of others of their batch, their targets by the share of the pixels.

    Formula: with one `lambda ~ Beta(alpha, alpha)`, one permutation `p` and one box for each batch, the box is that of
    picture `p(i)` in picture `i`. Its sides are `sqrt(1 - lambda)` of the picture's, rounded down to whole pixels, its
    centre is any pixel, and what stands beyond the edge is cut off; with `s` the share of pixels that are left outside
    it, targets become `t'_i = s t_i + (1 - s) t_p(i)`.

    Arguments: `alpha` from 0.001 to 1000, 1 as in the article; `classes` is the number of classes where targets are
    class numbers (n,): they become rows (n, classes). `rng` is a seed or a generator.

    Shapes: pictures (n, height, width, channels) of any numbers, which keep their dtype and their values; targets as
    `MixUp` takes them.

    Raises: ValueError for an `alpha` out of range, pictures of another shape, class numbers without `classes` or
    outside them; TypeError for pictures that are no array, and for targets with weights.

    Source: Yun et al., "CutMix: Regularization strategy to train strong classifiers", 2019, section 3.2.

    >>> x = np.repeat(np.uint8([0, 100]), 16).reshape(2, 4, 4, 1)
    >>> x, y = CutMix(alpha=1.0, classes=2, rng=3)(x, np.array([0, 1]))
    >>> bool(np.allclose(x.mean(axis=(1, 2, 3)), 100 * y[:, 1])), y.sum(axis=1).tolist()
    (True, [1.0, 1.0])
    """

    @without_false_alarms
    def __call__(self, x: Any, y: Any) -> tuple[Array, Array]:
        """Return mixed copies of the pictures and of the targets."""
        if not isinstance(x, np.ndarray):
            raise TypeError(f"CutMix: expected an array of pictures, received {shown(x)}")
        if x.ndim != 4 or 0 in x.shape[1:]:
            raise ValueError(f"CutMix: expected pictures (n, height, width, channels), received {x.dtype} {x.shape}")
        share, order = self._drawn(len(x))
        rows, columns = (self._side(math.sqrt(1 - share), side) for side in x.shape[1:3])
        mixed = x.copy()
        mixed[:, rows, columns] = x[order, rows, columns]
        pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
        left = round((1 - pixels / (x.shape[1] * x.shape[2])) * STEPS) / STEPS
        return mixed, self._mixed_targets(y, order, left)

    def _side(self, share: float, side: int) -> slice:
        """Return where the box stands along one side of the picture."""
        length = int(share * side)
        first = int(self.rng.integers(side)) - length // 2
        return slice(max(first, 0), min(first + length, side))
