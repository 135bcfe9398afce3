"""Buffer and Parameter: the arrays that a module's state consists of, and freezing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._typing import Array
from minidl._validation import float_dtype

if TYPE_CHECKING:
    from typing_extensions import Self


class Freezable:
    """What holds buffers and parameters, and can have all of them frozen at once."""

    def named_state(self) -> Iterator[tuple[str, Buffer]]:
        """Yield the buffers and parameters with their names."""
        raise NotImplementedError(f"{type(self).__name__} does not define named_state()")

    def freeze(self) -> Self:
        """Let training leave all parameters and buffers, here and in all sub-modules, as they are; return self.

        - No optimizer moves a frozen parameter, or what it remembers of it, and none counts its gradient in a norm.
        - `BatchNorm` normalizes by its running statistics in training, too, and does not move them: backward is that
          of a fixed affine map.
        - `Dropout` goes on dropping, as in PyTorch and Keras. What is no training changes frozen arrays as ever:
          `load_state_dict`, `adapt` of a `Normalize`, and what a user writes.
        - `fit` goes back no further than to the first layer that is not wholly frozen. So the gradient of a frozen
          parameter may be missing, or that of an earlier batch.

        `buffer.freeze()` and `parameter.freeze()` freeze one array. Copies, pickles and checkpoints keep what is
        frozen; model files hold a network, not how to train it: a loaded one is not frozen.

        Raises: ValueError for an array that two modules share.

        >>> from minidl import mlp
        >>> model = mlp([2, 3, 1], rng=0)
        >>> model[0].freeze()
        Dense(2 -> 3)
        >>> [name for name, parameter in model.named_parameters() if not parameter.frozen]
        ['2.weight', '2.bias']
        >>> model.summary()
        layer                       output shape    parameters
        0  Dense(2 -> 3), frozen    (batch, 3)               9
        1  ReLU()                   (batch, 3)               0
        2  Dense(3 -> 1)            (batch, 1)               4
        3  Sigmoid()                (batch, 1)               0
        total                                               13
        trainable                                            4
        frozen                                               9
        """
        return self._set_frozen(True)

    def unfreeze(self) -> Self:
        """Let training move all parameters and buffers, here and in all sub-modules, again; return self."""
        return self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> Self:
        for buffer in [buffer for _, buffer in self.named_state()]:
            buffer.frozen = frozen
        return self


class Buffer(Freezable):
    """An array that belongs to a module's state but has no gradient, such as a running mean.

    `data` is the live array, a copy of what the constructor is given; `frozen` says that training leaves it as it is.

    >>> Buffer(np.zeros(7, np.float32))
    Buffer(shape=(7,), dtype=float32)
    """

    data: Array
    frozen: bool

    def __init__(self, data: Any) -> None:
        self.data = np.array(data)
        self.frozen = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the data."""
        return self.data.shape

    def named_state(self) -> Iterator[tuple[str, Buffer]]:
        """Yield this array alone, named `""`."""
        yield "", self

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.data.dtype})"


class Parameter(Buffer):
    """An array that training changes, and beside it the gradient of the loss with respect to it.

    `data` is the live array, a copy of what the constructor is given, float32 or float64; `grad` is None until a
    backward pass writes it, then of the same shape.

    Raises: ValueError for data of another dtype.

    >>> Parameter(np.zeros((20, 7))).shape
    (20, 7)
    """

    grad: Array | None

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        float_dtype(self.data.dtype)
        self.grad = None
