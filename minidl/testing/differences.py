"""Central differences: analytic gradients against the quotients of a function, with the rounding that those have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from minidl._typing import Array
from minidl.errors import GradientError

STEPS = (1e-5, 1e-6, 1e-7)  # the first balances truncation h^2 against rounding 1/h; the others step over kinks
RELATIVE_TOLERANCE = 1e-5  # a hundredth of the 0.1 % error that must never pass
EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)
ROUNDING = 20 * EPS  # rounding of a sum of terms, relative to the length of those that the step changes
PROBES = (1e-3, 7e-4, 4e-4)  # parts of a step at which rounding is measured, where more than that is found
SPREAD = 10  # how many times the rounding at these few points is allowed
MOST_ROUNDING = 1e-12  # relative to all terms; a function that varies more between such points is not smooth
CHANGE = 1e-8  # the relative change of the terms from which on a further step says something
DIRECTIONS = 4  # random directions through each tensor too large to be checked whole
SAMPLES = 24  # single entries of such a tensor


class Function(NamedTuple):
    """Functions under check, which depend on the same tensors: f_g is the sum of the terms of group g.

    `tensors` may be changed in place; `terms()` are the present terms, one-dimensional; `groups` is the number of each
    one's group, below `n_groups`; `gradients` has for each tensor a row for each f_g. Terms are subtracted one by one
    before they are summed up, so that those which a step leaves alone add no rounding.
    """

    tensors: dict[str, Array]
    terms: Callable[[], Array]
    groups: Array
    n_groups: int
    gradients: dict[str, Array]

    def sums(self, terms: Array) -> Array:
        """Return the sum of the terms of each group."""
        return np.bincount(self.groups, terms, self.n_groups)

    def lengths(self, terms: Array) -> Array:
        """Return the Euclidean norm of the terms of each group."""
        largest = np.full(self.n_groups, TINY)  # squares might overflow, or be rounded to 0
        np.maximum.at(largest, self.groups, np.abs(terms))
        lengths: Array = largest * np.sqrt(self.sums(np.square(terms / largest[self.groups])))
        return lengths


def largest_error(function: Function, name: str, rng: np.random.Generator, max_entries: int) -> float:
    """Return the largest relative error of the gradients of one tensor.

    Raises: GradientError where it is above the tolerance, with the place and both values.
    """
    largest = 0.0
    for where, direction in _directions(function.tensors[name], rng, max_entries):
        errors, analytic, numeric = _compare(function, name, direction)
        group = int(errors.argmax())
        error = float(errors[group])
        if error > RELATIVE_TOLERANCE:
            raise GradientError(
                f"gradcheck: gradient of {name}{where}: backward gives {analytic[group]:.10g}, central differences "
                f"give {numeric[group]:.10g}, relative error {error:.2g} where {RELATIVE_TOLERANCE:g} is allowed"
            )
        largest = max(largest, error)
    return largest


def _directions(tensor: Array, rng: np.random.Generator, max_entries: int) -> Iterator[tuple[str, Array]]:
    entries = np.arange(tensor.size)
    if tensor.size > max_entries:
        for i in range(DIRECTIONS):
            direction = rng.standard_normal(tensor.shape)
            yield f" along random direction {i}", direction / np.linalg.norm(direction)
        entries = rng.choice(tensor.size, size=min(SAMPLES, max_entries), replace=False)
    for entry in entries:
        direction = np.zeros(tensor.shape)
        direction.flat[entry] = 1.0
        index = ", ".join(str(i) for i in np.unravel_index(entry, tensor.shape))
        yield f"[{index}]", direction


def _compare(function: Function, name: str, direction: Array) -> Array:
    """Return each group's relative error, analytic and numeric derivative, of the step where the two agree best.

    A step that crosses a kink spoils the quotient; a smaller one then does not cross it. Steps are relative to the
    largest entry they change, but not below that of an entry of 1: another tensor may be what gives the scale. Where
    these fail, those relative to 1, or to a smaller entry, are tried, if the terms are seen to change.
    """
    entry = float(np.abs(function.tensors[name] * (direction != 0)).max())
    best = np.full((3, function.n_groups), np.inf)
    first, second = max(entry, 1.0), min(entry, 1.0)
    for size in (first, second) if 0 < second < first / 10 else (first,):
        for step in STEPS:
            found, shows = _at_step(function, name, direction, size, step)
            if size < first:
                found[0, ~shows] = np.inf
            best = np.where(found[0] < best[0], found, best)
            if (best[0] <= RELATIVE_TOLERANCE).all():
                return best
    return best


def _at_step(function: Function, name: str, direction: Array, size: float, step: float) -> tuple[Array, Array]:
    """Return each group's relative error, analytic and numeric derivative, and whether its terms are seen to change."""
    tensor = function.tensors[name]
    base, h = tensor.copy(), step * size
    reach = 2 * STEPS[0] * size  # rounding spoils the quotients of smaller steps more; they must agree as well

    def at(distance: float) -> tuple[Array, Array]:
        tensor[...] = base + distance * direction
        way, terms = tensor - base, function.terms()
        tensor[...] = base
        return way, terms

    (way_up, above), (way_down, below) = at(h), at(-h)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite disagrees
        way = ((way_up - way_down) / (2 * h)).ravel()  # the direction as the entries were rounded
        moved = slice(None) if way.all() else np.flatnonzero(way)
        change = above - below
        numeric = function.sums(change) / (2 * h)
        analytic = function.gradients[name][:, moved] @ way[moved]
        disagreement = np.abs(analytic - numeric)
        derivative = np.maximum(np.abs(analytic), np.abs(numeric))
        length = function.lengths(np.where(change != 0, above, 0))
        total = function.lengths(above)
        rounding = np.maximum(ROUNDING * length, EPS * total)  # which may be why a step leaves a term alone
        unexplained = (disagreement - RELATIVE_TOLERANCE * derivative) * reach
        most_rounding = MOST_ROUNDING * np.linalg.norm(above)
    if ((unexplained > rounding) & (unexplained <= most_rounding)).any():
        rounding = np.maximum(rounding, _measured_rounding(function, lambda part: at(part * h)[1]))
        rounding = np.minimum(rounding, most_rounding)
    with np.errstate(invalid="ignore", divide="ignore"):
        allowed = derivative + (rounding / reach + TINY) / RELATIVE_TOLERANCE
        error = disagreement / allowed
        error[~np.isfinite(disagreement)] = np.inf
    return np.array([error, analytic, numeric]), (total == 0) | (function.lengths(change) > CHANGE * length)


def _measured_rounding(function: Function, terms: Callable[[float], Array]) -> Array:
    """Return the rounding of each group's sum: what second differences very near the point have beside curvature."""
    middle = terms(0.0)
    differences = [np.abs(function.sums((terms(part) - middle) + (terms(-part) - middle))) for part in PROBES]
    rounding: Array = SPREAD * np.max(differences, axis=0)
    return rounding
