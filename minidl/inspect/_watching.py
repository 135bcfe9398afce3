"""Watching: what a Recorder reads off a run, without pulling weights that are trained in the dual form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._samples import each
from minidl._typing import Array
from minidl.inspect._reduction import factor_of, reduced
from minidl.layers import Conv1D, Conv2D, Dense, ReLU, ReLU6
from minidl.training import Run
from minidl.training.problem import Problem, WeightsElsewhere
from minidl.training.rewrites.constant_inputs import constant_layers
from minidl.training.rewrites.layers import layers_of
from minidl.training.rewrites.wide_samples import Combination, WideSamples

SAMPLES = 128  # of the training set, evenly spaced, on which dead units are looked for
NUMBERS = 2048  # at most, of a layer's output for one photograph
CHANNELS = 16  # at most, of an output that is a picture
UNITS = 64  # at most, of the first layer


class Watching:
    """Reads activations, weights, norms of gradients and dead units of a run at any moment of it.

    In the dual form nothing is pulled: activations go through the rewritten network, and as a mean over pixels is
    linear, the weight's thumbnail is the same combination of the samples' thumbnails.
    """

    def __init__(self, run: Run, photographs: Array | None, shape: tuple[Any, ...], side: int) -> None:
        self._run, self._shape, self._side = run, shape, side
        self._problem: Problem = run.problem
        self._elsewhere: WeightsElsewhere | None = run.problem.weights_elsewhere
        layers = layers_of(run.model)
        constant = constant_layers(layers)
        self._first = layers[len(constant)] if len(constant) < len(layers) else None
        skipped = {id(layer) for layer in constant}
        self._paths = {id(module): path for path, module in run.model.named_modules() if id(module) not in skipped}
        self._photographs: Any = photographs
        self._thumbnails = _Thumbnails(shape, side)
        self._rows = None if self._elsewhere is not None else _some(self._problem.batches.x)
        if self._elsewhere is not None:
            self._paths[id(layers_of(self._problem.model)[0])] = run.model.path_of(self._first)
            if photographs is not None:
                self._photographs = self._elsewhere.watch(photographs)

    def activations(self) -> dict[str, Array]:
        """Return the outputs of all layers for the photographs, by path, large ones reduced."""
        if self._photographs is None:
            return {}
        outputs: dict[str, Array] = {}

        def note(module: Any, _: Any, output: Array) -> None:
            path = self._paths.get(id(module))
            if path is not None and not any(module.named_children()):
                outputs[path] = bounded(output)

        problem = self._problem
        with calling(training=False, observer=note), np.errstate(all="ignore"):
            if self._elsewhere is None:
                self._run.model(self._photographs)
            else:
                output = problem.model(self._photographs)
                if problem.activation is not None:
                    problem.activation(output)
        return outputs

    def dead(self) -> dict[str, Array]:
        """Return, by path, which units of each ReLU are 0 for all of the samples looked at."""
        found: dict[str, Array] = {}

        def note(module: Any, _: Any, output: Array) -> None:
            if isinstance(module, (ReLU, ReLU6)) and id(module) in self._paths:
                found[self._paths[id(module)]] = output.max(axis=tuple(range(output.ndim - 1))) <= 0

        with calling(training=False, observer=note), np.errstate(all="ignore"):
            self._problem.model(_some(self._problem.batches.x) if self._rows is None else self._rows)
        return found

    def gradient_norms(self) -> dict[str, float]:
        """Return the norm of each parameter's gradient in the last step, by name."""
        norms: dict[str, float] = {}
        for name, parameter in self._run.model.named_parameters():
            if self._elsewhere is not None and parameter is self._elsewhere.weight:
                norm = self._elsewhere.gradient_norm()
            else:
                norm = None if parameter.grad is None else float(np.linalg.norm(parameter.grad.astype(np.float64)))
            if norm is not None:
                norms[name] = norm
        return norms

    def weights(self) -> Callable[[], Array] | None:
        """Return what gives the first layer's weights of now (units, ...), of a Dense over pictures reduced pictures.

        In the dual form that is a product of small matrices, which need not be formed while training waits.
        """
        if isinstance(self._first, (Conv1D, Conv2D)):
            kernels = self._first.weight.data[:UNITS].copy()
            return (lambda: kernels) if kernels[0].size <= 3 * self._side**2 else None
        if not isinstance(self._first, Dense):
            return None
        is_picture = len(self._shape) == 3 and math.prod(self._shape) == self._first.in_features
        if not is_picture and self._first.in_features > 3 * self._side**2:
            return None
        thumbnails = self._thumbnails
        reduce = thumbnails.reduce if is_picture else np.copy
        shape = thumbnails.small_shape() if is_picture else (self._first.in_features,)
        if self._elsewhere is None:
            rows: Array = reduce(self._first.weight.data[:UNITS])
            return lambda: rows.reshape(-1, *shape)
        combination = self._elsewhere.lazy_copies()[id(self._elsewhere.weight)]
        return lambda: thumbnails.of(combination, reduce)[:UNITS].reshape(-1, *shape)


class _Thumbnails:
    """Small pictures of weights: the samples and W(0) are reduced once, when the first one is asked for."""

    def __init__(self, shape: tuple[Any, ...], side: int) -> None:
        self._shape, self._side = shape, side
        self._samples: tuple[WideSamples, WideSamples] | None = None
        self._bases: dict[int, tuple[Array, Array]] = {}

    def small_shape(self) -> tuple[int, ...]:
        """Return the shape of a thumbnail."""
        height, width, channels = self._shape
        factor = factor_of(height, width, self._side)
        return math.ceil(height / factor), math.ceil(width / factor), channels

    def reduce(self, rows: Array) -> Array:
        """Return thumbnails as rows, of rows (n, height * width * channels)."""
        return reduced(rows.reshape(len(rows), *self._shape), self._side).reshape(len(rows), -1)

    def of(self, combination: Combination, reduce: Callable[[Array], Array]) -> Array:
        """Return the thumbnails of a weight in the dual form, as rows."""
        if self._samples is None or self._samples[0] is not combination.samples:
            self._samples = combination.samples, combination.samples.reduced(reduce)
        return np.asarray(combination.reduced(self._samples[1], lambda base: self._once(reduce, base)))

    def _once(self, reduce: Callable[[Array], Array], base: Array) -> Array:
        """Return `reduce(base)`, kept for as long as the dual form has this W(0) or V(0)."""
        known = self._bases.get(id(base))
        if known is None or known[0] is not base:
            if len(self._bases) > 1:
                self._bases.clear()
            known = self._bases[id(base)] = base, reduce(base)
        return known[1]


def bounded(output: Array) -> Array:
    """Return a layer's output with at most NUMBERS numbers a sample: pictures reduced, others cut off.

    >>> bounded(np.zeros((2, 64, 64, 32), np.float32)).shape, bounded(np.zeros((2, 3000), np.float32)).shape
    ((2, 11, 11, 16), (2, 2048))
    """
    if output.ndim == 4:
        channels = min(output.shape[3], CHANNELS)
        return reduced(output[..., :channels], math.isqrt(NUMBERS // channels))
    if math.prod(output.shape[1:]) <= NUMBERS:
        return output.copy()
    if output.ndim == 3:
        steps = math.isqrt(NUMBERS)
        return output[:, :steps, : NUMBERS // steps].copy()
    return output.reshape(len(output), -1)[:, :NUMBERS].copy()


def _some(x: Any) -> Any:
    """Return some of the samples, evenly spaced."""
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), SAMPLES)).round().astype(int))
    return each(np.asarray, x[rows])
