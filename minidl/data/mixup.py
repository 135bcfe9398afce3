"""MixUp: each sample of a batch faded into another one, and its target by the same share."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._samples import each, leaves
from minidl._typing import Array
from minidl._validation import shown
from minidl.data._mixing import Mixing, blended


class MixUp(Mixing):
    """Samples faded into others of their batch, their targets by the same share.

    Formula: with one `lambda ~ Beta(alpha, alpha)` and one permutation `p` of the samples for each batch,

        x'_i = lambda x_i + (1 - lambda) x_p(i)          t'_i = lambda t_i + (1 - lambda) t_p(i)

    Arguments: `alpha` from 0.001 to 1000: small ones leave most batches nearly as they are, 1 draws all shares alike;
    0.2 is usual for photographs. `classes` is the number of classes where targets are class numbers (n,): they become
    rows (n, classes). `rng` is a seed or a generator.

    Shapes: samples (n, ...) that are uint8 or floating, or a tuple of inputs, all mixed alike; targets that are
    floating (n, ...), columns of 0 and 1, or class numbers (n,). Samples keep their dtype, pictures are rounded: the
    network is given what it is given without mixing, at a quarter of the memory of float32, and what a picture loses
    is no more than what it lost when it was made of uint8. Floating targets keep their dtype, others become float32.

    Raises: ValueError for an `alpha` out of range, class numbers without `classes` or outside them, and other integers;
    TypeError for samples of another kind, and for targets with weights.

    Source: Zhang et al., "mixup: Beyond empirical risk minimization", 2018.

    >>> x, y = MixUp(alpha=1.0, classes=3, rng=0)(np.float32([[0.0], [10.0]]), np.array([0, 2]))
    >>> bool(np.allclose(x[:, 0], 10 * y[:, 2])), y.sum(axis=1).tolist()
    (True, [1.0, 1.0])
    """

    @without_false_alarms
    def __call__(self, x: Any, y: Any) -> tuple[Any, Array]:
        """Return mixed copies of the samples and of the targets."""
        for part in leaves(x):
            if not isinstance(part, np.ndarray) or not (part.dtype == np.uint8 or part.dtype.kind == "f"):
                raise TypeError(
                    f"MixUp: expected uint8 pictures or floating samples, received "
                    f"{part.dtype if isinstance(part, np.ndarray) else shown(part)}"
                )
        share, order = self._drawn(len(leaves(x)[0]))
        return each(lambda part: _mixed(part, order, share), x), self._mixed_targets(y, order, share)


def _mixed(x: Array, order: Array, share: float) -> Array:
    if x.dtype.kind == "f":
        return blended(x, x[order], share)
    numbers = x.astype(np.float32)
    mixed = blended(numbers, numbers[order], share)
    return np.rint(mixed, out=mixed).astype(np.uint8)
