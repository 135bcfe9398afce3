"""Metrics: numbers for people, over a whole set, that no gradient is taken of."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._typing import Array


def accuracy(prediction: Any, target: Any, threshold: float = 0.5) -> float:
    """Return the share of samples that are classified right.

    Formula: `mean([p > threshold] == [t > 0.5])`; the article predicts class 1 for p > 0.5.

    Shapes: prediction and target (n,) or (n, 1).

    Raises: ValueError for different numbers of samples, or none.

    >>> accuracy([[0.9], [0.2], [0.7], [0.4]], [1, 0, 0, 0])
    0.75
    """
    p, t = _columns(prediction, target)
    return float(np.mean((p > threshold) == (t > 0.5)))


def majority_baseline(target: Any) -> float:
    """Return the accuracy of always answering with the more frequent class.

    Formula: `max(share, 1 - share)` with `share = mean([t > 0.5])`.

    Raises: ValueError for an empty target.

    >>> majority_baseline([1, 0, 0, 0])
    0.75
    """
    t, _ = _columns(target, target)
    share = float(np.mean(t > 0.5))
    return max(share, 1 - share)


def _columns(prediction: Any, target: Any) -> tuple[Array, Array]:
    p, t = np.asarray(prediction), np.asarray(target)
    if p.size != t.size or p.size == 0 or p.size != len(p) or t.size != len(t):
        raise ValueError(f"expected one prediction and one target a sample, received shapes {p.shape} and {t.shape}")
    return p.ravel(), t.ravel()
