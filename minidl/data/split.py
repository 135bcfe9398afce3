"""Keeping a part of the samples apart to test on."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np

from minidl._samples import JointSamples, is_outside_memory, of_each
from minidl._typing import Array, Seed
from minidl._validation import as_generator, flag, shown
from minidl.data._rows import samples_of
from minidl.data.subset import Subset


def train_test_split(
    x: Any, y: Any, test_size: float = 0.2, stratify: bool = True, rng: Seed = 0
) -> tuple[Any, Any, Array, Array]:
    """Return `x_train, x_test, y_train, y_test`, drawn at random without overlap.

    Formula: the test part has `n_test = round(test_size * n)` samples; stratified, class c gives the share
    `n_test * n_c / n`, rounded by largest remainder, so that both parts have the classes in the set's proportions.

    Arguments: `x` and `y` are array-likes of the same length, `x` may be a tuple of them, as its parts then are;
    `test_size` is a share between 0 and 1, or a count of samples; the same `rng` seed gives the same parts, each in
    random order.

    Returns: four arrays; where `x` is not in memory (`numpy.memmap`, `LazyImages`), its two parts are views that read
    their samples when they are indexed.

    Raises: ValueError for different lengths, an empty part, a class too small to have a sample in both parts, and,
    stratified, for targets that are not one class a sample.

    >>> x_train, x_test, y_train, y_test = train_test_split(np.arange(10), [0, 1] * 5, test_size=0.4)
    >>> len(x_train), len(x_test), y_test.sum().item()
    (6, 4, 2)
    """
    x, y = of_each(samples_of, x, "x"), np.asarray(samples_of(y, "y"))
    if not x.shape or not y.shape or len(x) != len(y):
        raise ValueError(f"x and y: expected one target a sample, received shapes {tuple(x.shape)} and {y.shape}")
    stratify, n_test = flag(stratify, "stratify"), _test_count(test_size, len(y))
    generator = as_generator(rng)
    order = generator.permutation(len(y))
    if stratify:
        order = _stratified(order, y, n_test)
    test, train = order[:n_test], generator.permutation(order[n_test:])
    return rows_of(x, train), rows_of(x, test), y[train], y[test]


def rows_of(x: Any, rows: Array) -> Any:
    """Return some of the samples, of several inputs a tuple, and of those outside memory a Subset."""
    if isinstance(x, JointSamples):
        return tuple(rows_of(part, rows) for part in x.parts)
    return Subset(x, rows) if is_outside_memory(x) else x[rows]


def _test_count(test_size: float, n: int) -> int:
    if isinstance(test_size, bool) or not isinstance(test_size, Real):
        raise ValueError(f"test_size: expected a share or a count, received {shown(test_size)}")
    if isinstance(test_size, Integral):
        count = int(test_size)
    elif 0 < test_size < 1:
        count = round(float(test_size) * n)
    else:
        raise ValueError(f"test_size: expected a share between 0 and 1, received {shown(test_size)}")
    if not 0 < count < n:
        raise ValueError(
            f"test_size: {test_size!r} of {n} samples leaves {count} to test on and {n - count} to train on; "
            "expected at least one each"
        )
    return count


def _stratified(order: Array, y: Array, n_test: int) -> Array:
    """Return `order` rearranged so that its first `n_test` samples have the classes in proportion."""
    if y.size != len(y):
        raise ValueError(f"stratify: expected one class a sample, y (n,) or (n, 1), received shape {y.shape}")
    try:
        classes, numbers, sizes = np.unique(y.reshape(-1), return_inverse=True, return_counts=True)
    except TypeError:  # None among numbers has no place in their order
        raise ValueError(f"y: expected classes that can be put in order, received {shown(y.tolist())}") from None
    exact = n_test * sizes / len(y)
    counts = np.floor(exact).astype(int)
    by_remainder = np.argsort(counts - exact, kind="stable")
    counts[by_remainder[: n_test - counts.sum()]] += 1
    for value, size, count in zip(classes, sizes, counts, strict=True):
        if not 0 < count < size:
            raise ValueError(
                f"stratify: class {value} with {size} samples cannot stand on both sides of a test part of {n_test} "
                f"of {len(y)}; give it more samples or pass stratify=False"
            )
    members = [order[numbers[order] == number] for number in range(len(classes))]
    test = np.concatenate([rows[:count] for rows, count in zip(members, counts, strict=True)])
    in_test = np.isin(order, test)
    return np.concatenate([order[in_test], order[~in_test]])
