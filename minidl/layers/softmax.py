"""Softmax: scores of classes turned into their probabilities."""

from __future__ import annotations

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, class_scores
from minidl.module import Module
from minidl.ops.elementwise import rowwise


class Softmax(Module):
    """Turn the last axis into probabilities of classes, which add up to 1.

    Formula: `a_j = exp(z_j) / sum_k exp(z_k)`, computed without overflow.

    Shapes: (batch, ..., classes); the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating (batch, ..., classes) with at least two classes.

    >>> Softmax()(np.array([[0.0, 0.0, -1e4]])).tolist()
    [[0.5, 0.5, 0.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return the probabilities of the last axis."""
        a = rowwise(functional.softmax, class_scores(self, x))
        self.save_for_backward(a)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `a * (grad_output - sum(grad_output * a))`, the sum over the last axis.

        `a_j = exp(z_j) / S` gives `da_j / dz_i = a_j ([i = j] - a_i)`. Every `z_i` moves all the probabilities, so

            dL/dz_i = sum_j dA_j a_j ([i = j] - a_i) = a_i (dA_i - sum_j dA_j a_j)
        """
        (a,) = self.saved_for_backward()
        check_grad(self, grad_output, a.shape)
        return rowwise(lambda g, a: a * (g - (g * a).sum(axis=-1, keepdims=True)), grad_output, a)
