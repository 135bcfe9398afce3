"""GlobalMaxPool2D: the largest number of each channel of a picture."""

from __future__ import annotations

import numpy as np

from minidl._typing import Array
from minidl.layers._checks import check_grad, pictures
from minidl.module import Module


class GlobalMaxPool2D(Module):
    """The largest number of each channel over the whole picture, which makes a row of features of any size of picture.

    Formula: `y[n, k] = max of x[n, :, :, k]`.

    Shapes: `x` (batch, height, width, channels), result (batch, channels). The dtype is the input's.

    Raises: ValueError for input that is not a floating (batch, height, width, channels).

    >>> GlobalMaxPool2D()(np.arange(8.0).reshape(1, 2, 2, 2)).tolist()
    [[6.0, 7.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return the maximum over height and width."""
        x = pictures(self, x)
        pixels = x.reshape(len(x), -1, x.shape[3])
        largest = pixels.argmax(axis=1)[:, None]
        self.save_for_backward(x.shape, largest)
        return np.take_along_axis(pixels, largest, axis=1)[:, 0]

    def backward(self, grad_output: Array) -> Array:
        """Give each channel's gradient to its largest pixel, the first one of several: there `dy/dx` is 1, else 0."""
        shape, largest = self.saved_for_backward()
        check_grad(self, grad_output, (shape[0], shape[3]))
        grad_input = np.zeros((shape[0], shape[1] * shape[2], shape[3]), grad_output.dtype)
        np.put_along_axis(grad_input, largest, grad_output[:, None], axis=1)
        return grad_input.reshape(shape)
