"""LSTM: a recurrent layer with a cell that keeps what its gates let in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._recurrent import Recurrent
from minidl.ops.lstm import lstm_backward, lstm_forward
from minidl.ops.recurrent import Pass, Steps


class LSTM(Recurrent):
    """A long short-term memory: a recurrent layer with a cell that keeps what its gates let in.

    Formula: with `z = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`, whose rows are those of i, f, g and o in this order,
    and s the sigmoid,

        i = s(z_i), f = s(z_f), g = tanh(z_g), o = s(z_o)
        c_t = f c_{t-1} + i g
        h_t = o tanh(c_t)

    from `h = c = 0`, as PyTorch's. A padded step, of which a `Masked` knows, is passed over: the state stays, and the
    output is 0. Inside `streaming()` a call starts from the state that the call before it ended with.

    Shapes: `x` (batch, time, in_features); result (batch, time, units), or (batch, units) where `return_sequence` is
    False, with 2 units where `bidirectional` is True. `weight_ih_l0` (4 units, in_features), `weight_hh_l0` (4 units,
    units), `bias_ih_l0` and `bias_hh_l0` (4 units,), and the same with `_reverse` for the direction from the end.

    Arguments: `return_sequence` asks for the state after each step, or else after the last one; `bidirectional` puts
    the states of a second pass, from the end to the beginning, behind those of the first one, the last state of which
    is that at the beginning. `weight_init` and `recurrent_init` name initializers, or are callables `(shape, rng) ->
    array`, of `weight_ih` and `weight_hh`; the defaults are Dense's and "orthogonal". Biases start at zero but for the
    forget gate's, which starts at 1, so that a new layer does not forget. `rng` is a seed or a generator.

    Raises: ValueError for sizes below 1, for input that is not a (batch, time, in_features) of at least one step, and
    for both directions inside `streaming()`.

    Source: Hochreiter and Schmidhuber, Long short-term memory (1997); Jozefowicz et al., An empirical exploration of
    recurrent network architectures (2015), for the forget gate's bias.

    >>> x = np.ones((5, 7, 3), np.float32)
    >>> LSTM(3, 2, rng=0)(x).shape, LSTM(3, 2, return_sequence=False, bidirectional=True, rng=0)(x).shape
    ((5, 7, 2), (5, 4))
    """

    gate_count: ClassVar[int] = 4
    state_count: ClassVar[int] = 2

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Write all gradients and return the one of the input.

        Let `dh` and `dc` be the gradients of the loss with respect to `h_t` and `c_t`, through everything after step t:
        at the last step `dh` is the output's gradient and `dc = 0`. `h_t` depends on `c_t` by `o tanh(c_t)`, hence
        `dc += dh o (1 - tanh(c_t)^2)`. With `s' = s (1 - s)` and `tanh' = 1 - tanh^2` at the gates' arguments,

            dz_i = dc g i (1 - i)        dz_f = dc c_{t-1} f (1 - f)
            dz_g = dc i (1 - g^2)        dz_o = dh tanh(c_t) o (1 - o)

        and one step back, `dc <- dc f` and `dh <- W_hh.T dz`, to which the output's gradient at step t-1 is added. All
        steps share the weights, so their gradients are sums over t (and over the samples),

            dL/dW_ih = sum dz x_t.T      dL/dW_hh = sum dz h_{t-1}.T      dL/db_ih = dL/db_hh = sum dz

        and `dL/dx_t = W_ih.T dz`. At a padded step `h_t = h_{t-1}` and `c_t = c_{t-1}`: there dz is 0, and dh and dc
        go back as they are. With two directions, the input's gradient is the sum of both.
        """
        return cast(Array, self._go_back(grad_output, with_input=True))

    @without_false_alarms
    def backward_parameters(self, grad_output: Array) -> None:
        """Write the gradients of the parameters alone, for a first layer whose input's gradient nothing needs."""
        self._go_back(grad_output, with_input=False)

    def _run(self, weight_ih: Array, weight_hh: Array, inputs: Array, first: Sequence[Array], steps: Steps) -> Pass:
        return lstm_forward(weight_ih, weight_hh, inputs, first, steps)

    def _run_back(
        self, weight_hh: Array, run: Pass, grad_states: Array | None, grad_last: Array, steps: Steps
    ) -> Array:
        return lstm_backward(weight_hh, run, grad_states, grad_last, steps)

    def _first_bias(self, dtype: np.dtype[Any]) -> Array:
        bias = super()._first_bias(dtype)
        bias[self.units : 2 * self.units] = 1
        return bias
