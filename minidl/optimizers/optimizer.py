"""Optimizer: what all optimizers share, which is everything but the formula."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minidl._overrides import promises
from minidl._typing import Array
from minidl._validation import positive_number
from minidl.ops import tuning
from minidl.ops.elementwise import row_blocks
from minidl.optimizers.clipping import clipped
from minidl.parameter import Parameter


class Optimizer:
    """The base of every optimizer: the parameters it moves, what it remembers of each, and the learning rate.

    A new optimizer defines `update(data, gradient, state)`, its formula for one parameter. What it must remember of a
    parameter it returns from `initial_state(data)` as named arrays, and finds again in `state`. Where the formula
    treats every entry by itself, `elementwise = True` beside `update` lets large parameters come in blocks that fit
    into the cache.

    Arguments: `parameters` are Parameters, as in `model.parameters()`, whose state is then saved by position
    ("0.velocity"), or pairs (name, Parameter), as in `model.named_parameters()`, whose state is saved by name
    ("0.weight.velocity"). `max_gradient_norm` scales the gradients of a step down together where their common norm
    is larger (see `clip_gradient_norm`); `parameter.grad` stays what backward wrote.

    Raises: ValueError for no parameters, one given twice, or a learning rate or norm that is not a finite number above
    0; TypeError for something that is not a Parameter. `step()` raises RuntimeError when a parameter has no gradient
    yet, and ValueError when its gradient has another shape.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter] | Iterable[tuple[str, Parameter]],
        learning_rate: float,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.names, self.parameters = self._named(parameters)
        self.learning_rate = learning_rate
        if max_gradient_norm is not None:
            max_gradient_norm = positive_number(max_gradient_norm, f"{type(self).__name__} max_gradient_norm")
        self.max_gradient_norm = max_gradient_norm
        self.steps = 0
        self.state = [self.initial_state(parameter.data) for parameter in self.parameters]
        self._in_blocks = promises(type(self), "elementwise", about="update")

    @property
    def learning_rate(self) -> float:
        """The length of a step for a gradient of 1; it may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = positive_number(value, f"{type(self).__name__} learning_rate")

    def step(self) -> None:
        """Call `update` for every parameter, with the gradient that the last backward pass wrote."""
        gradients = self._gradients()
        self.steps += 1
        for parameter, gradient, state in zip(self.parameters, gradients, self.state, strict=True):
            data = parameter.data
            if self._in_blocks and data.size > tuning.TUNING.update_block:
                for rows in row_blocks(data):
                    self.update(data[rows], gradient[rows], {name: array[rows] for name, array in state.items()})
            else:
                self.update(data, gradient, state)

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Move `data`, and the arrays of `state` with it, in place, and leave `gradient` as it is.

        `self.steps` counts the present step already.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update(data, gradient, state)")

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return what the optimizer must remember of a parameter, before the first step; nothing by default.

        For an `elementwise` update all arrays have the shape of `data`.
        """
        return {}

    def state_dict(self) -> dict[str, Array | float]:
        """Return the learning rate, the number of steps, and a copy of what is remembered of each parameter.

        >>> from minidl import SGD
        >>> SGD([("weight", Parameter(np.zeros(1)))], momentum=0.9).state_dict()
        {'learning_rate': 0.01, 'steps': 0, 'weight.velocity': array([0.])}
        """
        for parameter in self.parameters:
            parameter.data  # noqa: B018 - the dual form brings a weight and its velocity up to date when it is read
        arrays = {name: array.copy() for name, array in self.named_state()}
        return {"learning_rate": self.learning_rate, "steps": self.steps, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, of an optimizer of the same kind and parameters, or change nothing.

        Raises: ValueError that lists every missing, unexpected, mis-shaped and non-numeric entry at once.
        """
        own = dict(self.named_state())
        expected = {"learning_rate": (), "steps": ()} | {name: array.shape for name, array in own.items()}
        given = {name: np.asarray(value) for name, value in state.items()}
        problems = [f"missing {name} {shape}" for name, shape in expected.items() if name not in given]
        for name, array in given.items():
            if name not in expected:
                problems.append(f"unexpected {name} {array.shape}")
            elif array.shape != expected[name]:
                problems.append(f"{name}: expected shape {expected[name]}, received {array.shape}")
            elif array.dtype.kind not in "fiu":
                problems.append(f"{name}: expected real numbers, received dtype {array.dtype}")
            elif name == "learning_rate" and not 0 < array < np.inf:
                problems.append(f"{name}: expected a finite number above 0, received {array}")
            elif name == "steps" and not (array.dtype.kind in "iu" and array >= 0):
                problems.append(f"{name}: expected a whole number of at least 0, received {array}")
        if problems:
            raise ValueError(
                f"the state does not fit the {type(self).__name__}; nothing was loaded:\n  " + "\n  ".join(problems)
            )
        self.learning_rate = float(given["learning_rate"])
        self.steps = int(given["steps"])
        for name, array in own.items():
            array[...] = given[name]

    def _gradients(self) -> Sequence[Array]:
        """Return every parameter's gradient, clipped if that is asked for, before anything has moved."""
        gradients = []
        for name, parameter in zip(self.names, self.parameters, strict=True):
            if parameter.grad is None:
                place = f"{type(self).__name__} parameters[{name}]"
                raise RuntimeError(f"{place}: {parameter!r} has no gradient; call backward before step")
            if parameter.grad.shape != parameter.data.shape:
                place = f"{type(self).__name__} parameters[{name}]"
                raise ValueError(
                    f"{place}: expected a gradient of shape {parameter.shape}, received {parameter.grad.shape}"
                )
            gradients.append(parameter.grad)
        return gradients if self.max_gradient_norm is None else clipped(gradients, self.max_gradient_norm)[0]

    def named_state(self) -> Iterator[tuple[str, Array]]:
        """Yield what is remembered of each parameter with its name."""
        for name, arrays in zip(self.names, self.state, strict=True):
            for state_name, array in arrays.items():
                yield f"{name}.{state_name}", array

    def _named(
        self, parameters: Iterable[Parameter] | Iterable[tuple[str, Parameter]]
    ) -> tuple[list[str], list[Parameter]]:
        """Return names and parameters apart, once they are known to be sound."""
        where = f"{type(self).__name__} parameters"
        named: dict[str, Parameter] = {}
        for i, item in enumerate(parameters):
            name, parameter = item if isinstance(item, tuple) and len(item) == 2 else (str(i), item)
            if not isinstance(parameter, Parameter) or not isinstance(name, str):
                raise TypeError(
                    f"{where}[{i}]: expected a Parameter, as in model.parameters(), or a pair (name, Parameter), as in "
                    f"model.named_parameters(), received {item!r}"
                )
            if name in named or any(parameter is earlier for earlier in named.values()):
                raise ValueError(f"{where}[{name}]: {parameter!r} or its name is given twice")
            named[name] = parameter
        if not named:
            raise ValueError(f"{where}: expected at least one, received none")
        return list(named), list(named.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g})"
