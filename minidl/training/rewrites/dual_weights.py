"""The weight of the first Dense while it is trained in the dual form: computed when it is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from threading import RLock
from types import TracebackType
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import is_finite
from minidl.errors import NonFiniteError
from minidl.parameter import Parameter
from minidl.training.rewrites.dual_layer import DualLayer, DualSGD
from minidl.training.rewrites.dual_parameter import DualParameter
from minidl.training.rewrites.wide_samples import Combination, WideSamples, write_all
from minidl.training.span import Span, first_spans

LOST_CHANGE = (
    "the weight of the first Dense, or its velocity, was changed through an array taken before this epoch; read "
    "parameter.data anew before each change, or train with dual=False"
)


class DualWeights:
    """Keeps the weight W and its velocity V what the dual form has made of them, inside a `with` block.

    `pull` writes them; reading `weight.data`, in whichever thread, pulls. `push` goes on from what has been written
    into them since.
    """

    def __init__(
        self,
        weight: Parameter,
        layer: DualLayer,
        optimizer: DualSGD,
        samples: WideSamples,
        fed: Iterable[tuple[WideSamples, Array]],
    ) -> None:
        self.weight, self.array = weight, weight.data
        self._layer, self._optimizer = layer, optimizer
        self._samples, self._fed = samples, [*fed]  # those that W is a combination of, and all with their products
        self._lock = RLock()  # threads that predict may pull while training pushes
        self._was_read = self._is_pulling = False
        self._pulled_arrays: list[Array] = []
        self._pulled_state: list[Array] = []
        self._written_grad: tuple[Array | None, Array | None] | None = None
        self._spans: tuple[Span, Span] | None = None  # of W(0) and V(0), in terms of those at the block's beginning
        self._rebase()

    def __enter__(self) -> DualWeights:
        if self._were_changed():  # by a callback that begins
            self._rebase()
        coefficients = self._layer.coefficients.data
        self._spans = first_spans(coefficients.shape, coefficients.dtype)
        vars(self.weight)["_dual_weights"] = self
        self.weight.__class__ = DualParameter
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            has_lost_change = kind is None and self._were_changed()
            self._put_back()  # what was written but not pushed belongs to an epoch that broke off
            gradient: Array | None = None
            last = self._gradient()
            try:
                written = np.empty_like(self.array)
                self.pull(also=[(last, written)] if isinstance(last, Combination) else [])
                gradient = written if isinstance(last, Combination) else last
            finally:  # also where samples outside memory can no longer be read
                vars(self.weight)["grad"] = gradient
                self.weight.__class__ = Parameter
                self._optimizer.count_frozen_steps()  # where the last good state was put back, fewer
                del vars(self.weight)["_dual_weights"]
        if has_lost_change:
            raise RuntimeError(LOST_CHANGE)

    def pull(self, also: Sequence[tuple[Combination, Array]] = ()) -> None:
        """Write W, and with momentum V, as the dual form has them now, and `also` these, in one pass over the samples.

        Raises: RuntimeError where they were written to without being read in this epoch: the change would be lost.
        """
        with self._lock:
            state = [array.copy() for array in self._state()]
            if all(map(np.array_equal, state, self._pulled_state)):
                write_all(also)
                return
            if self._were_changed():
                raise RuntimeError(LOST_CHANGE)
            written = [np.empty_like(array) for array in self._arrays()]  # no thread that predicts sees half a sum
            write_all([*zip(self._combinations(), written, strict=True), *also])
            self._is_pulling = True  # also after Ctrl-C in these lines, until the next pull
            for array, whole in zip(self._arrays(), written, strict=True):
                array[...] = whole
            self._pulled_state, self._pulled_arrays = state, written
            self._is_pulling = False

    def read(self) -> Array:
        """Return W as it is now; what the reader writes into it, or into V, counts from the next `push` on."""
        self.pull()
        self._was_read = True
        return self.array

    def push(self, *, always: bool) -> None:
        """Go on from W and V as they are, if they have been changed since they were read, or always."""
        with self._lock:
            if always:
                self.pull()
            elif not self._was_read or not self._were_changed():
                return
            self._spans = None if self._were_changed() else self._present_spans()
            self._rebase()

    def lazy_copies(self) -> dict[int, Any]:
        """Return W and V of this moment, computed when they are read, by the `id` of their Parameter and array."""
        return dict(zip(map(id, (self.weight, *self._arrays()[1:])), self._combinations(), strict=True))

    def span(self) -> Span | None:
        """Return W of this moment in terms of that at the block's beginning; None where something else changed it."""
        spans = self._present_spans()
        return None if spans is None else spans[0]

    def watch(self, x: Array) -> Array:
        """Return what the network in the dual form is given for further samples `x`, kept right inside the block.

        Raises: ValueError for samples of another number of features.
        """
        samples = self._samples.others(x)
        features = samples.products_with(self._samples, extra_columns=self._layer.extra_inputs)
        self._fed.append((samples, features))
        samples.write_products_with(self._base, features[:, len(self._samples) : -1])
        return features

    def gradient_norm(self) -> float | None:
        """Return the norm of the gradient of W, `sqrt(sum(dZ * (G dZ)))` with the Gram matrix G; None before a step."""
        gradient, grad_z, (_, features) = self._gradient(), self._layer.coefficients.grad, self._fed[0]
        if gradient is None or grad_z is None:
            return None
        if not isinstance(gradient, Combination) or len(features) < len(grad_z):  # some rows of G are elsewhere
            return float(np.linalg.norm(np.asarray(gradient, np.float64)))
        products = features[:, : len(grad_z)] @ grad_z
        return math.sqrt(max(0.0, float(np.vdot(products.astype(np.float64), grad_z))))

    def gradient(self) -> Array | None:
        """Return `dW = dZ.T X` of the last step, or what has been written over it since."""
        gradient = self._gradient()
        return np.asarray(gradient) if isinstance(gradient, Combination) else gradient

    def _gradient(self) -> Combination | Array | None:
        grad_z = self._layer.coefficients.grad
        if self._written_grad is not None and self._written_grad[0] is grad_z:
            return self._written_grad[1]
        return None if grad_z is None else Combination(self._samples, grad_z)

    def write_gradient(self, grad: Array | None) -> None:
        """Keep a gradient that something else than a training step has written, until the next step."""
        self._written_grad = self._layer.coefficients.grad, grad

    def _rebase(self) -> None:
        """Take W and V as the new W(0) and V(0), and C as 0.

        Raises: NonFiniteError, with all as it was, where they hold NaN or infinity.
        """
        if not all(map(is_finite, self._arrays())):
            raise NonFiniteError("a parameter is not finite")
        layer, optimizer = self._layer, self._optimizer
        self._pulled_arrays = [array.copy() for array in self._arrays()]
        self._base = self._pulled_arrays  # W(0), and with momentum V(0)
        layer.coefficients.data[...] = 0
        layer.scales.data[...] = (1, 0)
        if optimizer.momentum:
            optimizer.state[0]["velocity"][...] = 0
            optimizer.state[1]["velocity"][...] = (0, 1)
        self._pulled_state = [array.copy() for array in self._state()]
        self._was_read = False
        for samples, features in self._fed:
            samples.write_products_with(self._base, features[:, len(self._samples) : -1])

    def _present_spans(self) -> tuple[Span, Span] | None:
        """Return W and V of this moment in terms of those at the block's beginning."""
        if self._spans is None:
            return None
        state = self._state()
        pairs = zip(state[::2], state[1::2], strict=True)
        present = [Span(coefficients, *map(float, scales)).after(*self._spans) for coefficients, scales in pairs]
        return present[0], present[-1]  # without momentum there is no V, whose span has no part in W's

    def _arrays(self) -> list[Array]:
        """Return W, and with momentum V, as they were last written."""
        own = self._optimizer.own
        return [self.array, *own.state[self._optimizer.weight_index].values()]

    def _state(self) -> list[Array]:
        """Return C and the scales, and with momentum their velocities."""
        velocities = [array for state in self._optimizer.state[:2] for array in state.values()]
        return [self._layer.coefficients.data, self._layer.scales.data, *velocities]

    def _combinations(self) -> list[Combination]:
        """Return W, and with momentum V, as the dual form has them now, to be computed when they are read."""
        state = [array.copy() for array in self._state()]
        return [
            Combination(self._samples, coefficients, list(zip(scales, self._base, strict=False)))
            for coefficients, scales in zip(state[::2], state[1::2], strict=True)
        ]

    def _put_back(self) -> None:
        """Write W and V as they were last pulled."""
        for array, pulled in zip(self._arrays(), self._pulled_arrays, strict=True):
            array[...] = pulled

    def _were_changed(self) -> bool:
        """Return whether W or V was written to since the last pull, by something else than a pull that broke off."""
        return not self._is_pulling and not all(map(np.array_equal, self._arrays(), self._pulled_arrays))
