"""Saliency: which numbers of an input move the answer of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._samples import each, leaves
from minidl._typing import Array, Seed
from minidl._validation import as_generator, check_finite, is_natural, non_negative_number, shown, whole_number
from minidl.inspect._passes import Passes, batch_of
from minidl.layers import Embedding, LogSoftmax, Sigmoid, Softmax
from minidl.module import Module
from minidl.training.rewrites.layers import computes_as, last_layer

Answer = int | Sequence[int] | None


def saliency(model: Module, x: Any, of: Answer = None, smooth: int = 0, noise: float = 0.1, rng: Seed = None) -> Any:
    """Return the gradient of one of the network's answers with respect to its input.

    Formula: `dz_k / dx`, with z_k the logit of class k: what goes into the Sigmoid, Softmax or LogSoftmax that the
    network ends in, or its output where it ends in none of them. The probability's own gradient would vanish where the
    network is sure. With `smooth` it is the mean over so many copies of x, each with normal noise of its own, whose
    deviation is `noise` times the range of that sample's numbers. All is computed as `predict` does: Dropout drops
    nothing, BatchNorm takes its running statistics. The network stays as it is.

    Shapes: `x` (batch, ...) or one sample (...), or a tuple of inputs; the result as `x`, in the network's precision.

    Arguments: `of` is the class, of a network of one output 1 for its logit, as None, and 0 for minus its logit; None
    is the class of the largest output, of each sample its own, also for all noisy copies. For outputs of more axes it
    is the place of a number in a sample's output, such as (row, column, class). `smooth=0` is without noise; `rng` is
    a seed or a generator for it.

    Raises: ValueError for tokens, which no small step leads away from; for an `of` that is no place in the output;
    for other arguments outside these ranges; and for gradients that are not finite.

    Source: Simonyan et al., Deep inside convolutional networks (2014); Smilkov et al., SmoothGrad (2017).

    >>> from minidl import mlp
    >>> saliency(mlp([3, 4, 2], rng=0), [0.5, -0.5, 1.0], of=1).shape
    (3,)
    """
    smooth = whole_number(smooth, "saliency smooth")
    if smooth < 0:
        raise ValueError(f"saliency smooth: expected a whole number of at least 0, received {smooth}")
    noise, rng = non_negative_number(noise, "saliency noise"), as_generator(rng)
    passes = Passes(model)
    x, is_sample = batch_of(model, x)
    dtype = next((parameter.data.dtype for parameter in model.parameters()), np.dtype(np.float32))
    x = each(lambda part: part if part.dtype.kind == "f" else part.astype(dtype), x)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        gradient = _gradient(passes, x, of, smooth, noise, rng)
    for part in leaves(gradient):
        check_finite(part, "saliency: the gradient")
    return each(lambda part: part[0], gradient) if is_sample else gradient


def _gradient(passes: Passes, x: Any, of: Answer, smooth: int, noise: float, rng: np.random.Generator) -> Any:
    """Return the gradient with respect to a batch, or its mean over noisy copies, in the precision of the passes."""
    seed = _seed(passes, x, of)
    if smooth == 0:
        return each(np.array, passes.backward(seed))
    total: Any = each(lambda part: np.zeros(part.shape, np.float64), x)
    for _ in range(smooth):
        passes.forward(each(lambda part: _noisy(part, noise, rng), x))
        total = each(np.add, total, passes.backward(seed))
    return each(lambda part: (part / smooth).astype(seed.dtype), total)


def _seed(passes: Passes, x: Any, of: Answer) -> Array:
    """Return the gradient of the chosen numbers, logits where there are some, with respect to the output."""
    logits = passes.forward(x)
    for _, module in passes.model.named_modules():
        if isinstance(module, Embedding) and id(module) in passes.calls:
            raise ValueError(f"saliency x: expected numbers that change smoothly, received tokens for {module!r}")
    last = last_layer(passes.model)
    if last is not passes.model and any(computes_as(last, kind) for kind in (Sigmoid, Softmax, LogSoftmax)):
        logits = passes.inputs[id(last)]
        passes.replace_backward(last, lambda grad_output: grad_output)
    seed = np.zeros_like(logits)
    rows = np.arange(len(logits))
    places, sign = _places(logits, of)
    seed[(rows, *places)] = sign
    return seed


def _places(logits: Array, of: Answer) -> tuple[tuple[Any, ...], float]:
    """Return the indices of the chosen number in each sample's logits, and its sign."""
    shape = logits.shape[1:]
    if shape in ((), (1,)) and (of is None or (is_natural(of) and of in (0, 1))):
        return tuple(0 for _ in shape), -1.0 if of == 0 else 1.0
    if len(shape) == 1 and shape != (1,) and of is None:
        return (logits.argmax(axis=1),), 1.0
    place = tuple(of) if isinstance(of, (tuple, list)) else (of,)
    fits = len(place) == len(shape) and all(
        is_natural(index) and index < side for index, side in zip(place, shape, strict=True)
    )
    if not fits:
        expected = "0, 1 or None" if shape in ((), (1,)) else f"a place in a sample's output {shape}"
        raise ValueError(f"saliency of: expected {expected}, received {shown(of)}")
    return place, 1.0


def _noisy(x: Array, noise: float, rng: np.random.Generator) -> Array:
    """Return samples with normal noise, whose deviation is a share of the range of each one's numbers."""
    axes = tuple(range(1, x.ndim))
    spread = x.max(axis=axes, keepdims=True) - x.min(axis=axes, keepdims=True)
    noisy: Array = x + (noise * spread * rng.standard_normal(x.shape)).astype(x.dtype)
    return noisy
