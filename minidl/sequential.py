"""Sequential: layers in a row, and `mlp`, which builds the article's network from its list of layer sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from minidl._samples import as_samples
from minidl._typing import Array, Seed
from minidl._validation import LayerInputError, as_generator, check_finite, positive_int
from minidl.initializers import Initializer
from minidl.layers.activations import ReLU, Sigmoid
from minidl.layers.dense import Dense
from minidl.module import Module


class Sequential(Module):
    """A network of layers, each fed with the output of the one before it.

    Formula: `y = layer_n(... layer_1(layer_0(x)))`; backward goes through the layers in reverse (the chain rule).

    Indexing gives a layer, slicing a Sequential that shares its layers with this one. Layers are named by position:
    the weight of layer 2 is `"2.weight"`.

    Raises: TypeError for something that is not a Module; ValueError for a layer given twice, since a layer remembers
    one forward pass only. Errors of a layer's input name its position.

    >>> network = Sequential(Dense(2, 3, rng=0), ReLU(), Dense(3, 1, rng=1), Sigmoid())
    >>> network([[0.0, 1.0]]).shape
    (1, 1)
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential, argument {i}: expected a Module, received {layer!r}")
            if any(layer is earlier for earlier in layers[:i]):
                raise ValueError(f"Sequential, argument {i}: {layer!r} stands here twice; make a second layer")
        self.layers = list(layers)

    def forward(self, x: Array) -> Array:
        """Return the last layer's output."""
        return self._forward(x, range(len(self.layers)))

    def backward(self, grad_output: Array) -> Array:
        """Write all gradients and return the one of the network's input."""
        for layer in reversed(self.layers):
            grad_output = layer.backward(grad_output)
        return grad_output

    def backward_parameters(self, grad_output: Array) -> None:
        """Write all gradients, going back no further than the first layer that has parameters."""
        first = next((i for i, layer in enumerate(self.layers) if any(layer.named_parameters())), len(self.layers))
        for layer in self.layers[:first]:
            layer.forget()
        for layer in reversed(self.layers[first + 1 :]):
            grad_output = layer.backward(grad_output)
        for layer in self.layers[first : first + 1]:
            layer.backward_parameters(grad_output)

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the outputs for `x` in evaluation mode, then restore the mode of every layer.

        Arguments: `x` (n, ...) is any array-like; `batch_size` bounds how many samples are computed at once, and, of
        those outside memory (`numpy.memmap`, `LazyImages`), how many are read at once.

        Raises: ValueError for empty or not finite `x`, and for a `batch_size` below 1.

        >>> Sequential(Sigmoid()).predict([[0.0], [0.0], [0.0]], batch_size=2).tolist()
        [[0.5], [0.5], [0.5]]
        """
        x = as_samples(x)
        if len(x.shape) == 0 or len(x) == 0:
            raise ValueError(f"x: expected at least one sample, received shape {tuple(x.shape)}")
        size = len(x) if batch_size is None else positive_int(batch_size, "batch_size")
        outputs = []
        with self.mode(training=False):
            for start in range(0, len(x), size):
                part = np.asarray(x[start : start + size])
                check_finite(part, "x", range(start, start + size))
                outputs.append(self.forward(part))
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def summary(self, input_shape: Sequence[int] | None = None) -> None:
        """Print each layer with its output shape and its number of parameters, and their sum.

        Arguments: `input_shape`, of one sample, lets shapes before the first Dense be told too.

        >>> Sequential(Dense(2, 3), ReLU(), Dense(3, 1)).summary()
        layer               output shape    parameters
        0  Dense(2 -> 3)    (batch, 3)               9
        1  ReLU()           (batch, 3)               0
        2  Dense(3 -> 1)    (batch, 1)               4
        total                                       13
        """
        x = None if input_shape is None else np.zeros((1, *input_shape), np.float32)
        rows = []
        for i, layer in enumerate(self.layers):
            if x is None and isinstance(layer, Dense):
                x = np.zeros((1, layer.in_features), np.float32)
            if x is not None:
                with self.mode(training=False):
                    x = self._forward(x, range(i, i + 1))
            shape = "(batch, ...)" if x is None else f"({', '.join(['batch', *map(str, x.shape[1:])])})"
            rows.append((f"{i}  {layer!r}", shape, sum(p.data.size for p in layer.parameters())))
        name_width = max([len("layer"), *(len(name) for name, _, _ in rows)]) + 4
        shape_width = max([len("output shape"), *(len(shape) for _, shape, _ in rows)]) + 4
        print(f"{'layer':<{name_width}}{'output shape':<{shape_width}}parameters")
        for name, shape, count in rows:
            print(f"{name:<{name_width}}{shape:<{shape_width}}{count:>10,}")
        print(f"{'total':<{name_width + shape_width}}{sum(count for _, _, count in rows):>10,}")

    def _forward(self, x: Array, positions: range) -> Array:
        i = 0
        try:
            for i in positions:
                x = self.layers[i].forward(x)
        except LayerInputError as error:
            self.forget()
            raise error.inside(str(i)) from None
        return x

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the layers, named by position, and whatever other modules a subclass has."""
        for name, child in super().named_children():
            yield name.removeprefix("layers."), child

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


def mlp(
    layer_dims: Sequence[int],
    *,
    weight_init: str | Initializer = "scaled_normal",
    rng: Seed = None,
    dtype: npt.DTypeLike = np.float32,
) -> Sequential:
    """Build the article's network from its list of layer sizes: Dense, ReLU, ..., Dense, Sigmoid.

    Arguments: `layer_dims` counts the inputs, the units of each hidden layer and the outputs; the others are those
    of `Dense`, one generator serving all layers in order.

    Raises: ValueError for fewer than two sizes or a size below 1.

    >>> mlp([49152, 20, 7, 5, 1])[-2:]
    Sequential(Dense(5 -> 1), Sigmoid())
    """
    dims = list(layer_dims)
    if len(dims) < 2:
        raise ValueError(f"layer_dims: expected at least two sizes, inputs and outputs, received {dims}")
    for i, size in enumerate(dims):
        positive_int(size, f"layer_dims[{i}]")
    rng = as_generator(rng)
    layers: list[Module] = []
    for n_in, n_out in pairwise(dims):
        layers += [Dense(n_in, n_out, weight_init=weight_init, rng=rng, dtype=dtype), ReLU()]
    layers[-1] = Sigmoid()
    return Sequential(*layers)
