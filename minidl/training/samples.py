"""What is checked about samples and targets before they reach the loop, so that the loop need not look again."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._samples import Samples, as_samples, is_outside_memory
from minidl._typing import Array
from minidl._validation import check_finite, is_finite
from minidl.losses import Loss


class CheckedSlices:
    """Samples that are read as they are sliced, each slice an array that is checked then.

    This is how data larger than memory reaches a network: a `numpy.memmap`, or any array-like that slices by index.
    """

    def __init__(self, samples: Samples, name: str) -> None:
        self._samples, self._name = samples, name
        self.shape, self.dtype = samples.shape, samples.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Array) -> Array:
        part = np.asarray(self._samples[rows])
        if not is_finite(part):
            check_finite(part, self._name, np.arange(len(self))[rows])
        return part


def checked_samples(
    x: Any, y: Any, prefix: str, loss: Loss, dtype: np.dtype[Any], *, whole: bool
) -> tuple[Samples, Array]:
    """Return samples and targets ready for the network, after all checks that need no network.

    Arguments: `prefix` stands before x and y in messages; `whole` says that all samples will be used at once, so that
    they are best read now. Floating samples and targets in memory are brought to `dtype` once.

    Raises: ValueError for samples or targets that are empty, of different lengths, not finite or outside the loss's
    domain.
    """
    x, y = as_samples(x), np.asarray(y)
    if not x.shape or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"{prefix}x and {prefix}y: expected at least one sample and one target for each, "
            f"received shapes {tuple(x.shape)} and {y.shape}"
        )
    if is_outside_memory(x) and not whole:
        x = CheckedSlices(x, f"{prefix}x")
    else:
        x = np.asarray(x[:])
        if x.dtype.kind == "f":
            x = x.astype(dtype, copy=False)
        check_finite(x, f"{prefix}x")
    check_finite(y, f"{prefix}y")
    loss.check_target(y)
    return x, loss.cast_target(y, dtype)


def as_column(y: Array, output_shape: tuple[int, ...]) -> Array:
    """Return targets (n,) as the (n, 1) that outputs of one unit have; leave everything else to the loss's check."""
    return y[:, None] if y.ndim == 1 and output_shape == (len(y), 1) else y
