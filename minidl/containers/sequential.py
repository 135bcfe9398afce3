"""Sequential: layers in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, overload

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.containers._checks import distinct_modules
from minidl.containers.to_parameters import row_to_parameters
from minidl.module import Module


class Sequential(Module):
    """A network of layers, each fed with the output of the one before it.

    Formula: `y = layer_n(... layer_1(layer_0(x)))`; backward goes through the layers in reverse (the chain rule).

    Indexing gives a layer, slicing a Sequential that shares its layers with this one. Layers are named by position:
    the weight of layer 2 is `"2.weight"`.

    Raises: TypeError for something that is not a Module; ValueError for a layer given twice, since a layer remembers
    one forward pass only. Errors of a layer's input name its path.

    >>> from minidl import Dense, ReLU, Sigmoid
    >>> network = Sequential(Dense(2, 3, rng=0), ReLU(), Dense(3, 1, rng=1), Sigmoid())
    >>> network([[0.0, 1.0]]).shape
    (1, 1)
    >>> network.predict([[0.0, 1.0], [1.0, 0.0]], batch_size=1).shape
    (2, 1)
    >>> network.summary()
    layer               output shape    parameters
    0  Dense(2 -> 3)    (batch, 3)               9
    1  ReLU()           (batch, 3)               0
    2  Dense(3 -> 1)    (batch, 1)               4
    3  Sigmoid()        (batch, 1)               0
    total                                       13
    """

    positional = "layers"

    def __init__(self, *layers: Module) -> None:
        self.layers = distinct_modules(type(self).__name__, layers)

    @property
    def takes_tuples(self) -> bool:
        """Whether there is a first layer, which may take a tuple of inputs."""
        return bool(self.layers)

    def forward(self, x: Array) -> Array:
        """Return the last layer's output."""
        for layer in self.layers:
            x = layer(x)
        return x

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write all gradients and return the one of the network's input."""
        for layer in reversed(self.layers):
            grad_output = layer.backward(grad_output)
        return grad_output

    def to_parameters(self) -> Callable[[Array], Any]:
        """Return a backward pass that writes the gradients of parameters alone, as nothing needs the input's."""
        return row_to_parameters(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Any:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"
