"""Scaled dot-product attention, whose scores are never in memory all at once.

The scores of a sequence of T steps are T x T numbers for each head, which for long sequences is far more than all else.
Both passes make them for some sequences, or for some rows of one sequence, at a time, and forget them: the forward pass
keeps two numbers of each row, its largest score and the sum of the exponentials of the others less it, from which the
backward pass makes the weights anew (Dao et al., FlashAttention, 2022).

Arrays are (batch, heads, time, width), and may be views; a mask is (batch, time), True where a step is real.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minidl._typing import Array
from minidl.ops import tuning
from minidl.ops.buffers import empty
from minidl.ops.parallel import in_blocks

SAFE = 30.0  # scores up to this size need not be shifted before `exp`: e^30 times any number of rows is far from 10^38


Rows = tuple[Array, "Array | None", Array]
"""The output, the largest score of each row, None where `SAFE` holds, and the logarithms of the sums of exponentials of
the scores less it: added up, the two would lose what tells the weights apart."""


def attention_forward(q: Array, k: Array, v: Array, *, causal: bool, mask: Array | None) -> Rows:
    """Return `softmax(q k.T) v`, and what the backward pass needs of each row.

    Arguments: with `causal`, a query has a weight for its own step and those before it; `q` holds the last of the steps
    of `k`. A row for which nothing is real is 0.

    >>> q = k = v = np.ones((1, 1, 2, 3))
    >>> attention_forward(q, k, v, causal=True, mask=None)[0].tolist()
    [[[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]]
    """
    n, heads, steps, width = q.shape
    output = empty((n, steps, heads, width), q.dtype).transpose(0, 2, 1, 3)
    log_sums = empty((n, heads, steps), q.dtype)
    is_small = _largest_norm(q) * _largest_norm(k) <= SAFE
    largest = None if is_small else empty(log_sums.shape, q.dtype)
    ones = np.ones(k.shape[2], q.dtype)

    def forward(samples: slice) -> None:
        for rows, keys in _row_blocks(q[samples], k, causal):
            weights = q[samples, :, rows] @ k[samples, :, keys].swapaxes(-1, -2)
            if largest is not None:
                _hide(weights, causal, None if mask is None else mask[samples, keys], -np.inf)
                found = weights.max(axis=-1)
                largest[samples, :, rows] = np.where(np.isneginf(found), 0, found)
                weights -= largest[samples, :, rows, None]
            np.exp(weights, out=weights)
            if largest is None:
                _hide(weights, causal, None if mask is None else mask[samples, keys], 0)
            sums = np.maximum(weights @ ones[keys], np.finfo(q.dtype).tiny)[..., None]
            log_sums[samples, :, rows] = np.log(sums)[..., 0]
            part = weights @ v[samples, :, keys]
            np.divide(part, sums, out=output[samples, :, rows])

    in_blocks(forward, n, n * heads * steps * k.shape[2])
    return output, largest, log_sums


def attention_backward(
    grad_output: Array,
    inputs: tuple[Array, Array, Array],
    results: Rows,
    *,
    causal: bool,
    mask: Array | None,
) -> Array:
    """Return the gradients of q, k and v as (batch, time, 3, heads, width), as one product has made the three.

    `inputs` are (q, k, v), of one length, `results` what `attention_forward` has returned of them.

    With the weights `P = softmax(S)` of the scores `S = q k.T`, the output `o = P v` and `g = dL/do`,

        dL/dv = P.T g        dL/dP = g v.T        dL/dS_ij = P_ij (dL/dP_ij - sum_k dL/dP_ik P_ik)

    and then `dL/dq = dL/dS k` and `dL/dk = dL/dS.T q`.

    >>> one = np.ones((1, 1, 2, 3))
    >>> results = attention_forward(one, one, one, causal=False, mask=None)
    >>> grads = attention_backward(one, (one, one, one), results, causal=False, mask=None)
    >>> grads.sum(axis=(0, 1, 3, 4)).round(9).tolist()
    [0.0, 0.0, 6.0]
    """
    (q, k, v), (_, largest, log_sums) = inputs, results
    n, heads, steps, width = q.shape
    grads = np.zeros((n, steps, 3, heads, width), q.dtype)
    grad_q, grad_k, grad_v = grads.transpose(2, 0, 3, 1, 4)

    def backward(samples: slice) -> None:
        for rows, keys in _row_blocks(q[samples], k, causal):
            g = grad_output[samples, :, rows]
            weights = q[samples, :, rows] @ k[samples, :, keys].swapaxes(-1, -2)
            if largest is not None:
                weights -= largest[samples, :, rows, None]
            weights -= log_sums[samples, :, rows, None]
            _hide(weights, causal, None if mask is None else mask[samples, keys], -np.inf)
            np.exp(weights, out=weights)
            grad_v[samples, :, keys] += weights.swapaxes(-1, -2) @ g
            grad_scores = g @ v[samples, :, keys].swapaxes(-1, -2)
            # Not as g . o: where one weight is 1, this difference is exactly 0, however large the scores are.
            grad_scores -= np.einsum("...ij,...ij->...i", grad_scores, weights)[..., None]
            grad_scores *= weights
            grad_q[samples, :, rows] = grad_scores @ k[samples, :, keys]
            grad_k[samples, :, keys] += grad_scores.swapaxes(-1, -2) @ q[samples, :, rows]

    in_blocks(backward, n, n * heads * steps * k.shape[2])
    return grads


def _row_blocks(q: Array, k: Array, causal: bool) -> Iterator[tuple[slice, slice]]:
    """Yield slices of the rows of queries whose scores make a block, and of the keys that they may see."""
    n, heads, steps, _ = q.shape
    n_keys = k.shape[2]
    size = max(1, tuning.TUNING.cache_block // (n * heads * n_keys))
    for start in range(0, steps, size):
        stop = min(start + size, steps)
        yield slice(start, stop), slice(0, n_keys - steps + stop if causal else n_keys)


def _hide(scores: Array, causal: bool, mask: Array | None, value: float) -> None:
    """Write `value` where a query (rows) must not see a key (columns): a later one if `causal`, and padding."""
    if mask is not None:
        np.copyto(scores, value, where=~mask[:, None, None, :])
    rows, columns = scores.shape[-2:]
    if causal and rows > 1:
        later = ~np.tri(rows, columns, columns - rows, dtype=np.bool_)
        np.copyto(scores, value, where=later)


def _largest_norm(vectors: Array) -> float:
    with np.errstate(over="ignore"):
        return math.sqrt(np.einsum("...d,...d->...", vectors, vectors).max())
