"""scikit-learn's own checks of an estimator, all of them, for each of minidl's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minidl import Dense, ReLU, Sequential

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import estimator_checks_generator

from minidl.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor


def build(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Sequential:
    hidden = Dense(input_shape[0], 16, rng=rng, dtype=np.float64)
    return Sequential(hidden, ReLU(), Dense(16, outputs, rng=rng, dtype=np.float64))


QUICK: dict[str, Any] = {"learning_rate_init": 0.05, "max_iter": 25}
ESTIMATORS = [
    MLPClassifier((16,), **QUICK),
    MLPRegressor((16,), **QUICK),
    NetworkClassifier(build, **QUICK),
    NetworkRegressor(build, **QUICK),
]


pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def name_of(pair: tuple[Any, Any]) -> str:
    estimator, check = pair
    function = getattr(check, "func", check)
    return f"{type(estimator).__name__}-{function.func.__name__ if hasattr(function, 'func') else function.__name__}"


CHECKS = [pair for estimator in ESTIMATORS for pair in estimator_checks_generator(estimator)]


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=map(name_of, CHECKS))
def test_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
