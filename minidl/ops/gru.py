"""The time loop of a GRU and its way back, without an allocation in either.

The rows of `gates` (time, 4 units, batch) are those of the reset gate r, the update gate z and the candidate n, as
PyTorch orders them, and of `m = W_hn h + b_hn`, which r multiplies. Sigmoids are taken by tanh, as in an LSTM.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl._typing import Array
from minidl.ops.buffers import empty
from minidl.ops.recurrent import Pass, Steps, input_products, new_states, state_product


def gru_forward(weight_ih: Array, weight_hh: Array, inputs: Array, first: Sequence[Array], steps: Steps) -> Pass:
    """Return the pass over `inputs` (time, batch, columns) from the hidden states `first` (units, batch).

    The weights (3 units, columns) have their biases as last column.
    """
    (time, batch, _), units = inputs.shape, len(first[0])
    weight_ih, weight_hh = _halved(weight_ih, units), _halved(weight_hh, units)
    states, gates = new_states(first[0], steps), empty((time, 4 * units, batch), inputs.dtype)
    input_products(inputs, weight_ih, gates[:, : 3 * units])
    product, work = np.empty((3 * units, batch), gates.dtype), np.empty((units, batch), gates.dtype)
    half, multiply = gates.dtype.type(0.5), state_product(batch)
    for t, before, after, skipped in steps:
        gate, state, state_before = gates[t], states[after, :units], states[before, :units]
        r, z, n, m = gate.reshape(4, units, batch)
        multiply(weight_hh, states[before], out=product)
        sigmoids = gate[: 2 * units]
        np.add(sigmoids, product[: 2 * units], out=sigmoids)
        np.tanh(sigmoids, out=sigmoids)
        np.multiply(sigmoids, half, out=sigmoids)
        np.add(sigmoids, half, out=sigmoids)
        m[...] = product[2 * units :]
        np.multiply(r, m, out=work)
        np.add(n, work, out=n)
        np.tanh(n, out=n)
        np.subtract(state_before, n, out=work)
        np.multiply(work, z, out=work)
        np.add(n, work, out=state)
        if skipped is not None:
            np.copyto(state, state_before, where=skipped)
    return Pass((states,), gates)


def gru_backward(weight_hh: Array, run: Pass, grad_states: Array | None, grad_last: Array, steps: Steps) -> Array:
    """Return the gradients of the gates' arguments and of m (time, 4 units, batch), in the memory of `run.gates`.

    Arguments: `weight_hh` (3 units, units) has no bias; `grad_states` (time, units, batch) are the gradients of the
    states after each step, and `grad_last` (units, batch) that of the state after all of them, both from outside.
    """
    (states,) = run.carried
    units, batch = grad_last.shape
    transposed = np.ascontiguousarray(weight_hh.T)
    dh, product = grad_last.copy(), np.empty_like(grad_last)
    dh_before, slope = np.empty_like(dh), np.empty_like(dh)
    grads = np.empty((3 * units, batch), dh.dtype)  # of the rows of weight_hh
    dr, dz, dm = grads.reshape(3, units, batch)
    one = dh.dtype.type(1)
    for t, before, _, skipped in reversed(steps):
        r, z, n, m = run.gates[t].reshape(4, units, batch)
        if grad_states is not None:
            np.add(dh, grad_states[t], out=dh)
        np.multiply(dh, z, out=dh_before)
        np.subtract(states[before, :units], n, out=dz)
        np.multiply(dz, dh_before, out=dz)
        np.subtract(one, z, out=slope)
        np.multiply(dz, slope, out=dz)  # dh (h_before - n) z (1 - z)
        np.multiply(slope, dh, out=slope)
        np.multiply(n, n, out=n)
        np.subtract(one, n, out=n)
        np.multiply(slope, n, out=n)  # dn, in the place of n: dh (1 - z) (1 - n^2)
        np.multiply(n, r, out=dm)
        np.subtract(one, r, out=slope)
        np.multiply(slope, dm, out=slope)
        np.multiply(slope, m, out=dr)  # dn m r (1 - r)
        if skipped is not None:
            np.copyto(n, 0, where=skipped)
            np.copyto(grads, 0, where=skipped)
            np.copyto(dh_before, dh, where=skipped)
        np.matmul(transposed, grads, out=product)
        np.add(dh_before, product, out=dh)
        r[...], z[...], m[...] = dr, dz, dm
    return run.gates


def _halved(weight: Array, units: int) -> Array:
    """Return a weight with the rows of the sigmoids halved."""
    halved: Array = weight.copy()
    halved[: 2 * units] *= 0.5
    return halved
