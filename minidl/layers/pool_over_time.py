"""GlobalAveragePool1D and GlobalMaxPool1D: sequences of any length made a row of features."""

from __future__ import annotations

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, sequences
from minidl.layers._masks import mask_of, refuse_stream
from minidl.module import Module
from minidl.ops.sums import step_means


class GlobalAveragePool1D(Module):
    """The mean of each feature over the steps of a sequence; inside a `Masked`, padded steps are left out.

    Formula: `y[n, k] = mean of x[n, t, k]` over the real steps t.

    Shapes: `x` (batch, time, features), result (batch, features). The dtype is the input's.

    Raises: ValueError for input that is not a floating (batch, time, features).

    >>> GlobalAveragePool1D()(np.arange(6.0).reshape(1, 3, 2)).tolist()
    [[2.0, 3.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return the mean over the real steps."""
        x = sequences(self, x)
        refuse_stream(self, "all of them have a part in the result")
        mask = mask_of(self, x)
        self.save_for_backward(x.shape, mask)
        return step_means(x, mask)

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Share each feature's gradient evenly among the real steps.

        The mean of n real steps has `dy/dx = 1 / n` for each of them, and 0 for padding: `dL/dx = dL/dy / n`, or 0.
        """
        shape, mask = self.saved_for_backward()
        check_grad(self, grad_output, (shape[0], shape[2]))
        counts = shape[1] if mask is None else mask.sum(axis=1)[:, None]
        share = (grad_output / counts).astype(grad_output.dtype, copy=False)
        grad_input = np.broadcast_to(share[:, None], shape).copy()
        if mask is not None:
            grad_input[~mask] = 0
        return grad_input


class GlobalMaxPool1D(Module):
    """The largest number of each feature over the steps of a sequence; inside a `Masked`, padded steps are left out.

    Formula: `y[n, k] = max of x[n, t, k]` over the real steps t.

    Shapes: `x` (batch, time, features), result (batch, features). The dtype is the input's.

    Raises: ValueError for input that is not a floating (batch, time, features).

    >>> GlobalMaxPool1D()(np.arange(6.0).reshape(1, 3, 2)).tolist()
    [[4.0, 5.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return the maximum over the real steps."""
        x = sequences(self, x)
        refuse_stream(self, "all of them have a part in the result")
        mask = mask_of(self, x)
        candidates = x if mask is None else np.where(mask[..., None], x, x.dtype.type(-np.inf))
        largest = candidates.argmax(axis=1)[:, None]
        self.save_for_backward(x.shape, largest)
        return np.take_along_axis(x, largest, axis=1)[:, 0]

    def backward(self, grad_output: Array) -> Array:
        """Give each feature's gradient to its largest step, the first one of several: there `dy/dx` is 1, else 0."""
        shape, largest = self.saved_for_backward()
        check_grad(self, grad_output, (shape[0], shape[2]))
        grad_input = np.zeros(shape, grad_output.dtype)
        np.put_along_axis(grad_input, largest, grad_output[:, None], axis=1)
        return grad_input
