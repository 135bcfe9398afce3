"""GRU: a recurrent layer whose state moves towards a candidate as far as a gate lets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._recurrent import Recurrent
from minidl.ops.gru import gru_backward, gru_forward
from minidl.ops.recurrent import Pass, Steps


class GRU(Recurrent):
    """A gated recurrent unit: a recurrent layer whose state moves towards a candidate as far as a gate lets it.

    Formula: with `a = W_ih x_t + b_ih` and `m = W_hh h_{t-1} + b_hh`, whose rows are those of r, z and n in this order,
    and s the sigmoid,

        r = s(a_r + m_r), z = s(a_z + m_z), n = tanh(a_n + r m_n)
        h_t = (1 - z) n + z h_{t-1}

    from `h = 0`, as PyTorch's. A padded step, of which a `Masked` knows, is passed over: the state stays, and the
    output is 0. Inside `streaming()` a call starts from the state that the call before it ended with.

    Shapes: `x` (batch, time, in_features); result (batch, time, units), or (batch, units) where `return_sequence` is
    False, with 2 units where `bidirectional` is True. `weight_ih_l0` (3 units, in_features), `weight_hh_l0` (3 units,
    units), `bias_ih_l0` and `bias_hh_l0` (3 units,), and the same with `_reverse` for the direction from the end.

    Arguments: those of `LSTM`. All biases start at zero.

    Raises: ValueError for sizes below 1, for input that is not a (batch, time, in_features) of at least one step, and
    for both directions inside `streaming()`.

    Source: Cho et al., Learning phrase representations using RNN encoder-decoder (2014), with r applied after the
    product, so that one product serves all gates.

    >>> x = np.ones((5, 7, 3), np.float32)
    >>> GRU(3, 2, rng=0)(x).shape, GRU(3, 2, return_sequence=False, bidirectional=True, rng=0)(x).shape
    ((5, 7, 2), (5, 4))
    """

    gate_count: ClassVar[int] = 3
    state_count: ClassVar[int] = 1

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write all gradients and return the one of the input.

        Let `dh` be the gradient of the loss with respect to `h_t`, through everything after step t; at the last step it
        is the output's. `h_t = n + z (h_{t-1} - n)`, so with `s' = s (1 - s)` and `tanh' = 1 - tanh^2`,

            da_n = dh (1 - z) (1 - n^2)            dm_n = da_n r
            da_z = dm_z = dh (h_{t-1} - n) z (1 - z)
            da_r = dm_r = da_n m_n r (1 - r)

        and one step back, `dh <- dh z + W_hh.T dm`, to which the output's gradient at step t-1 is added. All steps
        share the weights, so their gradients are sums over t (and over the samples),

            dL/dW_ih = sum da x_t.T    dL/dW_hh = sum dm h_{t-1}.T    dL/db_ih = sum da    dL/db_hh = sum dm

        and `dL/dx_t = W_ih.T da`. At a padded step `h_t = h_{t-1}`: there da and dm are 0, and dh goes back as it is.
        With two directions, the input's gradient is the sum of both.
        """
        return cast(Array, self._go_back(grad_output, with_input=True))

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of the parameters alone, for a first layer whose input's gradient nothing needs."""
        self._go_back(grad_output, with_input=False)

    def _run(self, weight_ih: Array, weight_hh: Array, inputs: Array, first: Sequence[Array], steps: Steps) -> Pass:
        return gru_forward(weight_ih, weight_hh, inputs, first, steps)

    def _run_back(
        self, weight_hh: Array, run: Pass, grad_states: Array | None, grad_last: Array, steps: Steps
    ) -> Array:
        return gru_backward(weight_hh, run, grad_states, grad_last, steps)
