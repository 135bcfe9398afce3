"""Optimizer: what all optimizers share, which is everything but the formula."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl._overrides import promises
from minidl._state import fitted
from minidl._typing import Array
from minidl._validation import largest_of, non_negative_number, positive_number, shown
from minidl.errors import NonFiniteError
from minidl.ops import tuning
from minidl.ops.elementwise import row_blocks
from minidl.optimizers.clipping import clipped
from minidl.optimizers.groups import UNGROUPED, named
from minidl.parameter import Parameter


class Optimizer:
    """The base of every optimizer: the parameters it moves, what it remembers of each, and the learning rate.

    A new optimizer defines `update(data, gradient, state)`, its formula for one parameter. What it must remember of a
    parameter it returns from `initial_state(data)` as named arrays, and finds again in `state`. Where the formula
    treats every entry by itself, `elementwise = True` beside `update` lets large parameters come in blocks that fit
    into the cache.

    Arguments: `parameters` are Parameters, as in `model.parameters()`, whose state is then saved by position
    ("0.velocity"), or pairs (name, Parameter), as in `model.named_parameters()`, whose state is saved by name
    ("0.weight.velocity"). Among them, or in their place, may be groups, dictionaries of "parameters", the same again,
    and what is to hold for them: "learning_rate_factor", a factor of the learning rate, and "weight_decay" in place of
    the optimizer's (see `decay_groups`). `max_gradient_norm` scales the gradients of a step down together where their
    common norm is larger (see `clip_gradient_norm`); `parameter.grad` stays what backward wrote.

    Raises: ValueError for no parameters, one given twice, a learning rate that is not a finite number of at least 0,
    or a norm that is not one above 0; TypeError for something that is not a Parameter. `step()` raises RuntimeError
    when a parameter has no gradient yet, ValueError when its gradient has another shape, and NonFiniteError, with some
    parameters moved, when a number becomes too large for their dtype.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | tuple[str, Parameter] | Mapping[str, object]],
        learning_rate: float,
        *,
        max_gradient_norm: float | None = None,
    ) -> None:
        self.names, self.parameters, self.groups = named(parameters, type(self))
        self.learning_rate = learning_rate
        if max_gradient_norm is not None:
            max_gradient_norm = positive_number(max_gradient_norm, f"{type(self).__name__} max_gradient_norm")
        self.max_gradient_norm = max_gradient_norm
        self.steps, self.frozen_steps = 0, [0] * len(self.parameters)
        self.state = [self.initial_state(parameter.data) for parameter in self.parameters]
        self._in_blocks = promises(type(self), "elementwise", about="update")

    @property
    def learning_rate(self) -> float:
        """The length of a step for a gradient of 1; it may be set between steps."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = non_negative_number(value, f"{type(self).__name__} learning_rate")

    def step(self) -> None:
        """Call `update` for every parameter that is not frozen, with the gradient that the last backward pass wrote."""
        with np.errstate(over="raise", under="ignore"):
            gradients = self._gradients()
            self.steps += 1
            for i, gradient in gradients.items():
                if self.groups[i] == UNGROUPED and not self.frozen_steps[i]:
                    self._update_parameter(i, gradient)
                else:
                    with self._settings_of(i):
                        self._update_parameter(i, gradient)
            if len(gradients) < len(self.parameters):
                for i in set(range(len(self.parameters))) - gradients.keys():
                    self.frozen_steps[i] += 1

    @contextmanager
    def _settings_of(self, i: int) -> Iterator[None]:
        """Let `update` find a parameter's own learning rate, weight decay and number of steps."""
        group, steps = self.groups[i], self.steps
        rate, decay = self._learning_rate, getattr(self, "weight_decay", 0.0)
        try:
            self.steps = steps - self.frozen_steps[i]
            self._learning_rate = rate * group.learning_rate_factor
            if group.weight_decay is not None:
                self.weight_decay = group.weight_decay
            yield
        finally:
            self.steps = steps
            self._learning_rate = rate
            if group.weight_decay is not None:
                self.weight_decay = decay

    def _update_parameter(self, i: int, gradient: Array) -> None:
        parameter, state = self.parameters[i], self.state[i]
        try:
            if self._in_blocks and parameter.data.size > tuning.TUNING.update_block:
                self._update_blocks(parameter.data, gradient, state)
            else:
                self.update(parameter.data, gradient, state)
        except FloatingPointError as error:
            raise NonFiniteError(
                f"{self._place(i)}: a gradient of up to {largest_of(gradient):g} "
                f"makes numbers too large for {parameter.data.dtype}: {error}"
            ) from error

    def _update_blocks(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        for rows in row_blocks(data):
            self.update(data[rows], gradient[rows], {name: array[rows] for name, array in state.items()})

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        """Move `data`, and the arrays of `state` with it, in place, and leave `gradient` as it is.

        `self.steps` counts the present step already, but none in which the parameter was frozen.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update(data, gradient, state)")

    def initial_state(self, data: Array) -> dict[str, Array]:
        """Return what the optimizer must remember of a parameter, before the first step; nothing by default.

        For an `elementwise` update all arrays have the shape of `data`.
        """
        return {}

    def state_dict(self) -> dict[str, Array | float]:
        """Return the learning rate, the numbers of steps, and a copy of what is remembered of each parameter.

        >>> from minidl import SGD
        >>> SGD([("weight", Parameter(np.zeros(1)))], momentum=0.9).state_dict()
        {'learning_rate': 0.01, 'steps': 0, 'weight.velocity': array([0.])}
        """
        for parameter in self.parameters:
            parameter.data  # noqa: B018 - the dual form brings a weight and its velocity up to date when it is read
        arrays = {name: array.copy() for name, array in self.named_state()}
        return {"learning_rate": self.learning_rate, **self.counts(), **arrays}

    def counts(self) -> dict[str, Any]:
        """Return the number of steps, and, where there are some, of those in which each parameter was frozen."""
        frozen = {"frozen_steps": np.array(self.frozen_steps)} if any(self.frozen_steps) else {}
        return {"steps": self.steps, **frozen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, of an optimizer of the same kind and parameters, or change nothing.

        Raises: TypeError for a state that is no mapping; ValueError that lists every entry that does not fit, at once.
        """
        own = dict(self.named_state())
        counts = {"steps": np.array(0), "frozen_steps": np.array([0] * len(self.parameters))}
        state = {"frozen_steps": counts["frozen_steps"], **state} if isinstance(state, Mapping) else state
        given, problems = fitted(state, {"learning_rate": np.array(0.0), **counts, **own})
        if "learning_rate" in given and not 0 <= given["learning_rate"] < np.inf:
            problems.append(f"learning_rate: expected a finite number of at least 0, received {given['learning_rate']}")
        if "steps" in given and not (np.asarray(state["steps"]).dtype.kind in "iu" and given["steps"] >= 0):
            problems.append(f"steps: expected a whole number of at least 0, received {shown(state['steps'])}")
        frozen = given.get("frozen_steps", counts["frozen_steps"])
        if np.any(frozen < 0) or np.any(frozen > given.get("steps", 0)):
            problems.append(f"frozen_steps: expected numbers from 0 to steps, received {shown(state['frozen_steps'])}")
        if problems:
            raise ValueError(
                f"the state does not fit the {type(self).__name__}; nothing was loaded:\n  " + "\n  ".join(problems)
            )
        self.learning_rate = float(given["learning_rate"])
        self.steps = int(given["steps"])
        self.frozen_steps[:] = frozen.tolist()
        for name, array in own.items():
            array[...] = given[name]

    def _gradients(self) -> dict[int, Array]:
        """Return the gradients of parameters that are not frozen by their places, clipped if that is asked for."""
        gradients: dict[int, Array] = {}
        for i, parameter in enumerate(self.parameters):
            if parameter.frozen:
                continue
            gradient = parameter.grad
            if gradient is None:
                raise RuntimeError(f"{self._place(i)}: {parameter!r} has no gradient; call backward before step")
            received = getattr(gradient, "shape", None)
            if received != parameter.data.shape:
                raise ValueError(
                    f"{self._place(i)}: expected a gradient of shape {parameter.shape}, received "
                    f"{shown(gradient) if received is None else received}"
                )
            gradients[i] = gradient
        if self.max_gradient_norm is None:
            return gradients
        return dict(zip(gradients, clipped(list(gradients.values()), self.max_gradient_norm)[0], strict=True))

    def _place(self, i: int) -> str:
        return f"{type(self).__name__} parameters[{self.names[i]}]"

    def hyperparameters(self) -> dict[str, Any]:
        """Return the settings besides the learning rate: groups and the arguments that are attributes by name."""
        names = [
            name for name in inspect.signature(type(self)).parameters if name not in ("parameters", "learning_rate")
        ]
        settings = {name: getattr(self, name) for name in names if hasattr(self, name)}
        grouped = {name: list(group) for name, group in zip(self.names, self.groups, strict=True) if group != UNGROUPED}
        settings |= {"groups": grouped} if grouped else {}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}

    def named_state(self) -> Iterator[tuple[str, Array]]:
        """Yield what is remembered of each parameter with its name."""
        for name, arrays in zip(self.names, self.state, strict=True):
            for state_name, array in arrays.items():
                yield f"{name}.{state_name}", array

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g})"
