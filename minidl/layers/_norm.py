"""What the norms share: a weight and a bias for each feature, of which either may be left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array, DTypeLike
from minidl._validation import flag, float_dtype, positive_within
from minidl.module import Module
from minidl.ops.sums import product_sums, row_sums
from minidl.parameter import Parameter


class Norm(Module):
    """The base of the norms: `epsilon`, and `weight` and `bias` (features,), each of them None where it is left out."""

    def __init__(self, features: int, epsilon: float, weight: bool, bias: bool, dtype: DTypeLike) -> None:
        name = type(self).__name__
        self._dtype = float_dtype(dtype, f"{name} dtype")
        self.epsilon = positive_within(self._dtype, epsilon, f"{name} epsilon")
        self.weight = Parameter(np.ones(features, self._dtype)) if flag(weight, f"{name} weight") else None
        self.bias = Parameter(np.zeros(features, self._dtype)) if flag(bias, f"{name} bias") else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of weight and bias; without both it is what the constructor was given."""
        own = self._own_dtype
        return self._dtype if own is None else own

    @property
    def _own_dtype(self) -> np.dtype[Any] | None:
        """The precision that input is cast to, that of weight and bias; without both there is none."""
        owner = self.bias if self.weight is None else self.weight
        return None if owner is None else owner.data.dtype

    def _scale_and_shift(self, h: Array) -> Array:
        """Return `weight * h + bias`, without what is left out."""
        y = h if self.weight is None else h * self.weight.data
        if self.bias is None:
            return y
        return np.add(y, self.bias.data, out=None if y is h else y)

    def _norm_gradients(self, grad_output: Array, h: Array) -> Array:
        """Write the gradients of weight and bias, `sum(g h)` and `sum(g)`, and return that of h, `g * weight`."""
        g = grad_output.reshape(-1, h.shape[-1])
        if self.bias is not None:
            self.bias.grad = row_sums(g).astype(self.dtype, copy=False)
        if self.weight is None:
            return grad_output
        self.weight.grad = product_sums(g, h.reshape(g.shape)).astype(self.dtype, copy=False)
        return grad_output * self.weight.data

    def _described(self, *sizes: int, **numbers: float) -> str:
        """Return the `repr` of a norm of these sizes, which mentions weight and bias where they are left out."""
        arguments = [*map(str, sizes), *(f"{name}={value:g}" for name, value in numbers.items())]
        arguments += [f"{name}=False" for name in ("weight", "bias") if getattr(self, name) is None]
        return f"{type(self).__name__}({', '.join(arguments)})"
