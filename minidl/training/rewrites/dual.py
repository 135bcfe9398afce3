"""The dual form of a wide first layer: gradient descent in the span of the samples.

Let X (n, d) hold the n samples, one a row, and W (h, d) be the first layer's weight. The gradient of the loss with
respect to W is `dZ.T X`, a combination of the samples, so that gradient descent never leaves

    W(t) = s(t) W(0) + C(t).T X        with C (n, h), C(0) = 0, s(0) = 1

and everything a step needs can be had from C and the Gram matrix of the samples, `G = X X.T` (n, n), formed once:

    forward    Z = X W(t).T + b = G C + s X W(0).T + b
    backward   dW = dZ.T X      becomes      dC = dZ
    update     C <- C - learning_rate dC

An epoch makes some n^2 h multiplications in place of the 2 n d h of the direct form. A mini-batch takes its rows of G,
and its gradient is 0 in all other rows of C. Momentum and weight decay keep the form, because they are linear in the
gradient and in W: they act on C and s as they would on W.
If a velocity V(0) is there from the start, `W(t) = s W(0) + r V(0) + C.T X`, with the velocity of r being 1.

Samples outside memory are read in parts: for G once, but for those that are read row by row and do not fit into one
part; once more for `X W(0).T`, and once whenever W is read, as it is at the end; twice for a checkpoint, from whose W
the run goes on. An epoch reads none of them. Where they can no longer be read at the end, `fit` raises what reading
them raises, and W is as it was last read.

This is the representer theorem at work; scikit-learn's linear models know it as `dual`. Source: Kimeldorf and Wahba,
Some results on Tchebycheffian spline functions (1971).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Literal, NamedTuple

from minidl._samples import JointSamples
from minidl._typing import Array
from minidl.containers import Sequential
from minidl.data.batches import Batches
from minidl.layers import Dense, Flatten
from minidl.module import Module
from minidl.ops import tuning
from minidl.optimizers import SGD
from minidl.parameter import Parameter
from minidl.training.checked_slices import CheckedSlices
from minidl.training.problem import Problem
from minidl.training.rewrites.constant_inputs import BatchesBehind, constant_layers
from minidl.training.rewrites.dual_layer import DualLayer, DualSGD, extra_inputs
from minidl.training.rewrites.dual_weights import DualWeights
from minidl.training.rewrites.layers import layers_of
from minidl.training.rewrites.sample_parts import passes_over
from minidl.training.rewrites.wide_samples import WideSamples


class Parts(NamedTuple):
    """A network and its optimizer, taken apart for the dual form."""

    constant: list[Module]
    dense: Dense
    rest: list[Module]
    sgd: SGD


def dual_form(problem: Problem, dual: bool | Literal["auto"], epochs: int, weight_reads: int = 0) -> Problem:
    """Return the problem with its first Dense in the dual form, or as it is.

    Arguments: `dual` is False for never, True for always, "auto" for where it is possible and pays, as `pays` says.

    Raises: ValueError for `dual=True` where it is not possible, and for other values.
    """
    if dual not in ("auto", True, False):
        raise ValueError(f"dual: expected 'auto', True or False, received {dual!r}")
    if dual is False:
        return problem
    try:
        parts = take_apart(problem)
    except ValueError as obstacle:
        if dual is True:
            raise ValueError(f"dual=True: {obstacle}") from None
        return problem
    return in_dual_form(problem, parts) if dual is True or pays(problem, parts, epochs, weight_reads) else problem


def pays(problem: Problem, parts: Parts, epochs: int, weight_reads: int) -> bool:
    """Return whether the dual form saves work in so many epochs, within the memory that it may take by itself.

    A row of the dual form may take no more memory than a sample. Samples outside memory must be known to be the same
    whenever they are read, the direct form must read them more often, with the `weight_reads` of checkpoints counted,
    and their rows may take `gram_bytes`, and as much again while they are formed.
    """
    if not saves_work(problem, parts.dense, epochs, weight_reads):
        return False
    x, outside = problem.batches.x, _outside_memory(problem)
    row_bytes = row_length(problem, parts.dense) * parts.dense.dtype.itemsize
    is_too_large = sum(map(len, outside)) * row_bytes > tuning.TUNING.gram_bytes
    if is_too_large or not all(samples.is_constant for samples in outside):
        return False
    if row_bytes > parts.dense.in_features * (x.itemsize if isinstance(x, CheckedSlices) else x.dtype.itemsize):
        return False
    rows = sum(  # each part of x is multiplied with all validation samples, read anew
        len(samples) * (passes_over(x) + 2 + weight_reads if samples is x else 2 * passes_over(x) + weight_reads / 2)
        for samples in outside
    )
    return not outside or rows < epochs * sum(map(len, outside))


def saves_work(problem: Problem, dense: Dense, epochs: int, weight_reads: int) -> bool:
    """Return whether the dual form saves more multiplications in so many epochs than it adds.

    For n samples and m validation samples of d numbers, and rows of r numbers in their place, these are

        in each epoch    direct    2 n d h + m d h      (n d h + m d h where W is frozen: it has no gradient)
                         dual      n r h + m r h + `Tuning.dual_step` for each batch
        once, dual       n^2 d / 2 for the Gram matrix, m n d for the products with the validation samples,
                         (n + m) d h for those with W(0), and n d h for each time that W is read:
                         at the end, and `weight_reads` times by checkpoints
    """
    n, d, h = len(problem.batches.y), dense.in_features, dense.out_features
    m = 0 if problem.validation is None else len(problem.validation[0])
    direct = ((1 if dense.weight.frozen else 2) * n + m) * d * h
    dual = (n + m) * row_length(problem, dense) * h + len(problem.batches) * tuning.TUNING.dual_step
    once = n * n * d / 2 + m * n * d + (n + m) * d * h + (1 + weight_reads) * n * d * h
    return epochs * (direct - dual) > once


def row_length(problem: Problem, dense: Dense) -> int:
    """Return how many numbers the dual form has in place of a sample."""
    return len(problem.batches.y) + extra_inputs(dense)


def take_apart(problem: Problem) -> Parts:
    """Return the parts of a problem that can be trained in the dual form.

    Raises: ValueError that says why it cannot.
    """
    optimizer, batches, n = problem.optimizer, problem.batches, len(problem.batches.y)
    if not batches.is_counted:
        raise ValueError("the samples must be arrays, received batches (x, y)")
    if not all(samples.prefetch for samples in _outside_memory(problem)):
        raise ValueError("any thread must be able to read the samples, received some with prefetch = False")
    if len(batches.x) < n and _outside_memory(problem):
        raise ValueError("samples that several processes share must be in memory, received others")
    if batches.augment is not None:
        raise ValueError("the samples must stay the same from epoch to epoch, received an augment")
    if type(optimizer) is not SGD or optimizer.max_gradient_norm is not None:
        raise ValueError(f"the step must be linear in the gradient, SGD without clipping, received {optimizer!r}")
    layers = layers_of(problem.model)
    constant = constant_layers(layers)
    dense = layers[len(constant)] if len(constant) < len(layers) else None
    if type(dense) is not Dense or type(dense.weight) is not Parameter:
        raise ValueError(f"only Rescale, Normalize and Flatten may stand before the first Dense, received {dense!r}")
    if len(batches.x.shape) != 2 and not any(type(layer) is Flatten for layer in constant):
        raise ValueError(f"a sample must be a row of numbers, received samples {tuple(batches.x.shape)}")
    if dense.in_features <= n:
        raise ValueError(f"the first Dense must be wider than the set is long, received {dense!r} for {n} samples")
    if not any(parameter is dense.weight for parameter in optimizer.parameters):
        raise ValueError(f"the optimizer must move the weight of {dense!r}")
    return Parts(constant, dense, layers[len(constant) + 1 :], optimizer)


def in_dual_form(problem: Problem, parts: Parts) -> Problem:
    """Return the problem of C and s in place of W, fed with rows of the Gram matrix in place of the samples."""
    constant, dense, rest, sgd = parts
    fixed = deepcopy(constant)  # as W is computed from C with the samples that trained it
    batches, validation = problem.batches, problem.validation
    samples = WideSamples(batches.all_samples(), fixed, dense.weight.data.dtype)
    # Where several processes train together, each has the rows of the Gram matrix that belong to its own samples.
    fed = [samples if len(batches.x) == len(samples) else samples.others(batches.x)]
    if validation is not None:
        fed.append(samples.others(validation[0]))
    layer = DualLayer(dense, len(samples))
    features = [part.products_with(samples, extra_columns=layer.extra_inputs) for part in fed]
    optimizer = DualSGD(sgd, dense.weight, layer)
    return replace(
        problem,
        model=Sequential(layer, *rest),
        optimizer=optimizer,
        batches=BatchesBehind(constant, _batches_of(features[0], batches)),
        validation=None if validation is None else (features[1], validation[1]),
        weights_elsewhere=DualWeights(dense.weight, layer, optimizer, samples, zip(fed, features, strict=True)),
    )


def _batches_of(features: Array, batches: Batches) -> Batches:
    """Return the same batches of rows of features, with the numbers of their samples where a batch has not all."""
    has_all = batches.batch_size is None and len(features) == len(batches.y)
    return batches.with_samples(features if has_all else JointSamples([features, batches.numbers]))


def _outside_memory(problem: Problem) -> list[CheckedSlices]:
    """Return the samples, of training and of validation, that are read as they are sliced."""
    x = (problem.batches.x, *(problem.validation or ())[:1])
    return [samples for samples in x if isinstance(samples, CheckedSlices)]
