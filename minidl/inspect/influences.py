"""Influences: which training photographs made a unit of the first layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minidl._samples import as_samples
from minidl._typing import Array
from minidl._validation import check_finite, is_natural, non_negative_number, positive_number, shown
from minidl.inspect._first_layer import first_layer, rows_of
from minidl.module import Module
from minidl.training.rewrites.wide_samples import WideSamples
from minidl.training.span import Span

ROUNDINGS = 100  # a change below so many rounding errors of the weight is none: the residual is relative to these


class Parts(NamedTuple):
    """What the first layer's answers to some photographs consist of.

    Formula: `z_u = sum_i C_iu s_i + scale W_u(0) x + b_u` for unit u, with the similarity `s_i = x_i x` to training
    photograph i.

    Attributes: `similarities` (photographs, samples), `learned` (photographs, samples, units) the terms of the sum,
    `initial` (photographs, units), `bias` (units,), `total` (photographs, units) the sum of all.
    """

    similarities: Array
    learned: Array
    initial: Array
    bias: Array
    total: Array


@dataclass(frozen=True)
class Influences:
    """The learned change of each unit as a weighted sum of the training photographs.

    Attributes: `coefficients` C (samples, units), in float64, where `W = scale W(0) + C.T X`; `residual` (units,), how
    much of the change is not in the sum, `|W - scale W(0) - C.T X| / |W - scale W(0)|`, of a unit that has hardly
    changed relative to what may be rounding; `units`, the numbers of the units; `is_exact`, whether C is what training
    in the dual form computed with, not a solution found afterwards.
    """

    coefficients: Array
    residual: Array
    units: tuple[int, ...]
    scale: float
    is_exact: bool
    _initial: Array
    _bias: Array
    _constant: tuple[Module, ...]
    _samples: WideSamples

    def strongest(self, unit: int, count: int = 10) -> Array:
        """Return the numbers of the photographs with the largest coefficients of a unit in size, the largest first.

        Raises: ValueError for a unit that is not among `units`.
        """
        if unit not in self.units:
            raise ValueError(f"unit: expected one of {shown(self.units)}, received {shown(unit)}")
        sizes = np.abs(self.coefficients[:, self.units.index(unit)])
        return np.argsort(-sizes, kind="stable")[:count]

    def parts(self, x: Any) -> Parts:
        """Return what the units' answers to photographs `x` (batch, ...), as the network takes them, consist of."""
        rows = rows_of(x, self._constant, "x")
        samples = self._samples
        if rows.features != samples.features:
            raise ValueError(f"x: expected samples of {samples.features} numbers, received {np.shape(x)}")
        similarities = np.zeros((len(rows), len(samples)))
        initial = np.zeros((len(rows), len(self.units)))
        with np.errstate(all="ignore"):
            for (_, columns, block), (_, _, own) in zip(samples.blocks(), rows.blocks(), strict=True):
                similarities += own @ block.T
                initial += own @ (self.scale * self._initial[:, columns]).T
            learned = similarities[:, :, None] * self.coefficients
            total = learned.sum(axis=1) + initial + self._bias
        check_finite(total, "x: the units' answers")
        return Parts(similarities, learned, initial, self._bias, total)

    def __repr__(self) -> str:
        kind = "from the dual form" if self.is_exact else "solved"
        return (
            f"Influences({self.coefficients.shape[0]} samples, {len(self.units)} units, {kind}, residual up to "
            f"{self.residual.max():.2g})"
        )


def influences(
    trained: Any,
    initial: Any,
    x_train: Any,
    unit: int | Sequence[int] | None = None,
    *,
    span: Span | None = None,
    scale: float = 1.0,
    regularization: float = 1e-12,
) -> Influences:
    """Return the learned change of each unit of the first Dense as a weighted sum of the training photographs.

    Formula: each gradient of the weight is `dZ.T X`, so that gradient descent leaves `W = s W(0) + C.T X`: unit u has
    changed by `sum_i C_iu x_i`. With `span`, C and s are what a run in the dual form ended with. Else C solves the
    least squares `min |W - s W(0) - C.T X|^2 + r |C|^2`, by the Gram matrix `G = X X.T` in float64,
    `C = (G + r I)^-1 X (W - s W(0)).T`, where r is `regularization` times the largest eigenvalue of G. The residual
    says what the sum leaves out: next to nothing after gradient descent from `initial` on these samples alone, much
    after Adam, clipping or augmentation.

    What it is: how often, and with which sign, the pixels of a photograph were added to the unit's weights, summed over
    all steps. What it is not: the unit that training without this photograph would have made. All other coefficients
    would then differ, too. Photographs that are nearly equal, or more of them than pixels, share their coefficients in
    a way that the formula does not tell apart.

    Arguments: `trained` and `initial` are networks whose first layer, behind Rescale, Normalize and Flatten, is a
    Dense, or such a layer, or its weights (units, features); of networks, `x_train` (n, ...) are samples as these take
    them, else as the layer does. `unit` is a number, several, or None for all. `span` is `trainer.run.span`. `scale` s
    is, of SGD with weight decay without `span`, the product of all `1 - learning_rate * weight_decay`, else 1.

    Raises: TypeError for another kind of network or layer; ValueError for shapes that do not fit, for numbers that are
    not finite, and for a unit that there is none of.

    Source: Kimeldorf and Wahba, Some results on Tchebycheffian spline functions (1971).

    >>> from copy import deepcopy
    >>> from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
    >>> model, x = mlp([8, 2, 1], rng=0), np.eye(4, 8, dtype=np.float32)
    >>> initial, trainer = deepcopy(model), Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 1.0))
    >>> history = trainer.fit(x, [0, 1, 0, 1], 10, print_every=None, dual=True)
    >>> influences(model, initial, x, span=trainer.run.span).coefficients.shape
    (4, 2)
    """
    constant, weight, bias = first_layer(trained, "trained")
    _, start, _ = first_layer(initial, "initial")
    if weight.shape != start.shape:
        raise ValueError(f"initial: expected weights of shape {weight.shape}, received {start.shape}")
    given = as_samples(x_train, "x_train")
    samples = rows_of(given[:] if given.shape else given, constant, "x_train")
    if samples.features != weight.shape[1]:
        raise ValueError(f"x_train: expected samples of {weight.shape[1]} numbers, received {samples.features}")
    units = _units(unit, len(weight))
    chosen = list(units)
    regularization = non_negative_number(regularization, "influences regularization")
    scale = positive_number(scale, "influences scale") if span is None else span.scale
    dtype = weight.dtype if weight.dtype.kind == "f" else np.dtype(np.float64)
    weight, start = weight[chosen].astype(np.float64), start[chosen].astype(np.float64)
    if span is not None and (len(span.coefficients) != len(samples) or span.coefficients.shape[1] <= max(units)):
        raise ValueError(
            f"span: expected coefficients of {len(samples)} samples, received shape {span.coefficients.shape}"
        )
    with np.errstate(all="ignore"):
        change = weight - scale * start
        coefficients = _solved(samples, change, regularization) if span is None else span.coefficients[:, chosen]
        coefficients = coefficients.astype(np.float64)
        rounding = ROUNDINGS * np.finfo(dtype).eps * np.linalg.norm(weight, axis=1)
        residual = _residual(samples, change, coefficients, rounding)
    if not (np.isfinite(residual).all() and np.isfinite(coefficients).all()):
        raise ValueError("influences: expected numbers whose squares float64 holds, received larger ones")
    return Influences(
        coefficients, residual, units, scale, span is not None, start, bias[chosen], tuple(constant), samples
    )


def _solved(samples: WideSamples, change: Array, regularization: float) -> Array:
    """Return the least squares' coefficients (samples, units)."""
    gram, products = np.zeros((len(samples), len(samples))), np.zeros((len(samples), len(change)))
    for _, columns, block in samples.blocks():
        gram += block @ block.T
        products += block @ change[:, columns].T
    if not (np.isfinite(gram).all() and np.isfinite(products).all()):
        return np.full(products.shape, np.nan)  # which the caller refuses
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    least = max(regularization, float(np.finfo(np.float64).eps) * len(samples)) * values.max()
    inverse = 1 / (values + least) if least > 0 else np.zeros_like(values)
    solved: Array = vectors @ (inverse[:, None] * (vectors.T @ products))
    return solved


def _residual(samples: WideSamples, change: Array, coefficients: Array, rounding: Array) -> Array:
    """Return for each unit what part of its change, or of what may be rounding, is not in the sum."""
    left = np.zeros(len(change))
    for _, columns, block in samples.blocks():
        left += np.square(change[:, columns] - coefficients.T @ block).sum(axis=1)
    whole = np.maximum(np.linalg.norm(change, axis=1), rounding)
    return np.sqrt(left) / np.where(whole > 0, whole, 1)


def _units(unit: int | Sequence[int] | None, count: int) -> tuple[int, ...]:
    given: Any = range(count) if unit is None else unit if isinstance(unit, (list, tuple, range)) else [unit]
    if len(given) == 0 or not all(is_natural(one) and one < count for one in given):
        raise ValueError(f"influences unit: expected numbers of units below {count}, received {shown(unit)}")
    return tuple(int(one) for one in given)
