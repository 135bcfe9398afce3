"""Normalize: features of any size as numbers around 0, of size 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._samples import Samples, as_samples
from minidl._typing import Array, DTypeLike
from minidl._validation import check_finite, float_dtype, is_finite, size
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.parameter import Buffer

if TYPE_CHECKING:
    from typing_extensions import Self

EPSILON = float(np.finfo(np.float64).eps)
NUMBERS = 1 << 22  # that `adapt` reads at once: three arrays of them in float64 are 100 MB


class Normalize(Module):
    """Subtract each feature's mean and divide by its scale, both taken from the training samples by `adapt`.

    Formula: `y = (x - mean) / scale`, with the mean and the standard deviation over all samples (and pixels, steps);
    the scale of a feature that never changes is 1.

    Shapes: `x` (batch, ..., features), pictures with their channels last, result the same; `mean` and `scale`
    (features,), which no training changes and which are saved with the model.

    Arguments: `features`, the length of the last axis; `dtype` is float32 or float64. Integers become `dtype`, floating
    input is cast to it before the mean is subtracted: features whose mean is a million times their deviation, such as
    times in seconds, need float64 or an earlier origin. Before `adapt`, the mean is 0 and the scale 1.

    Raises: ValueError for arguments outside these ranges.

    >>> layer = Normalize(2).adapt([[1.0, 10.0], [3.0, 10.0]])
    >>> layer(np.array([[1.0, 10.0], [5.0, 12.0]], np.float32)).tolist()
    [[-1.0, 0.0], [3.0, 2.0]]
    """

    def __init__(self, features: int, *, dtype: DTypeLike = np.float32) -> None:
        self.features, self._dtype = size(features, "Normalize features"), float_dtype(dtype, "Normalize dtype")
        self.mean = Buffer(np.zeros(self.features, self._dtype))
        self.scale = Buffer(np.ones(self.features, self._dtype))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of mean and scale."""
        return self.mean.data.dtype

    def adapt(self, x: Any) -> Self:
        """Take mean and scale from samples (n, ..., features), in memory or read as they are sliced; return self.

        Raises: ValueError for samples of another shape, without rows, not finite, or with squares too large.
        """
        samples = as_samples(x)
        if len(samples.shape) < 2 or samples.shape[-1] != self.features or 0 in samples.shape:
            raise LayerInputError(
                self, f"adapt: expected samples (n, ..., {self.features}), received {tuple(samples.shape)}"
            )
        count, mean, squares = 0, np.zeros(self.features), np.zeros(self.features)
        step = max(1, NUMBERS // math.prod(samples.shape[1:]))
        for start in range(0, samples.shape[0], step):
            rows = self._rows(samples, slice(start, start + step))
            # Mean and squared distances of two parts, joined: Chan, Golub and LeVeque (1979).
            own = rows.mean(axis=0)
            distance, total = own - mean, count + len(rows)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                squares += np.square(rows - own).sum(axis=0) + np.square(distance) * (count * len(rows) / total)
            mean, count = mean + distance * (len(rows) / total), total
        with np.errstate(over="ignore", under="ignore"):
            # What rounding leaves of a feature that never changes, by the bound of its variance's error.
            error = count * EPSILON * squares / count + np.square(count * EPSILON * mean)
            is_constant = np.isfinite(squares) & (squares / count <= error)
            deviation = np.where(is_constant, 0, np.sqrt(squares / count)).astype(self.dtype)
            mean = mean.astype(self.dtype)
        if not is_finite(deviation) or not is_finite(mean):
            raise LayerInputError(self, f"adapt: expected numbers with a mean and a deviation that {self.dtype} holds")
        self.mean.data[...], self.scale.data[...] = mean, np.where(deviation > 0, deviation, 1)
        return self

    def _rows(self, samples: Samples, rows: slice) -> Array:
        """Return some of the samples as rows of features in float64."""
        part = np.asarray(samples[rows])
        if part.dtype.kind not in "fiub":
            raise LayerInputError(self, f"adapt: expected numbers, received dtype {part.dtype}")
        check_finite(part, f"{self!r}: adapt", range(rows.start, rows.start + len(part)))
        return part.reshape(-1, self.features).astype(np.float64)

    def forward(self, x: Array) -> Array:
        """Return `(x - mean) / scale`."""
        if x.ndim < 2 or x.shape[-1] != self.features or x.size == 0:
            raise LayerInputError(self, f"expected (batch, ..., {self.features}), received {x.shape}")
        x = x.astype(self.dtype) if x.dtype.kind in "iub" else floating(self, x, self.dtype)
        self.save_for_backward(x.shape)
        y: Array = (x - self.mean.data) / self.scale.data
        return y

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output / scale`, since `dy/dx = 1 / scale`."""
        (shape,) = self.saved_for_backward()
        check_grad(self, grad_output, shape)
        grad_input: Array = grad_output / self.scale.data
        return grad_input

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.features})"
