"""The time loop of an LSTM and its way back, without an allocation in either.

The rows of `gates` (time, 4 units, batch) are those of the input gate i, the forget gate f, the candidate g and the
output gate o, as PyTorch orders them. Since `sigmoid(z) = tanh(z / 2) / 2 + 1 / 2`, one call of tanh serves all four,
where the weights of i, f and o are halved beforehand; and no exponential can overflow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.recurrent import Pass, Steps, input_products, new_states, state_product


def lstm_forward(weight_ih: Array, weight_hh: Array, inputs: Array, first: Sequence[Array], steps: Steps) -> Pass:
    """Return the pass over `inputs` (time, batch, columns) from the hidden states and cells `first` (units, batch).

    The weights (4 units, columns) have their biases as last column.
    """
    (time, batch, _), units = inputs.shape, len(first[0])
    weight_ih, weight_hh = _halved(weight_ih, units), _halved(weight_hh, units)
    states, cells = new_states(first[0], steps), empty((time + 1, units, batch), inputs.dtype)
    cells[steps.first] = first[1]
    gates = empty((time, 4 * units, batch), inputs.dtype)
    input_products(inputs, weight_ih, gates)
    z, work = np.empty(gates.shape[1:], gates.dtype), np.empty((units, batch), gates.dtype)
    half, multiply = gates.dtype.type(0.5), state_product(batch)
    for t, before, after, skipped in steps:
        gate, cell, state = gates[t], cells[after], states[after, :units]
        multiply(weight_hh, states[before], out=z)
        np.add(gate, z, out=gate)
        np.tanh(gate, out=gate)
        for sigmoids in (gate[: 2 * units], gate[3 * units :]):
            np.multiply(sigmoids, half, out=sigmoids)
            np.add(sigmoids, half, out=sigmoids)
        i, f, g, o = gate.reshape(4, units, batch)
        np.multiply(i, g, out=work)
        np.multiply(f, cells[before], out=cell)
        np.add(cell, work, out=cell)
        np.tanh(cell, out=work)
        np.multiply(o, work, out=state)
        if skipped is not None:
            np.copyto(cell, cells[before], where=skipped)
            np.copyto(state, states[before, :units], where=skipped)
    return Pass((states, cells), gates)


def lstm_backward(weight_hh: Array, run: Pass, grad_states: Array | None, grad_last: Array, steps: Steps) -> Array:
    """Return the gradients of the gates' arguments (time, 4 units, batch), in the memory of `run.gates`.

    Arguments: `weight_hh` (4 units, units) has no bias; `grad_states` (time, units, batch) are the gradients of the
    states after each step, and `grad_last` (units, batch) that of the state after all of them, both from outside.
    """
    _, cells = run.carried
    units, batch = grad_last.shape
    transposed = np.ascontiguousarray(weight_hh.T)
    dh, dc = grad_last.copy(), np.zeros_like(grad_last)
    dh_before, dc_before, work, squashed = (np.empty_like(dh) for _ in range(4))
    slopes = np.empty(run.gates.shape[1:], dh.dtype)
    to_cell = slopes[: 3 * units].reshape(3, units, batch)
    one = dh.dtype.type(1)
    for t, before, after, skipped in reversed(steps):
        gate = run.gates[t]
        _, f, _, o = gate.reshape(4, units, batch)
        if grad_states is not None:
            np.add(dh, grad_states[t], out=dh)
        np.tanh(cells[after], out=squashed)
        np.multiply(squashed, squashed, out=work)
        np.subtract(one, work, out=work)
        np.multiply(work, o, out=work)
        np.multiply(work, dh, out=work)
        np.add(dc, work, out=work)  # dc and what comes through h
        np.multiply(work, f, out=dc_before)
        _write_slopes(gate, cells[before], squashed, slopes)
        np.multiply(slopes[3 * units :], dh, out=o)
        np.multiply(to_cell, work, out=gate[: 3 * units].reshape(3, units, batch))
        if skipped is not None:
            np.copyto(gate, 0, where=skipped)
            np.copyto(dc_before, dc, where=skipped)
        np.matmul(transposed, gate, out=dh_before)
        if skipped is not None:
            np.copyto(dh_before, dh, where=skipped)
        dh, dh_before, dc, dc_before = dh_before, dh, dc_before, dc
    return run.gates


def _write_slopes(gate: Array, cell_before: Array, squashed: Array, slopes: Array) -> None:
    """Write the derivatives of the cell by the arguments of i, f and g, and that of the state by the argument of o."""
    units = len(cell_before)
    i, _, g, _ = gate.reshape(4, units, -1)
    slope_i, slope_f, slope_g, slope_o = slopes.reshape(4, units, -1)
    np.multiply(gate, gate, out=slopes)
    for sigmoids in (slice(0, 2 * units), slice(3 * units, None)):
        np.subtract(gate[sigmoids], slopes[sigmoids], out=slopes[sigmoids])  # s - s^2
    np.subtract(gate.dtype.type(1), slope_g, out=slope_g)
    np.multiply(slope_i, g, out=slope_i)
    np.multiply(slope_f, cell_before, out=slope_f)
    np.multiply(slope_g, i, out=slope_g)
    np.multiply(slope_o, squashed, out=slope_o)


def _halved(weight: Array, units: int) -> Array:
    """Return a weight with the rows of the sigmoids halved."""
    halved: Array = 0.5 * weight
    halved[2 * units : 3 * units] = weight[2 * units : 3 * units]
    return halved
