"""Recurrent: what LSTM and GRU have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from minidl._calls import current_stream
from minidl._typing import Array, DTypeLike, Seed
from minidl._validation import as_generator, flag, float_dtype, size
from minidl.initializers import Initializer, initial_weight
from minidl.layers._checks import check_grad, sequences
from minidl.layers._masks import mask_of, refuse_stream, stream_of
from minidl.module import Module
from minidl.ops import recurrent
from minidl.ops.buffers import empty
from minidl.ops.recurrent import Pass, Steps
from minidl.parameter import Parameter


class Recurrent(Module):
    """A layer with a state that each step of a sequence changes: arguments, directions, padding and streaming.

    A subclass has its two time loops, `_run` and `_run_back`, and says how many gates and states there are.
    """

    gate_count: ClassVar[int]
    state_count: ClassVar[int]

    def __init__(
        self,
        in_features: int,
        units: int,
        *,
        return_sequence: bool = True,
        bidirectional: bool = False,
        weight_init: str | Initializer = "scaled_normal",
        recurrent_init: str | Initializer = "orthogonal",
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        name = type(self).__name__
        self.in_features, self.units = size(in_features, f"{name} in_features"), size(units, f"{name} units")
        self.return_sequence = flag(return_sequence, f"{name} return_sequence")
        self.bidirectional = flag(bidirectional, f"{name} bidirectional")
        dtype, rng = float_dtype(dtype, f"{name} dtype"), as_generator(rng)

        def first(initializer: str | Initializer, columns: int, argument: str) -> Parameter:
            shape = self.gate_count * self.units, columns
            return Parameter(initial_weight(initializer, shape, rng, dtype, argument))

        for direction in self._directions():
            setattr(self, f"weight_ih_l0{direction}", first(weight_init, self.in_features, "weight_init"))
            setattr(self, f"weight_hh_l0{direction}", first(recurrent_init, self.units, "recurrent_init"))
            setattr(self, f"bias_ih_l0{direction}", Parameter(self._first_bias(dtype)))
            setattr(self, f"bias_hh_l0{direction}", Parameter(np.zeros(self.gate_count * self.units, dtype)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self._parameters("")[0].data.dtype

    def forward(self, x: Array) -> Array:
        """Return the states after all steps (batch, time, units), or the last ones (batch, units)."""
        x = sequences(self, x, self.in_features, self.dtype)
        mask = mask_of(self, x)
        padding = None if mask is None or mask.all() else ~mask.T
        inputs, first = recurrent.inputs_of(x), self._first_states(x)
        y = empty((*x.shape[: 1 + self.return_sequence], self.units * len(self._directions())), self.dtype)
        runs: list[tuple[Steps, Pass]] = []
        for direction, columns in zip(self._directions(), self._columns(), strict=True):
            w_ih, w_hh, b_ih, b_hh = (parameter.data for parameter in self._parameters(direction))
            steps = Steps(x.shape[1], bool(direction), padding)
            weights = recurrent.with_bias(w_ih, b_ih), recurrent.with_bias(w_hh, b_hh)
            run = self._run(*weights, inputs, first, steps)
            states = run.carried[0][:, : self.units]
            if self.return_sequence:
                y[..., columns] = steps.after(states).transpose(2, 0, 1)
            else:
                y[:, columns] = states[steps.last].T
            runs.append((steps, run))
        if padding is not None and self.return_sequence:
            y[padding.T] = 0
        self._remember_states(*runs[0])
        self.save_for_backward(x, runs)
        return y

    def _go_back(self, grad_output: Array, with_input: bool) -> Array | None:
        """Write all gradients, and return the one of the input if that is wanted."""
        x, runs = self.saved_for_backward()
        batch, time, _ = x.shape
        shape = (batch, time) if self.return_sequence else (batch,)
        check_grad(self, grad_output, (*shape, self.units * len(runs)))
        grad_input: Array | None = None
        for direction, columns in zip(self._directions(), self._columns(), strict=True):
            steps, run = runs.pop(0)
            w_ih, w_hh, b_ih, b_hh = self._parameters(direction)
            upstream = self._upstream(grad_output, columns, steps)
            grad_gates = self._run_back(w_hh.data, run, *upstream, steps)
            states = steps.before(run.carried[0])
            rows, beyond = recurrent.gate_rows(grad_gates, len(w_ih.data))
            del run, upstream, grad_gates  # whose memory the products below may use
            w_ih.grad, b_ih.grad = _weight_and_bias(rows @ recurrent.inputs_of(x).reshape(rows.shape[1], -1))
            if with_input:
                of_direction = recurrent.input_grad(rows, w_ih.data, batch)
                grad_input = of_direction.copy() if grad_input is None else grad_input + of_direction
            w_hh.grad, b_hh.grad = _weight_and_bias(recurrent.recurrent_weight_grad(rows, beyond, states))
        return grad_input

    def _upstream(self, grad_output: Array, columns: slice, steps: Steps) -> tuple[Array | None, Array]:
        """Return the gradients of all states (time, units, batch) and of the last one, of one direction."""
        grad_last = np.zeros((self.units, len(grad_output)), self.dtype)
        if self.return_sequence:
            return recurrent.time_major(grad_output[..., columns], steps.padding, self.dtype), grad_last
        grad_last[...] = grad_output[:, columns].T
        return None, grad_last

    def _run(self, weight_ih: Array, weight_hh: Array, inputs: Array, first: Sequence[Array], steps: Steps) -> Pass:
        """Return the pass over the inputs from the states `first`, weights with their biases as last column."""
        raise NotImplementedError

    def _run_back(
        self, weight_hh: Array, run: Pass, grad_states: Array | None, grad_last: Array, steps: Steps
    ) -> Array:
        """Return the gradients of the gates' arguments (time, rows, batch)."""
        raise NotImplementedError

    def _first_bias(self, dtype: np.dtype[Any]) -> Array:
        """Return the first values of `bias_ih`."""
        return np.zeros(self.gate_count * self.units, dtype)

    def _directions(self) -> list[str]:
        """Return what the names of each direction's parameters end in."""
        return ["", "_reverse"] if self.bidirectional else [""]

    def _columns(self) -> Iterator[slice]:
        """Yield the features of the output that each direction has."""
        for i in range(len(self._directions())):
            yield slice(i * self.units, (i + 1) * self.units)

    def _parameters(self, direction: str) -> list[Parameter]:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return [getattr(self, name + direction) for name in names]

    def _first_states(self, x: Array) -> list[Array]:
        """Return the states (units, batch) before the first step: zeros, or those after the last call of a stream."""
        if self.bidirectional:
            refuse_stream(self, "a layer of both directions reads them from the end, too")
        stream = stream_of(self, len(x))
        if stream is None or self not in stream:
            return [np.zeros((self.units, len(x)), self.dtype)] * self.state_count
        states: list[Array] = stream[self]
        return states

    def _remember_states(self, steps: Steps, run: Pass) -> None:
        stream = current_stream.get()
        if stream is not None:
            stream[self] = [states[steps.last, : self.units].copy() for states in run.carried]

    def __repr__(self) -> str:
        options = ("" if self.return_sequence else ", return_sequence=False") + (
            ", bidirectional=True" if self.bidirectional else ""
        )
        return f"{type(self).__name__}({self.in_features} -> {self.units}{options})"


def _weight_and_bias(grad: Array) -> tuple[Array, Array]:
    """Return the two parts of a gradient whose last column is that of the bias."""
    return grad[:, :-1].copy(), grad[:, -1].copy()
