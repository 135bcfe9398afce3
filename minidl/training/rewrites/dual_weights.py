"""The weight of the first Dense while it is trained in the dual form: computed when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from types import TracebackType
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl.parameter import Parameter
from minidl.training.rewrites.dual_layer import DualLayer, DualSGD
from minidl.training.rewrites.wide_samples import Combination, WideSamples


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
        samples: Sequence[WideSamples],
        features: Sequence[Array],
    ) -> None:
        self.weight, self.array = weight, weight.data
        self._layer, self._optimizer = layer, optimizer
        self._samples, self._features = samples, features
        self._lock = RLock()  # threads that predict may pull while training pushes
        self._was_read = False
        self._pulled_array = weight.data
        self._pulled_state = layer.coefficients.data, layer.scales.data

    def __enter__(self) -> DualWeights:
        self._rebase()
        vars(self.weight)["_dual_weights"] = self
        self.weight.__class__ = _DualParameter
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self.array[...] = self._pulled_array  # what was written but not pushed belongs to an epoch that broke off
            self.pull()
            self.weight.__class__ = Parameter
        del vars(self.weight)["_dual_weights"]
        self._optimizer.own.steps = self._optimizer.steps

    def pull(self) -> None:
        """Write W, and with momentum V, as the dual form has them now.

        Raises: RuntimeError where W has been written to without reading it in this epoch: the change would be lost.
        """
        with self._lock:
            state = self._layer.coefficients.data, self._layer.scales.data
            if all(map(np.array_equal, state, self._pulled_state)):
                return
            if not np.array_equal(self.array, self._pulled_array):
                raise RuntimeError(
                    "the weight of the first Dense was changed through an array taken before this epoch; read "
                    "parameter.data anew before each change, or train with dual=False"
                )
            state = state[0].copy(), state[1].copy()
            self._combination(*state).write(self.array)
            if self._optimizer.momentum:
                self._velocity_now().write(self._velocity())
            self._pulled_state, self._pulled_array = state, self.array.copy()

    def read(self) -> Array:
        """Return W as it is now; what the reader writes into it counts from the next `push` on."""
        self.pull()
        self._was_read = True
        return self.array

    def push(self, *, always: bool) -> None:
        """Go on from W and V as they are, if W has been changed since it was read, or always."""
        with self._lock:
            if always:
                self.pull()
            elif not self._was_read or np.array_equal(self.array, self._pulled_array):
                return
            self._rebase()

    def lazy_copies(self) -> dict[int, Any]:
        """Return W and V of this moment, computed when they are read, by the `id` of their Parameter and array."""
        state = self._layer.coefficients.data.copy(), self._layer.scales.data.copy()
        copies: dict[int, Any] = {id(self.weight): self._combination(*state)}
        if self._optimizer.momentum:
            copies[id(self._velocity())] = self._velocity_now()
        return copies

    def gradient(self) -> Array | None:
        """Return `dW = dZ.T X` of the last step."""
        grad_z = self._layer.coefficients.grad
        if grad_z is None:
            return None
        grad_weight = np.empty_like(self.array)
        for columns, block in self._samples[0].blocks():
            np.matmul(grad_z.T, block, out=grad_weight[:, columns])
        return grad_weight

    def _rebase(self) -> None:
        """Take W and V as the new W(0) and V(0), and C as 0."""
        layer, optimizer, n = self._layer, self._optimizer, len(self._samples[0])
        velocity = self._velocity().copy() if optimizer.momentum else None
        self._pulled_array = self.array.copy()
        self._base = self._pulled_array, velocity
        layer.coefficients.data[...] = 0
        layer.scales.data[...] = (1, 0)
        if velocity is not None:
            optimizer.state[0]["velocity"][...] = 0
            optimizer.state[1]["velocity"][...] = (0, 1)
        self._pulled_state = layer.coefficients.data.copy(), layer.scales.data.copy()
        self._was_read = False
        h = len(self.array)
        for samples, features in zip(self._samples, self._features, strict=True):
            features[:, n:-1] = 0
            for columns, block in samples.blocks():
                for start, matrix in zip((n, n + h), self._base, strict=True):
                    if matrix is not None:
                        features[:, start : start + h] += block @ matrix[:, columns].T

    def _combination(self, coefficients: Array, scales: Array) -> Combination:
        return Combination(self._samples[0], coefficients, scales, self._base)

    def _velocity(self) -> Array:
        return self._optimizer.own.state[self._optimizer.weight_index]["velocity"]

    def _velocity_now(self) -> Combination:
        c_velocity, s_velocity = (self._optimizer.state[i]["velocity"].copy() for i in (0, 1))
        return self._combination(c_velocity, s_velocity)


class _DualParameter(Parameter):
    """The class of W inside the block: its data and gradient are computed when they are read."""

    @property
    def data(self) -> Array:
        dual = self._dual
        array: Array = vars(self)["data"] if dual is None else dual.read()
        return array

    @data.setter
    def data(self, value: Array) -> None:
        self.data[...] = value

    @property
    def grad(self) -> Array | None:
        dual = self._dual
        return None if dual is None else dual.gradient()

    @grad.setter
    def grad(self, value: Array | None) -> None:
        """Drop a gradient that a backward pass outside the training loop writes."""

    @property
    def _dual(self) -> DualWeights | None:
        """What computes them; None where another thread has just ended the block."""
        dual: DualWeights | None = vars(self).get("_dual_weights")
        return dual

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameter, (self.data,)
