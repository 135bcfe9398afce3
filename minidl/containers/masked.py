"""Masked: layers in a row over sequences of different lengths, whose padding they leave out.

How padding works, in the whole of minidl:

- Sequences of different lengths stand in one array (batch, time) of numbers or (batch, time, features) of features,
  the shorter ones filled up with a number that means nothing, such as 0: the padding number.
- One container, `Masked(*layers, padding=0)`, knows that number. At each forward pass it compares its input with it
  and keeps the result, a mask (batch, time) that is True for real steps, in a context variable for as long as its
  layers compute. So the mask belongs to a call, as the mode does: no array carries it, no layer is told it, threads do
  not see each other's, and the contract of a layer remains `forward(x)` and `backward(grad_output)`.
- The layers where one step has a part in another step's output ask for it, by `mask_of(self, x)`, and save it for
  their backward pass: `SelfAttention` gives padding no attention, `LSTM` and `GRU` carry their state past it and
  return zeros there, `Conv1D` takes it for zeros, `GlobalAveragePool1D` and `GlobalMaxPool1D` leave it out, as the
  statistics of `BatchNorm` do, and `MaxPool1D` and `AveragePool1D`, whose windows divide the time, refuse it. `Dense`,
  `LayerNorm`, `RMSNorm`, `Embedding`, activations and `Dropout` treat each step by itself and need no mask.
- A layer that makes another number of steps, or all of them into one, ends the mask: `Conv1D` with a stride refuses
  padding, and `Flatten` would take it in.
- What a network returns at a padded step means nothing. A loss leaves such steps out by their target:
  `SoftmaxCrossEntropy(ignore_index=...)`.
- A `Masked` inside another leaves out the padding of both.
- So a sequence gives the same result, whatever number of padded steps stands behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._calls import current_mask, current_stream
from minidl._context import Changed
from minidl._typing import Array
from minidl._validation import finite_number
from minidl.containers.sequential import Sequential
from minidl.errors import LayerInputError
from minidl.module import Module


class Masked(Sequential):
    """Layers in a row that leave out the padding of sequences.

    Formula: `y = layer_n(... layer_0(x))`, as of Sequential, where layers that combine time steps combine real ones
    alone.

    Shapes: `x` (batch, time) of token numbers, where `x == padding` is padding, or (batch, time, features), where a
    step is padding if all its features are `padding`.

    Arguments: `padding`, the number that means nothing.

    Raises: ValueError for input of another rank, and for a sequence that is padding alone.

    >>> from minidl import Embedding, GlobalAveragePool1D
    >>> network = Masked(Embedding(10, 2, rng=0), GlobalAveragePool1D(), padding=0)
    >>> one, other = network(np.array([[5, 7, 0, 0]])), network(np.array([[5, 7]]))
    >>> bool(np.allclose(one, other))
    True
    """

    takes_tuples = False  # the mask is that of one input

    def __init__(self, *layers: Module, padding: float = 0) -> None:
        super().__init__(*layers)
        self.padding = finite_number(padding, "Masked padding")

    def forward(self, x: Array) -> Array:
        """Return the last layer's output, computed with the mask of `x`."""
        if current_stream.get() is not None:
            raise LayerInputError(self, "padding is for batches of whole sequences, not for steps inside streaming()")
        mask, outer = self._mask(x), current_mask.get()
        if outer is not None and outer.shape == mask.shape:
            mask = mask & outer
        with Changed((current_mask, None if mask.all() else mask)):
            return super().forward(x)

    def _mask(self, x: Array) -> Array:
        if x.ndim not in (2, 3):
            raise LayerInputError(self, f"expected (batch, time) or (batch, time, features), received {x.shape}")
        if x.size == 0:
            raise LayerInputError(self, f"expected at least one sequence of one step, received {x.shape}")
        is_real = np.not_equal(x, self.padding).reshape(*x.shape[:2], -1)
        mask: Array = np.logical_or.reduce(is_real, axis=2)
        empty = ~mask.any(axis=1)
        if empty.any():
            raise LayerInputError(
                self,
                f"expected sequences of at least one step that is not the padding {self.padding:g}, received none in "
                f"row {int(empty.argmax())} of {x.shape}",
            )
        return mask

    def __getitem__(self, index: int | slice) -> Any:
        """Return a layer, or the first layers in a Masked; layers further on are given no padding number."""
        layers = super().__getitem__(index)
        is_beginning = isinstance(index, slice) and index.start in (None, 0) and index.step in (None, 1)
        return Masked(*layers, padding=self.padding) if is_beginning else layers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([*map(repr, self.layers), f'padding={self.padding:g}'])})"
