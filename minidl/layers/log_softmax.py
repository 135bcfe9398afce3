"""LogSoftmax: scores of classes turned into the logarithms of their probabilities."""

from __future__ import annotations

import numpy as np

from minidl import functional
from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, class_scores
from minidl.module import Module
from minidl.ops.elementwise import rowwise


class LogSoftmax(Module):
    """Turn the last axis into logarithms of probabilities, which stay exact where the probabilities round to 0.

    Formula: `a_j = z_j - log(sum_k exp(z_k))`, computed without overflow. `exp(a)` is `Softmax`'s result.

    A logarithm of probabilities is a logit, too: LogSoftmax leaves it as it is. So `SoftmaxCrossEntropy()`, which takes
    logits, is the loss of a network that ends in LogSoftmax, as PyTorch's NLLLoss is.

    Shapes: (batch, ..., classes); the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating (batch, ..., classes) with at least two classes.

    >>> LogSoftmax()(np.array([[0.0, 0.0, -1e4]])).round(4).tolist()
    [[-0.6931, -0.6931, -10000.6931]]
    """

    def forward(self, x: Array) -> Array:
        """Return the logarithms of the probabilities of the last axis."""
        a = rowwise(functional.log_softmax, class_scores(self, x))
        self.save_for_backward(a)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output - softmax(z) * sum(grad_output)`, the sum over the last axis.

        `a_j = z_j - log(S)` with `S = sum_k exp(z_k)` gives `da_j / dz_i = [i = j] - exp(z_i) / S`, where the quotient
        is `p_i = exp(a_i)`. Every `z_i` moves all of a, so

            dL/dz_i = sum_j dA_j ([i = j] - p_i) = dA_i - p_i sum_j dA_j
        """
        (a,) = self.saved_for_backward()
        check_grad(self, grad_output, a.shape)
        return rowwise(lambda g, a: g - np.exp(a) * g.sum(axis=-1, keepdims=True), grad_output, a)
