"""Dual training of a wide first layer: full-batch gradient descent in the span of the samples.

Let X (n, d) hold the n samples, one a row, and W (h, d) be the first layer's weight. The gradient of the loss with
respect to W is `dZ.T X`, a combination of the samples, so that gradient descent never leaves

    W(t) = s(t) W(0) + C(t).T X        with C (n, h), C(0) = 0, s(0) = 1

and everything a step needs can be had from C and the Gram matrix of the samples, `G = X X.T` (n, n), formed once:

    forward    Z = X W(t).T + b = G C + s X W(0).T + b
    backward   dW = dZ.T X      becomes      dC = dZ
    update     C <- C - learning_rate dC

A step costs 4 n^2 h operations fewer or more than 4 n d h as n is smaller or larger than d. Momentum and weight decay
keep the form, because they are linear in the gradient and in W: they act on C and s as they would on W. If a velocity
V(0) is there from the start, `W(t) = s W(0) + r V(0) + C.T X`, with the velocity of r being 1.

This is the representer theorem at work; scikit-learn's linear models know it as `dual`. Source: Kimeldorf and Wahba,
Some results on Tchebycheffian spline functions (1971).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from minidl._typing import Array
from minidl.data.batches import Batches
from minidl.layers.dense import Dense
from minidl.layers.inputs import Rescale
from minidl.module import Module
from minidl.optimizers import SGD, Optimizer
from minidl.parameter import Parameter
from minidl.sequential import Sequential
from minidl.training.direct import Direct, Validation, input_layers
from minidl.training.fusion import Network

COLUMNS = 2048  # of the samples that are held as floating numbers at a time

Base: TypeAlias = "tuple[Array, Array | None]"  # W(0) and, with momentum, V(0)


class Parts(NamedTuple):
    """A network and its optimizer, taken apart for the dual form."""

    front: Sequential
    dense: Dense
    rest: Sequential
    sgd: SGD


def take_apart(network: Network, optimizer: Optimizer, batches: Batches) -> Parts:
    """Return the parts of a run that can be trained in the dual form.

    Raises: ValueError that says what stands against it.
    """
    body, n = network.body, len(batches.y)
    if batches.batch_size is not None:
        raise ValueError(f"the batch must be the whole set, received batch_size={batches.batch_size}")
    if batches.augment is not None:
        raise ValueError("the samples must stay the same from epoch to epoch, received an augment")
    if type(optimizer) is not SGD or optimizer.max_gradient_norm is not None:
        raise ValueError(f"the step must be linear in the gradient, SGD without clipping, received {optimizer!r}")
    if type(body) is not Sequential:
        raise ValueError(f"the model must be a Sequential, received {body!r}")
    front = input_layers(body)
    dense = body[len(front)] if len(front) < len(body) else None
    if type(dense) is not Dense:
        raise ValueError(f"only Rescale and Flatten may stand before the first Dense, received {dense!r}")
    if dense.in_features <= n:
        raise ValueError(f"the first Dense must be wider than the set is long, received {dense!r} for {n} samples")
    owners = [layer for layer in body if any(holder is dense.weight for _, holder in layer.named_state())]
    if len(owners) > 1:
        raise ValueError(f"the weight of {dense!r} must be its own, received one that {owners[1]!r} has too")
    if not any(parameter is dense.weight for parameter in optimizer.parameters):
        raise ValueError(f"the optimizer must move the weight of {dense!r}")
    return Parts(front, dense, body[len(front) + 1 :], optimizer)


def choose_form(
    dual: bool | Literal["auto"], network: Network, optimizer: Optimizer, batches: Batches, epochs: int
) -> Callable[[Module, Network, Optimizer, Batches, Validation], Direct]:
    """Return what makes the form to train in: the dual one where asked for, or by itself where it is possible and pays.

    It pays when the operations saved in so many epochs outweigh those of forming the Gram matrix, n^2 d.

    Raises: ValueError where it is asked for and not possible.
    """
    if dual is False:
        return Direct
    try:
        parts = take_apart(network, optimizer, batches)
    except ValueError as obstacle:
        if dual is True:
            raise ValueError(f"dual=True: {obstacle}") from None
        return Direct
    n, d, h = len(batches.y), parts.dense.in_features, parts.dense.out_features
    pays = epochs * (4 * d - 2 * n) * h > n * d
    return partial(Dual, parts) if dual is True or pays else Direct


class DualLayer(Module):
    """The first Dense in its dual form; its input for a sample x is `[X x | W(0) x | V(0) x | 1]`, one row."""

    def __init__(self, dense: Dense, samples: int) -> None:
        weight, h = dense.weight.data, dense.out_features
        # One below the other C, s, r and b, the middle two as multiples of the identity: forward is one product.
        self._all = np.zeros((samples + 2 * h + 1, h), weight.dtype)
        self.coefficients = Parameter(self._all[:samples])
        self.coefficients.data = self._all[:samples]  # not the copy that a Parameter makes: the optimizer moves this
        self._diagonals = [self._all[start : start + h].reshape(-1)[:: h + 1] for start in (samples, samples + h)]
        self.scales = Parameter(np.array([1, 0], weight.dtype))
        self.bias = dense.bias

    def forward(self, x: Array) -> Array:
        """Return `G C + s X W(0).T + r X V(0).T + b`."""
        for diagonal, scale in zip(self._diagonals, self.scales.data, strict=True):
            diagonal[:] = scale
        if self.bias is not None:
            self._all[-1] = self.bias.data
        self.save_for_backward()
        return np.matmul(x, self._all, out=self.new_array((len(x), self._all.shape[1]), self._all.dtype))

    def backward_parameters(self, grad_output: Array) -> None:
        """Write `dC = dZ` and `db`; the gradient moves W along the samples alone, so that of the scales is 0."""
        self.saved_for_backward()
        self.coefficients.grad = grad_output
        self.scales.grad = np.zeros_like(self.scales.data)
        if self.bias is not None:
            self.bias.grad = np.ones(len(grad_output), grad_output.dtype) @ grad_output


class Dual(Direct):
    """How a run trains with the first Dense in its dual form; the model's own weights follow when they are wanted."""

    def __init__(
        self,
        parts: Parts,
        model: Module,
        network: Network,
        optimizer: Optimizer,
        batches: Batches,
        validation: Validation,
    ) -> None:
        self._front, self._dense, self._rest, self._sgd = parts
        self._layer = DualLayer(self._dense, len(batches.y))
        self._synced: tuple[Array, Array]
        super().__init__(model, network, optimizer, batches, validation)

    def _prepare(self) -> None:
        self.network = self.network._replace(body=Sequential(self._layer, *self._rest))
        self._dual_sgd = self._dual_optimizer()
        self._sets = [self._own_x.reshape(len(self._own_x), -1)]
        self._features = [self._inner_products(self._sets[0])]
        self.batches = Batches(self._features[0], self.batches.y)
        if self.validation is not None:
            self._sets.append(self.validation[0].reshape(len(self.validation[0]), -1))
            self._features.append(self._inner_products(self._sets[1]))
            self.validation = (self._features[1], self.validation[1])
        self.rebase()

    def _dual_optimizer(self) -> SGD:
        """Return the same descent for C and the scales in place of W; what it remembers of the others is shared."""
        own, weight = self._sgd, self._dense.weight
        self._weight_index = next(i for i, parameter in enumerate(own.parameters) if parameter is weight)
        others = [i for i in range(len(own.parameters)) if i != self._weight_index]
        parameters = [self._layer.coefficients, self._layer.scales, *(own.parameters[i] for i in others)]
        sgd = SGD(parameters, own.learning_rate, own.momentum, own.nesterov, own.weight_decay)
        sgd.state[2:] = [own.state[i] for i in others]
        return sgd

    def step(self) -> None:
        """Move C, the scales and all other parameters once."""
        self._dual_sgd.learning_rate = self._sgd.learning_rate
        self._dual_sgd.step()
        self._sgd.steps += 1

    def sync(self) -> None:
        """Write the weight, and its velocity, as the dual form has it now."""
        state = (self._layer.coefficients.data, self._layer.scales.data)
        if all(map(np.array_equal, state, self._synced)):
            return
        self._write_combination(*state, self._base, self._dense.weight.data)
        if self._sgd.momentum:
            (c_velocity,), (s_velocity,) = self._dual_sgd.state[:2]
            self._write_combination(c_velocity, s_velocity, self._base, self._sgd.state[self._weight_index][0])
        self._synced = (state[0].copy(), state[1].copy())
        self._shown = self._dense.weight.data.copy()

    def model_changed(self) -> bool:
        """Tell whether the weight is no longer what `sync` wrote."""
        return not np.array_equal(self._dense.weight.data, self._shown)

    def rebase(self) -> None:
        """Take the weight and its velocity as the new W(0) and V(0), and C as 0."""
        velocity = self._sgd.state[self._weight_index][0].copy() if self._sgd.momentum else None
        self._shown = self._dense.weight.data.copy()
        self._base: Base = (self._shown, velocity)
        self._layer.coefficients.data[...] = 0
        self._layer.scales.data[...] = (1, 0)
        if self._sgd.momentum:
            self._dual_sgd.state[0][0][...] = 0
            self._dual_sgd.state[1][0][...] = (0, 1)
        self._synced = (self._layer.coefficients.data.copy(), self._layer.scales.data.copy())
        n, h = self._layer.coefficients.shape
        for samples, features in zip(self._sets, self._features, strict=True):
            features[:, n:-1] = 0
            for columns, block in self._blocks(samples):
                features[:, n : n + h] += block @ self._shown[:, columns].T
                if velocity is not None:
                    features[:, n + h : -1] += block @ velocity[:, columns].T

    def snapshot(self) -> Callable[[], dict[str, Array]]:
        """Keep C, the scales and all other arrays, and write the weight from them only when it is wanted."""
        weight, layer = self._dense.weight, self._layer
        name = next(name for name, holder in self.model.named_state() if holder is weight)
        others = {key: holder.data.copy() for key, holder in self.model.named_state() if holder is not weight}
        coefficients, scales = layer.coefficients.data.copy(), layer.scales.data.copy()
        base = self._base
        order = [key for key, _ in self.model.named_state()]

        def state_dict() -> dict[str, Array]:
            written = np.empty_like(weight.data)
            self._write_combination(coefficients, scales, base, written)
            everything = {**others, name: written}
            return {key: everything[key] for key in order}

        return state_dict

    def _inner_products(self, samples: Array) -> Array:
        """Return room for one row a sample, `[X x | W(0) x | V(0) x | 1]`, with the first and last part filled in."""
        n, h = self._layer.coefficients.shape
        features = np.zeros((len(samples), n + 2 * h + 1), self._layer.coefficients.data.dtype)
        features[:, -1] = 1
        if samples is self._sets[0]:
            for _, block in self._blocks(samples):  # with its own transpose, which NumPy sees, for half the work
                features[:, :n] += block @ block.T
        else:
            for (_, block), (_, own) in zip(self._blocks(samples), self._blocks(self._sets[0]), strict=True):
                features[:, :n] += block @ own.T
        return features

    def _write_combination(self, coefficients: Array, scales: Array, base: Base, out: Array) -> None:
        """Write `s W(0) + r V(0) + C.T X` into `out`."""
        weight, velocity = base
        for columns, block in self._blocks(self._sets[0]):
            out[:, columns] = coefficients.T @ block + scales[0] * weight[:, columns]
            if velocity is not None:
                out[:, columns] += scales[1] * velocity[:, columns]

    def _blocks(self, samples: Array) -> Iterator[tuple[slice, Array]]:
        """Yield runs of columns of the samples as the first Dense sees them, floating numbers made of pixels."""
        for start in range(0, samples.shape[1], COLUMNS):
            columns = slice(start, start + COLUMNS)
            block = samples[:, columns]
            for layer in self._front:
                if type(layer) is Rescale:
                    block = layer.forward(block)
            yield columns, block.astype(self._dense.weight.data.dtype, copy=False)
