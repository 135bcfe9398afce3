"""Wide samples, read some of them at a time, and combinations of them, computed when they are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._typing import Array
from minidl._validation import cast
from minidl.layers import Flatten, Normalize
from minidl.module import Module
from minidl.ops import tuning
from minidl.training.checked_slices import CheckedSlices
from minidl.training.rewrites.sample_parts import Part, Source, parts_of, pieces

FEW = 64  # samples up to which the transposed product is faster: 8 by 1,321 photographs take 80 ms, not 100
ROWS = 64  # samples that are made floating numbers at a time to be reduced


class WideSamples:
    """The samples as the first Dense sees them, some of them at a time: floating numbers made of pixels."""

    def __init__(self, x: Source, constant: Sequence[Module], dtype: np.dtype[Any]) -> None:
        self._x = x if isinstance(x, CheckedSlices) else x.reshape(len(x), math.prod(x.shape[1:]))
        self._name = x.name if isinstance(x, CheckedSlices) else "x"
        self._every = slice(0, math.prod(x.shape[1:]))
        self._elementwise = [layer for layer in constant if type(layer) is not Flatten]
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self._x)

    @property
    def features(self) -> int:
        """How many numbers a sample has."""
        return int(self._every.stop)

    def others(self, x: Array) -> WideSamples:
        """Return further samples, which the same layers are before."""
        return WideSamples(x, self._elementwise, self.dtype)

    def reduced(self, reduce: Callable[[Array], Array]) -> WideSamples:
        """Return the samples with rows of fewer numbers, each the mean of some, such as pixels next to each other."""
        x = self._x
        if isinstance(x, CheckedSlices) or any(isinstance(layer, Normalize) for layer in self._elementwise):
            starts = range(0, len(x), ROWS)  # the features of a Normalize may differ
            rows = (x[start : start + ROWS].reshape(-1, self.features) for start in starts)
            parts = [reduce(self._numbers(some, self._every)) for some in rows]
            return WideSamples(np.concatenate(parts), [], self.dtype)
        return WideSamples(self._numbers(reduce(x), self._every), [], self.dtype)

    def blocks(self) -> Iterator[tuple[slice, slice, Array]]:
        """Yield slices of rows and of columns, and the samples' numbers in them; those in memory have all rows."""
        for part in parts_of(self._x, self._every):
            for columns in pieces(part.columns, tuning.TUNING.gram_features):
                yield part.rows, columns, self._numbers(part.some(columns), columns)

    def _numbers(self, x: Array, columns: slice) -> Array:
        """Return the floating numbers of these columns, of which `x` has the pixels.

        Raises: ValueError for numbers outside memory that are too large for `dtype`.
        """
        with calling(training=False):
            for layer in self._elementwise:
                x = (_some_columns(layer, columns) if isinstance(layer, Normalize) else layer).forward(x)
        return cast(x, self.dtype, self._name)

    def products_with(self, others: WideSamples, extra_columns: int) -> Array:
        """Return the inner products (len(self), len(others)), and beside them so many columns of 0, the last one 1."""
        n = len(others)
        products = np.zeros((len(self), n + extra_columns), self.dtype)
        products[:, -1] = 1
        if self is others:
            self._add_own_products(products[:, :n])
        elif isinstance(others._x, CheckedSlices) and not others._x.gives_columns:
            others._add_products(self, products[:, :n].T)  # in one pass over rows of which none has a few columns alone
        else:
            self._add_products(others, products[:, :n])
        return products

    def _add_own_products(self, out: Array) -> None:
        """Add the products of all samples with each other, each pair of parts read once."""
        for part in parts_of(self._x, self._every):
            for columns in pieces(part.columns, tuning.TUNING.gram_features):
                block = self._numbers(part.some(columns), columns)
                out[part.rows, part.rows] += block @ block.T  # with its transpose, which NumPy sees, for half the work
            for later in parts_of(self._x, part.columns, first=part.rows.stop):
                products = out[part.rows, later.rows]
                self._add_products_of(part, later, self, products)
                out[later.rows, part.rows] = products.T

    def _add_products(self, others: WideSamples, out: Array) -> None:
        """Add the products of all samples with others."""
        for part in parts_of(self._x, self._every):
            for other in parts_of(others._x, part.columns):
                self._add_products_of(part, other, others, out[part.rows, other.rows])

    def _add_products_of(self, part: Part, other: Part, others: WideSamples, out: Array) -> None:
        """Add the products of the rows of two parts, as far as the columns of the other go."""
        for columns in pieces(other.columns, tuning.TUNING.gram_features):
            block = self._numbers(part.some(columns), columns)
            of_other = others._numbers(other.some(columns), columns)
            out += (of_other @ block.T).T if len(block) <= FEW else block @ of_other.T

    def write_products_with(self, matrices: Sequence[Array], out: Array) -> None:
        """Write the products of all samples with the rows of matrices, side by side, and 0 in the columns left over."""
        out[...] = 0
        for rows, columns, block in self.blocks():
            start = 0
            for matrix in matrices:
                out[rows, start : start + len(matrix)] += block @ matrix[:, columns].T
                start += len(matrix)


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

    def write_block(self, rows: slice, columns: slice, block: Array, out: Array) -> None:
        """Write the numbers of these columns into `out`, or, beyond the first rows of samples, add these rows' share.

        Arguments: `block` holds the samples.
        """
        product = self._coefficients[rows].T @ block
        if rows.start > 0:
            out[:, columns] += product
            return
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
        for rows, columns, block in combinations[0][0].samples.blocks():
            for combination, out in combinations:
                combination.write_block(rows, columns, block, out)
