"""Parallel: branches side by side, fed with one input or with one each, whose outputs are merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import accumulate
from typing import Any, Literal, get_args

import numpy as np

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl._validation import shown
from minidl.containers._checks import distinct_modules, of_one_shape
from minidl.containers.to_parameters import row_to_parameters
from minidl.errors import LayerInputError
from minidl.layers._checks import check_grad
from minidl.module import Module

Merge = Literal["sum", "mean", "multiply", "concatenate"]


class Parallel(Module):
    """Branches that are fed with the same input, or with one each, and whose outputs are merged into one.

    Formula: `y = merge(branch_0(x_0), branch_1(x_1), ...)`: the elementwise sum, mean or product of the outputs, or
    their concatenation along the last axis. All `x_i` are the input, or, of a tuple of inputs, its item i.

    Shapes: `x` as the branches take it; their outputs have one shape, or for "concatenate" shapes that differ in the
    last axis alone. An empty `Sequential()` is a branch that passes its input on.

    Arguments: `merge` is "sum", "mean", "multiply" or "concatenate".

    Raises: TypeError for something that is not a Module; ValueError for no branch, one given twice, another `merge`,
    a tuple of another length, and outputs of different shapes.

    >>> from minidl import Dense, Sequential
    >>> Parallel(Sequential(), Dense(2, 3, rng=0), merge="concatenate")([[0.0, 1.0]]).shape
    (1, 5)
    >>> Parallel(Dense(2, 3, rng=0), Dense(4, 3, rng=1))((np.ones((5, 2)), np.ones((5, 4)))).shape
    (5, 3)
    """

    positional = "branches"
    takes_tuples = True

    def __init__(self, *branches: Module, merge: Merge = "sum") -> None:
        if not branches:
            raise ValueError("Parallel: expected at least one branch, received none")
        if merge not in get_args(Merge):
            expected = ", ".join(repr(name) for name in get_args(Merge))
            raise ValueError(f"Parallel merge: expected one of {expected}, received {shown(merge)}")
        self.branches = distinct_modules("Parallel", branches)
        self.merge = merge

    def forward(self, x: Any) -> Array:
        """Return the merged outputs of all branches."""
        is_tuple = isinstance(x, tuple)
        if is_tuple and len(x) != len(self.branches):
            raise LayerInputError(
                self, f"expected one array, or a tuple of {len(self.branches)}, one a branch, received {len(x)}"
            )
        inputs = x if is_tuple else [x] * len(self.branches)
        outputs = [branch(one) for branch, one in zip(self.branches, inputs, strict=True)]
        outputs = of_one_shape(self, outputs, x, but_last_axis=self.merge == "concatenate")
        widths = [output.shape[-1] for output in outputs] if self.merge == "concatenate" else []
        y = self._merged(outputs)
        self.save_for_backward(y.shape, widths, outputs if self.merge == "multiply" else [], is_tuple)
        return y

    @without_false_alarms
    def backward(self, grad_output: Array) -> Any:
        """Write all gradients and return the one of the input, of a tuple of inputs the tuple of theirs.

        With `g = dL/dy` and `y_i` the output of branch i, `dL/dy_i` is g for the sum, `g / n` for the mean of n
        branches, g times the product of all other outputs for the product, and the slice of g that belongs to `y_i` for
        the concatenation. Branch i makes `dL/dx_i` of it. Where all `x_i` are one x, `dL/dx` is their sum.
        """
        gradients, is_tuple = self._gradients(grad_output)
        returned = [branch.backward(g) for branch, g in zip(self.branches, gradients, strict=True)]
        return tuple(returned) if is_tuple else reduce(np.add, returned)

    def to_parameters(self) -> Callable[[Array], Any]:
        """Return a backward pass that writes the gradients of parameters alone; a branch without any is left out."""
        passes = [row_to_parameters([branch]) for branch in self.branches]

        def backward(grad_output: Array) -> None:
            for branch, gradient in zip(passes, self._gradients(grad_output)[0], strict=True):
                branch(gradient)

        return backward

    def _merged(self, outputs: Sequence[Array]) -> Array:
        if self.merge == "concatenate":
            return np.concatenate(outputs, axis=-1)
        total: Array = reduce(np.multiply if self.merge == "multiply" else np.add, outputs)
        return total / len(outputs) if self.merge == "mean" else total

    def _gradients(self, grad_output: Array) -> tuple[Sequence[Array], bool]:
        """Return the gradients of the branches' outputs, and whether the input was a tuple."""
        shape, widths, outputs, is_tuple = self.saved_for_backward()
        check_grad(self, grad_output, shape)
        return self._of_outputs(grad_output, widths, outputs), is_tuple

    def _of_outputs(self, grad_output: Array, widths: Sequence[int], outputs: Sequence[Array]) -> Sequence[Array]:
        if self.merge == "concatenate":
            return np.split(grad_output, list(accumulate(widths))[:-1], axis=-1)
        if self.merge == "multiply":
            before = accumulate(outputs[:-1], np.multiply, initial=grad_output)
            after = list(accumulate(reversed(outputs[1:]), np.multiply, initial=np.ones_like(outputs[0])))
            return [one * other for one, other in zip(before, reversed(after), strict=True)]
        share = grad_output / len(self.branches) if self.merge == "mean" else grad_output
        return [share] * len(self.branches)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.branches))}, merge={self.merge!r})"
