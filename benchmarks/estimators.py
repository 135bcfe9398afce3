"""The scikit-learn estimators: the time of `fit`, and the accuracy over five seeds, beside scikit-learn's own networks.

    python -m benchmarks.estimators

Both are given the same scaled tables that scikit-learn ships, in float64 unless it says float32, and the same
arguments: the defaults but for 100 epochs at most in the timing, none of which is left out, so that both make the same
steps. The accuracy (for diabetes R2) is that of a held-out third, another one for each seed; the median ratio is to be
no further above 1 than two standard errors of the difference of the means, relative to minidl's mean.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from benchmarks.comparison import Comparison, Measurement, Target, compare, timed
from benchmarks.machine import peer
from benchmarks.report import show
from minidl._typing import Array

TABLES = ("digits", "breast_cancer", "wine", "diabetes")
SETTINGS: dict[str, dict[str, Any]] = {"Adam": {}, "early stopping": {"early_stopping": True}, "SGD": {"solver": "sgd"}}
SEEDS = 5


def measure() -> Iterable[Comparison]:
    if peer("sklearn") is None:
        yield Comparison("the estimators of minidl.sklearn", "s", {"minidl": [], "scikit-learn": []})
        return
    for table in TABLES:
        for name, settings in SETTINGS.items():
            yield times(f"fit of {table}, {name}, 100 epochs", table, np.float64, settings)
    yield times("fit of digits, Adam, 100 epochs, float32", "digits", np.float32, {})
    for table in TABLES:
        yield accuracies(table)


def times(job: str, table: str, dtype: Any, settings: Mapping[str, Any]) -> Comparison:
    """Compare the times of `fit`."""
    x, y = samples(table)
    arguments = {"max_iter": 100, "n_iter_no_change": 100, "random_state": 0, **settings}

    def fit(make: Callable[..., Any]) -> Measurement:
        return timed(lambda: quietly_fitted(make(**arguments), x.astype(dtype), y))

    rivals: dict[str, Measurement | None] = {name: fit(make) for name, make in makers(table).items()}
    return compare(job, rivals, repetitions=7, targets={"scikit-learn": Target(at_least=1)})


def accuracies(table: str) -> Comparison:
    """Compare the accuracies, scikit-learn's to be higher by two standard errors at most."""
    from sklearn.model_selection import train_test_split

    x, y = samples(table)
    found: dict[str, list[float]] = {name: [] for name in makers(table)}
    for seed in range(SEEDS):
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=1 / 3, random_state=seed)
        for name, make in makers(table).items():
            estimator = quietly_fitted(make(max_iter=1000, random_state=seed), x_train, y_train)
            found[name].append(100 * estimator.score(x_test, y_test))
    bound = 1 + 2 * standard_error(found) / statistics.mean(found["minidl"])
    what = "R2" if table == "diabetes" else "accuracy"
    job = f"test {what} on {table}, {SEEDS} seeds"
    return Comparison(job, "%", found, {"scikit-learn": Target(at_most=bound)})


def standard_error(found: Mapping[str, list[float]]) -> float:
    """Return the standard error of the difference of two means.

    >>> standard_error({"a": [1.0, 3.0], "b": [2.0, 2.0]})
    1.0
    """
    return float(sum(statistics.variance(values) / len(values) for values in found.values()) ** 0.5)


def samples(table: str) -> tuple[Array, Array]:
    """Return a table with columns, and targets that are numbers, of mean 0 and deviation 1."""
    from sklearn import datasets
    from sklearn.preprocessing import scale

    x, y = getattr(datasets, f"load_{table}")(return_X_y=True)
    return scale(x), scale(y) if table == "diabetes" else y


def makers(table: str) -> dict[str, Callable[..., Any]]:
    """Return the classes of both."""
    import sklearn.neural_network as peers

    import minidl.sklearn as own

    name = "MLPRegressor" if table == "diabetes" else "MLPClassifier"
    return {"minidl": getattr(own, name), "scikit-learn": getattr(peers, name)}


def quietly_fitted(estimator: Any, x: Array, y: Array) -> Any:
    """Return a fitted estimator, without the warning that 100 epochs are few."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(x, y)


if __name__ == "__main__":
    show(measure())
