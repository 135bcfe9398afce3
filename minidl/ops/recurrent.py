"""What the time loops of recurrent layers share: their order, their products with inputs, and those of the gradients.

Work arrays are time-major with the batch last, (time, rows, batch): the numbers of one gate at one step lie in one run,
over which NumPy makes a single loop, and a product with a weight needs no transpose. A bias is the weight of an input
that is always 1, the last column of its weight, and comes with the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.matmul import dense_forward
from minidl.ops.matrix_vector import matrix_vector


@dataclass(frozen=True)
class Steps:
    """The steps of sequences in the order in which a recurrent layer takes them.

    The states before and after step t are numbers t and t + 1 of a row of states, backwards in time t + 1 and t.

    Attributes: `padding` (time, batch) is True where a sequence skips a step, its state carried past it.

    >>> [(t, before, after) for t, before, after, _ in Steps(2, backwards=True)]
    [(1, 2, 1), (0, 1, 0)]
    """

    time: int
    backwards: bool = False
    padding: Array | None = None

    @property
    def first(self) -> int:
        """The number of the state before all steps."""
        return self.time if self.backwards else 0

    @property
    def last(self) -> int:
        """The number of the state after all steps."""
        return self.time - self.first

    def before(self, states: Array) -> Array:
        """Return the states before each step, in the order of time."""
        return states[1:] if self.backwards else states[:-1]

    def after(self, states: Array) -> Array:
        """Return the states after each step, in the order of time."""
        return states[:-1] if self.backwards else states[1:]

    def __iter__(self) -> Iterator[tuple[int, int, int, Array | None]]:
        return self._taken(range(self.time)[:: -1 if self.backwards else 1])

    def __reversed__(self) -> Iterator[tuple[int, int, int, Array | None]]:
        return self._taken(range(self.time)[:: 1 if self.backwards else -1])

    def _taken(self, order: range) -> Iterator[tuple[int, int, int, Array | None]]:
        """Yield each step, the states before and after it, and which sequences skip it, None where none does."""
        skipping = set() if self.padding is None else set(np.flatnonzero(self.padding.any(axis=1)))
        for t in order:
            skipped = self.padding[t] if self.padding is not None and t in skipping else None
            yield t, t + self.backwards, t + (not self.backwards), skipped


class Pass(NamedTuple):
    """What one pass over sequences leaves.

    Attributes: `carried` are what one step hands to the next, with one more entry than there are steps, numbered as in
    `Steps`: the hidden states and a 1, (time + 1, units + 1, batch), and for an LSTM the cells (time + 1, units,
    batch). `gates` (time, rows, batch) are the values of the gates after sigmoid and tanh.
    """

    carried: tuple[Array, ...]
    gates: Array


def inputs_of(x: Array) -> Array:
    """Return sequences `x` (batch, time, features) as (time, batch, features + 1), the last feature 1.

    >>> inputs_of(np.array([[[5.0], [6.0]]])).tolist()
    [[[5.0, 1.0]], [[6.0, 1.0]]]
    """
    batch, time, features = x.shape
    inputs = empty((time, batch, features + 1), x.dtype)
    inputs[..., :-1] = x.transpose(1, 0, 2)
    inputs[..., -1] = 1
    return inputs


def new_states(first: Array, steps: Steps) -> Array:
    """Return states (time + 1, units + 1, batch) for hidden ones and their 1, those before all steps being `first`.

    >>> new_states(np.array([[5.0]]), Steps(1))[0].tolist()
    [[5.0], [1.0]]
    """
    units, batch = first.shape
    states = empty((steps.time + 1, units + 1, batch), first.dtype)
    states[:, -1] = 1
    states[steps.first, :-1] = first
    return states


def with_bias(weight: Array, bias: Array) -> Array:
    """Return a weight (rows, columns) with its bias (rows,) as one more column.

    >>> with_bias(np.ones((1, 2)), np.zeros(1)).tolist()
    [[1.0, 1.0, 0.0]]
    """
    return np.concatenate([weight, bias[:, None]], axis=1)


def input_products(inputs: Array, weight: Array, out: Array) -> None:
    """Write `weight @ x_t` of every step into `out` (time, rows, batch), for `inputs` (time, batch, columns)."""
    if inputs.shape[1] == 1:  # one product for all steps
        out[..., 0] = dense_forward(inputs[:, 0], weight, None)
    else:
        np.matmul(weight, inputs.transpose(0, 2, 1), out=out)


def state_product(batch: int) -> Callable[..., object]:
    """Return the function that writes `weight @ h` of a step's states `h` (columns, batch) into its argument `out`.

    >>> state_product(1)(np.ones((1, 2)), np.ones((2, 1)), out=(out := np.empty((1, 1))))
    >>> out.item()
    2.0
    """
    return matrix_vector if batch == 1 else np.matmul


def by_rows(array: Array) -> Array:
    """Return an array (time, rows, batch) as the matrix (rows, time * batch), for one product over all steps.

    >>> by_rows(np.arange(4.0).reshape(2, 2, 1)).tolist()
    [[0.0, 2.0], [1.0, 3.0]]
    """
    time, rows, batch = array.shape
    matrix = empty((rows, time, batch), array.dtype)
    matrix[...] = array.transpose(1, 0, 2)
    return matrix.reshape(rows, -1)


def input_grad(rows: Array, weight: Array, batch: int) -> Array:
    """Return `weight.T @ dz` of every step as (batch, time, columns), for `rows` of dz (rows, time * batch).

    >>> input_grad(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[2.0]]), 2).tolist()
    [[[2.0], [6.0]], [[4.0], [8.0]]]
    """
    columns = weight.shape[1]
    product = empty((rows.shape[1], columns), rows.dtype)
    np.matmul(rows.T, weight, out=product)
    return product.reshape(-1, batch, columns).transpose(1, 0, 2)


def gate_rows(grad_gates: Array, count: int) -> tuple[Array, Array | None]:
    """Return the first `count` rows of gradients (time, rows, batch) as a matrix, and the others as they are, if any.

    >>> gate_rows(np.ones((2, 3, 4)), 3)[0].shape
    (3, 8)
    """
    beyond = grad_gates[:, count:] if grad_gates.shape[1] > count else None
    return by_rows(grad_gates[:, :count]), beyond


def recurrent_weight_grad(rows: Array, beyond: Array | None, states: Array) -> Array:
    """Return the sum over all steps and samples of `dz h.T`, for `states` (time, columns, batch) before each step.

    Arguments: `rows` are those of dz of the input's weight; those of `beyond` (time, rows, batch) take the place of
    the last ones, since a GRU's candidate reads the states by a product of its own.
    """
    if beyond is not None:
        rows[-beyond.shape[1] :] = by_rows(beyond)
    product: Array = rows @ by_rows(states).T
    return product


def time_major(y: Array, padding: Array | None, dtype: np.dtype[Any]) -> Array:
    """Return `y` (batch, time, units) as (time, units, batch), 0 where `padding` (time, batch) is True.

    >>> time_major(np.array([[[1.0, 2.0]]]), None, np.dtype(np.float64)).tolist()
    [[[1.0], [2.0]]]
    """
    batch, time, units = y.shape
    result = empty((time, units, batch), dtype)
    result[...] = y.transpose(1, 2, 0)
    if padding is not None:
        np.copyto(result, 0, where=padding[:, None])
    return result
