"""Dropout: units set to zero at random, in training only."""

from __future__ import annotations

from minidl._typing import Array, Seed
from minidl._validation import as_generator, fraction
from minidl.layers._checks import check_grad, floating
from minidl.module import Module


class Dropout(Module):
    """Set each number to zero with probability `rate` in training, and pass everything on in evaluation.

    Formula: `y = x * mask` with a fresh mask for each batch, whose entries are 0 with probability `rate` and
    `1 / (1 - rate)` else (inverted dropout: the expectation of y is x, so that evaluation needs no correction).

    Shapes: any; the result has the shape and dtype of the input.

    Arguments: `rng` is a seed or a generator; the layer keeps the generator, which each training batch advances.

    Raises: ValueError for a rate outside [0, 1), and for input that is not floating.

    Source: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting (2014).

    >>> Dropout(0.5, rng=0)(np.ones((2, 3))).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 2.0]]
    """

    def __init__(self, rate: float, rng: Seed = None) -> None:
        self.rate = fraction(rate, "Dropout rate")
        self.rng = as_generator(rng)

    def forward(self, x: Array) -> Array:
        """Return `x * mask` in training and a copy of `x` in evaluation."""
        x = floating(self, x)
        if not self.training:
            return x.copy()
        mask = (self.rng.random(x.shape) >= self.rate).astype(x.dtype)
        mask /= 1 - self.rate
        self.save_for_backward(mask)
        y: Array = x * mask
        return y

    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output * mask`, since `dy/dx = mask` for the mask that the forward pass drew."""
        (mask,) = self.saved_for_backward()
        check_grad(self, grad_output, mask.shape)
        grad_input: Array = grad_output * mask
        return grad_input

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"
