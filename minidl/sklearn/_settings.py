"""The arguments that all estimators share, checked when they are used, as scikit-learn's rules ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from minidl._validation import flag, fraction, is_natural, non_negative_number, positive_int, positive_number, shown
from minidl.module import Module
from minidl.optimizers import SGD, Adam, Optimizer, decay_groups


class Settings(NamedTuple):
    """The checked arguments; for `batch_size` None stands for "auto"."""

    solver: str
    alpha: float
    batch_size: int | None
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    verbose: bool
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float

    def optimizer(self, network: Module, decay: float) -> Optimizer:
        """Return a new optimizer of a network, with this weight decay of its matrices."""
        groups = decay_groups(network.named_parameters())
        if self.solver == "adam":
            betas = self.beta_1, self.beta_2
            return Adam(groups, self.learning_rate_init, betas, self.epsilon, weight_decay=decay)
        nesterov = self.nesterovs_momentum and self.momentum > 0
        return SGD(groups, self.learning_rate_init, self.momentum, nesterov, weight_decay=decay)


def checked_settings(estimator: Any) -> Settings:
    """Return the arguments of an estimator.

    Raises: ValueError for one that is out of range, naming the estimator's class and the argument.
    """
    where = type(estimator).__name__
    checks: dict[str, Any] = {
        "alpha": non_negative_number, "batch_size": _batch_size, "learning_rate_init": positive_number,
        "power_t": non_negative_number, "max_iter": positive_int, "shuffle": flag, "tol": non_negative_number,
        "verbose": _verbose, "warm_start": flag, "momentum": fraction, "nesterovs_momentum": flag,
        "early_stopping": flag, "validation_fraction": fraction, "beta_1": fraction, "beta_2": fraction,
        "epsilon": positive_number, "n_iter_no_change": _patience,
    }  # fmt: skip
    found = {name: check(getattr(estimator, name), f"{where} {name}") for name, check in checks.items()}
    if isinstance(estimator.solver, str) and estimator.solver == "lbfgs":
        raise ValueError(f"{where} solver: expected 'adam' or 'sgd', received 'lbfgs', which minidl does not have")
    solver = one_of(("adam", "sgd"), estimator.solver, f"{where} solver")
    rates = ("constant", "invscaling", "adaptive")
    rate = one_of(rates, estimator.learning_rate, f"{where} learning_rate")
    # As in scikit-learn, schedules are for "sgd" alone.
    return Settings(solver=solver, learning_rate=rate if solver == "sgd" else "constant", **found)


def one_of(known: Sequence[str], value: Any, name: str) -> str:
    """Return `value` if it is one of the known names."""
    if not isinstance(value, str) or value not in known:
        listed = ", ".join(repr(one) for one in known[:-1])
        raise ValueError(f"{name}: expected {listed} or {known[-1]!r}, received {shown(value)}")
    return value


def _batch_size(value: Any, name: str) -> int | None:
    if isinstance(value, str) and value == "auto":
        return None
    if isinstance(value, str):
        raise ValueError(f"{name}: expected 'auto' or a whole number of at least 1, received {shown(value)}")
    return positive_int(value, name)


def _patience(value: Any, name: str) -> float:
    if isinstance(value, float) and value == math.inf:
        return math.inf
    if not is_natural(value) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1 or infinity, received {shown(value)}")
    return int(value)


def _verbose(value: Any, name: str) -> bool:
    """Return whether costs are printed; scikit-learn takes whole numbers, too."""
    return value > 0 if isinstance(value, int) else flag(value, name)
