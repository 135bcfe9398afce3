"""ReLU6: a ReLU that ends at 6."""

from __future__ import annotations

from minidl._false_alarms import without_false_alarms
from minidl._typing import Array
from minidl.layers._checks import check_grad, floating
from minidl.module import Module
from minidl.ops.elementwise import multiply, rectify


class ReLU6(Module):
    """A ReLU that ends at 6, so that numbers of low precision hold its output.

    Formula: `a = min(max(z, 0), 6)`.

    Shapes: any; the result has the shape and dtype of the input.

    Raises: ValueError for input that is not floating.

    Source: Krizhevsky, Convolutional deep belief networks on CIFAR-10 (2010).

    >>> ReLU6()(np.array([[-1.0, 2.0, 9.0]])).tolist()
    [[0.0, 2.0, 6.0]]
    """

    def forward(self, x: Array) -> Array:
        """Return `min(max(x, 0), 6)`."""
        a, is_between = rectify(floating(self, x), most=6.0, with_mask=self.training)
        self.save_for_backward(is_between)
        return a

    @without_false_alarms
    def backward(self, grad_output: Array) -> Array:
        """Return `grad_output` where the input was between 0 and 6, else 0.

        `da/dz` is 1 for 0 < z < 6 and 0 outside; at 0 and 6 the derivative is taken as 0.
        """
        (is_between,) = self.saved_for_backward()
        check_grad(self, grad_output, is_between.shape)
        return multiply(grad_output, is_between)
