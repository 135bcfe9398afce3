"""Wide samples, read some columns at a time, and combinations of them, computed when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._typing import Array
from minidl.layers import Flatten, Normalize
from minidl.module import Module
from minidl.ops import tuning

FEW = 64  # samples up to which the transposed product is faster: 8 by 1,321 photographs take 80 ms, not 100
ROWS = 64  # samples that are made floating numbers at a time to be reduced


class WideSamples:
    """The samples as the first Dense sees them, some columns at a time: floating numbers made of pixels."""

    def __init__(self, x: Array, constant: Sequence[Module], dtype: np.dtype[Any]) -> None:
        self._x = x.reshape(len(x), -1)
        self._elementwise = [layer for layer in constant if type(layer) is not Flatten]
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self._x)

    @property
    def features(self) -> int:
        """How many numbers a sample has."""
        return int(self._x.shape[1])

    def others(self, x: Array) -> WideSamples:
        """Return further samples, which the same layers are before."""
        return WideSamples(x, self._elementwise, self.dtype)

    def reduced(self, reduce: Callable[[Array], Array]) -> WideSamples:
        """Return the samples with rows of fewer numbers, each the mean of some, such as pixels next to each other."""
        every = slice(0, self.features)
        if not any(isinstance(layer, Normalize) for layer in self._elementwise):  # whose features may differ
            rows = reduce(self._x)
            return WideSamples(self._numbers(rows, every), [], self.dtype)
        starts = range(0, len(self), ROWS)
        parts = [reduce(self._numbers(self._x[start : start + ROWS], every)) for start in starts]
        return WideSamples(np.concatenate(parts), [], self.dtype)

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """Yield slices of columns, and the samples' numbers in them."""
        width = tuning.TUNING.gram_features
        for start in range(0, self._x.shape[1], width):
            columns = slice(start, min(start + width, self.features))
            yield columns, self._numbers(self._x[:, columns], columns)

    def _numbers(self, x: Array, columns: slice) -> Array:
        """Return the floating numbers of these columns, of which `x` has the pixels."""
        with calling(training=False):
            for layer in self._elementwise:
                x = (_some_columns(layer, columns) if isinstance(layer, Normalize) else layer).forward(x)
        return x.astype(self.dtype, copy=False)

    def products_with(self, others: WideSamples, extra_columns: int) -> Array:
        """Return the inner products (len(self), len(others)), and beside them so many columns of 0, the last one 1."""
        n = len(others)
        products = np.zeros((len(self), n + extra_columns), self.dtype)
        products[:, -1] = 1
        if self is others:
            for _, block in self.blocks():  # with its own transpose, which NumPy sees, for half the work
                products[:, :n] += block @ block.T
        else:
            for (_, block), (_, other) in zip(self.blocks(), others.blocks(), strict=True):
                products[:, :n] += (other @ block.T).T if len(self) <= FEW else block @ other.T
        return products


def _some_columns(layer: Normalize, columns: slice) -> Normalize:
    """Return a Normalize of these columns of flat samples, whose numbers a last axis of `features` repeats."""
    numbers = np.arange(columns.start, columns.stop) % layer.features
    some = Normalize(len(numbers), dtype=layer.dtype)
    some.mean.data, some.scale.data = layer.mean.data[numbers], layer.scale.data[numbers]
    return some


class Combination:
    """`C.T X + s A + r B`, an array that is computed when NumPy reads it.

    Arguments: `coefficients` is C, and `terms` are the pairs (s, A) and (r, B), as many as there are.
    """

    def __init__(
        self, samples: WideSamples, coefficients: Array, terms: Sequence[tuple[np.floating[Any], Array]] = ()
    ) -> None:
        self.samples, self._coefficients, self._terms = samples, coefficients, terms

    def reduced(self, samples: WideSamples, reduce: Callable[[Array], Array]) -> Combination:
        """Return the combination with rows of fewer numbers, each the mean of some; `samples` are the reduced ones."""
        return Combination(samples, self._coefficients, [(scale, reduce(array)) for scale, array in self._terms])

    def write_columns(self, columns: slice, block: Array, out: Array) -> None:
        """Write the numbers of these columns, of which `block` holds the samples, into `out`."""
        product = self._coefficients.T @ block
        for scale, array in self._terms:
            product += scale * array[:, columns]
        out[:, columns] = product

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        shape = self._coefficients.shape[1], self.samples.features
        out = np.empty(shape, self._coefficients.dtype)
        write_all([(self, out)])
        return out if dtype is None else out.astype(dtype)


def write_all(combinations: Sequence[tuple[Combination, Array]]) -> None:
    """Write combinations of the same samples, each into its array, in one pass over the samples."""
    if combinations:
        for columns, block in combinations[0][0].samples.blocks():
            for combination, out in combinations:
                combination.write_columns(columns, block, out)
