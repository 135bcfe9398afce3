"""What MixUp and CutMix share: their arguments, what they draw, and the mixture of the targets."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from minidl._typing import Array, Seed
from minidl._validation import as_generator, is_finite, positive_int, shown

STEPS = 2**24
"""A share is a whole number of these parts, so that it and its rest are exact in float32 as in float64."""


class Mixing:
    """The base of augmentations that mix each sample of a batch, and its target, with those of a partner."""

    takes_targets = True
    works_ahead = True  # of its turn, on another thread: it depends on the samples and its own generator alone

    def __init__(self, alpha: float = 1.0, classes: int | None = None, rng: Seed = None) -> None:
        name = type(self).__name__
        is_number = isinstance(alpha, Real) and not isinstance(alpha, bool)
        if not is_number or not 0.001 <= alpha <= 1000:  # beyond it a draw is no number, or always a half
            raise ValueError(f"{name} alpha: expected a number from 0.001 to 1000, received {shown(alpha)}")
        self.alpha = float(alpha)
        self.classes = None if classes is None else positive_int(classes, f"{name} classes")
        self.rng = as_generator(rng)

    def _drawn(self, n: int) -> tuple[float, Array]:
        """Return the share that each sample keeps, and the number of its partner, (n,)."""
        share = round(self.rng.beta(self.alpha, self.alpha) * STEPS) / STEPS
        return share, self.rng.permutation(n)

    def _mixed_targets(self, y: Any, order: Array, share: float) -> Array:
        rows = self._rows(y)
        return blended(rows, rows[order], share)

    def _rows(self, y: Any) -> Array:
        """Return targets as floating numbers: those that are as they are, class numbers as rows with a 1."""
        name = type(self).__name__
        if not isinstance(y, np.ndarray) or y.dtype.kind not in "fiub" or y.ndim == 0:
            weights = "; weights cannot be mixed" if isinstance(y, tuple) else ""
            raise TypeError(f"{name}: expected targets in one array of numbers, received {shown(y)}{weights}")
        if y.dtype.kind == "f":
            return y
        if y.ndim > 1:
            if y.size and not 0 <= y.min() <= y.max() <= 1:
                raise ValueError(
                    f"{name}: expected floating targets, class numbers (n,) or columns of 0 and 1, received {y.dtype} "
                    f"{y.shape} from {y.min()} to {y.max()}"
                )
            return y.astype(np.float32)
        if self.classes is None:
            raise ValueError(
                f"{name} classes: expected the number of classes for targets {y.dtype} {y.shape}, which are class "
                "numbers, received None; answers yes or no are floating numbers or a column (n, 1)"
            )
        if y.size and not 0 <= y.min() <= y.max() < self.classes:
            raise ValueError(
                f"{name} classes: expected class numbers from 0 to {self.classes - 1}, received "
                f"some from {y.min()} to {y.max()}"
            )
        rows = np.zeros((len(y), self.classes), np.float32)
        rows[np.arange(len(y)), y.astype(np.intp)] = 1
        return rows


def blended(first: Array, second: Array, share: float) -> Array:
    """Return `share * first + (1 - share) * second`, finite where both are, and within [0, 1] where both are."""
    with np.errstate(over="ignore"):  # by the rounding of the largest numbers, which is put right
        mixed: Array = share * first
        mixed += (1 - share) * second
    if not is_finite(mixed):
        mixed = mixed.clip(np.minimum(first, second), np.maximum(first, second))
    return mixed
