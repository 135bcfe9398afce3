"""minidl's estimators at work: in scikit-learn's tools, with tables, pictures and weights, and with what goes wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import Conv2D, Dense, Dropout, Flatten, NonFiniteError, ReLU, Rescale, Sequential, Softmax

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minidl.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, size=(120, 4))
Y = np.where(X[:, 0] + X[:, 1] > 4, "large", "small")
NUMBERS = (X[:, 0] - X[:, 1]) / 4
QUICK: dict[str, Any] = {"learning_rate_init": 0.05, "max_iter": 400, "tol": 0.01, "random_state": 0}


def dense(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Sequential:
    return Sequential(Dense(input_shape[0], 8, rng=rng), ReLU(), Dropout(0.1, rng=rng), Dense(8, outputs, rng=rng))


def pictures(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Sequential:
    features = (input_shape[0] - 2) * (input_shape[1] - 2) * 3
    return Sequential(
        Rescale(), Conv2D(input_shape[2], 3, 3, rng=rng), ReLU(), Flatten(), Dense(features, outputs, rng=rng)
    )


def with_softmax(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Sequential:
    return Sequential(Dense(input_shape[0], outputs, rng=rng), Softmax())


def too_wide(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Sequential:
    return Sequential(Dense(input_shape[0], outputs + 1, rng=rng))


EACH = [
    (MLPClassifier((8,), **QUICK), Y), (NetworkClassifier(dense, **QUICK), Y),
    (MLPRegressor((8,), **QUICK), NUMBERS), (NetworkRegressor(dense, **QUICK), NUMBERS),
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "y"), EACH)
def test_pipelines_and_cross_validation(estimator: Any, y: Any) -> None:
    model = make_pipeline(StandardScaler(), estimator)
    assert cross_val_score(model, X, y, cv=3).min() > 0.7
    fitted = clone(model).fit(X, y)
    np.testing.assert_array_equal(fitted.predict(X), clone(model).fit(X, y).predict(X))  # the same seed, the same bits


@pytest.mark.parametrize(("estimator", "y"), EACH)
def test_pickles_and_joblib_keep_the_network_and_what_goes_on_from_it(estimator: Any, y: Any, tmp_path: Path) -> None:
    fitted = clone(estimator).fit(X, y)
    joblib.dump(fitted, tmp_path / "estimator.joblib")
    copies = [pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "estimator.joblib")]
    expected, going_on = fitted.predict(X), fitted.partial_fit(X[:50], y[:50]).predict(X)
    for copy in copies:
        np.testing.assert_array_equal(copy.predict(X), expected)
        assert copy.loss_curve_ == fitted.loss_curve_[:-1]
        np.testing.assert_array_equal(copy.partial_fit(X[:50], y[:50]).predict(X), going_on)
    minidl.save(fitted.network_, tmp_path / "network.npz")
    again = minidl.load(tmp_path / "network.npz").predict(X)
    np.testing.assert_array_equal(again, fitted.network_.predict(X))


def test_a_grid_search_over_processes() -> None:
    grid = {"mlpclassifier__hidden_layer_sizes": [(2,), (8,)]}
    model = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    here, there = (GridSearchCV(model, grid, n_jobs=jobs, cv=2).fit(X, Y) for jobs in (1, 2))
    np.testing.assert_array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    assert there.best_score_ > 0.8


def test_tables_have_names() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    classifier = MLPClassifier(**QUICK).fit(table, pandas.Series(Y))
    assert list(classifier.feature_names_in_) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(classifier.predict(table), MLPClassifier(**QUICK).fit(X, Y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(table[["b", "a", "c", "d"]])


def test_pictures_are_arrays_or_rows() -> None:
    drawn = np.random.default_rng(1).integers(0, 100, (60, 5, 6, 1), np.uint8)
    bright = np.arange(60) % 2
    drawn[bright == 1] += 100
    of_arrays = NetworkClassifier(pictures, **QUICK).fit(drawn, bright)
    of_rows = NetworkClassifier(pictures, (5, 6, 1), **QUICK).fit(drawn.reshape(60, -1), bright)
    assert of_arrays.score(drawn, bright) == 1
    np.testing.assert_array_equal(of_arrays.predict_proba(drawn), of_rows.predict_proba(drawn.reshape(60, -1)))
    assert of_rows.n_features_in_ == 30
    with pytest.raises(ValueError, match=r"expected samples of shape \(5, 5, 1\), or rows of 25 numbers, received"):
        NetworkClassifier(pictures, (5, 5, 1), **QUICK).fit(drawn.reshape(60, -1), bright)


@given(st.integers(0, 2**31), st.sampled_from(["adam", "sgd"]), st.sampled_from(["classes", "number"]))
@settings(max_examples=20, deadline=None)
def test_a_weight_is_a_number_of_samples(seed: int, solver: str, kind: str) -> None:
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(12, 3)), rng.integers(0, 4, 12)
    y = rng.integers(0, 3, 12) if kind == "classes" else rng.normal(size=12)
    weight[:4] = 1
    y[:3] = np.arange(3)
    make = MLPClassifier if kind == "classes" else MLPRegressor
    arguments: dict[str, Any] = {"activation": "tanh", "solver": solver, "max_iter": 5, "alpha": 0.1, "random_state": 1}
    weighted = fitted(make(**arguments), x, y, sample_weight=weight)
    repeated = fitted(make(**arguments), x.repeat(weight, axis=0), y.repeat(weight))
    scaled = fitted(make(**{**arguments, "alpha": 0.3}), x, y, sample_weight=3 * weight)
    for other in (repeated, scaled):
        np.testing.assert_allclose(weighted.coefs_[0], other.coefs_[0], rtol=1e-6, atol=1e-8)


def fitted(estimator: Any, *arguments: Any, **named: Any) -> Any:
    with pytest.warns(ConvergenceWarning):
        return estimator.fit(*arguments, **named)


def test_several_answers_yes_or_no() -> None:
    answers = np.column_stack([X[:, 0] > 2, X[:, 1] > 2]).astype(int)
    classifier = make_pipeline(StandardScaler(), MLPClassifier(**QUICK)).fit(X, answers)
    assert classifier.score(X, answers) > 0.9
    probabilities = classifier.predict_proba(X)
    np.testing.assert_array_equal(probabilities > 0.5, classifier.predict(X) == 1)
    np.testing.assert_allclose(classifier.predict_log_proba(X), np.log(probabilities), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_sum_to_one_and_logarithms_stay_finite(classes: int) -> None:
    y = np.arange(len(X)) % classes
    classifier = fitted(MLPClassifier(max_iter=1), X, y)
    far = 1e4 * X
    np.testing.assert_allclose(classifier.predict_proba(far).sum(axis=1), 1)
    assert np.isfinite(classifier.predict_log_proba(far)).all()
    for x in (X, X.astype(np.float32)):
        np.testing.assert_allclose(np.exp(classifier.predict_log_proba(x)), classifier.predict_proba(x), rtol=1e-9)
    assert classifier.predict_log_proba(far).min() < -1000
    np.testing.assert_array_equal(classifier.predict_proba(far).argmax(axis=1), classifier.predict(far))


def test_the_precision_is_that_of_the_samples() -> None:
    for dtype in (np.float32, np.float64):
        regressor = MLPRegressor((4,), **QUICK).fit(X.astype(dtype), NUMBERS)
        assert regressor.coefs_[0].dtype == regressor.predict(X.astype(dtype)).dtype == dtype


def test_arguments_and_what_is_kept_are_not_changed_by_training() -> None:
    x, y, weight = X.copy(), NUMBERS.copy(), np.ones(len(X))
    regressor = fitted(MLPRegressor((4,), early_stopping=True, max_iter=8), x, y, weight)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, NUMBERS)
    before = [weights.copy() for weights in regressor.coefs_]
    regressor.coefs_[0][...] = 0  # a copy
    np.testing.assert_array_equal(regressor.coefs_[0], before[0])
    assert max(regressor.validation_scores_) == regressor.best_validation_score_


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "lbfgs"}, "MLPClassifier solver: expected 'adam' or 'sgd', received 'lbfgs'"),
        ({"activation": "gelu"}, "MLPClassifier activation: expected 'identity', 'logistic', 'tanh' or 'relu'"),
        ({"alpha": -1}, "MLPClassifier alpha: expected a finite number of at least 0, received -1"),
        ({"batch_size": "all"}, "MLPClassifier batch_size: expected 'auto' or a whole number of at least 1"),
        ({"momentum": 1.0}, r"MLPClassifier momentum: expected a number in \[0, 1\), received 1.0"),
        ({"hidden_layer_sizes": (4, 0)}, r"MLPClassifier hidden_layer_sizes\[1\]: expected a whole number"),
        ({"hidden_layer_sizes": -3}, "MLPClassifier hidden_layer_sizes: expected a list of sizes"),
        ({"n_iter_no_change": 0}, "MLPClassifier n_iter_no_change: expected a whole number of at least 1 or infinity"),
        ({"learning_rate": 0.1}, "MLPClassifier learning_rate: expected 'constant', 'invscaling' or 'adaptive'"),
        (
            {"early_stopping": True, "validation_fraction": 0.005},
            "expected a share of at least 2 samples, received 0.005 of 120",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**arguments).fit(X, np.arange(len(X)) % 3)


def test_targets_and_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="y: expected at least two classes, received 1 class: one"):
        MLPClassifier().fit(X, ["one"] * len(X))
    with pytest.raises(ValueError, match="leave one of the two out"):
        NetworkClassifier(with_softmax).fit(X, np.arange(len(X)) % 3)
    with pytest.raises(ValueError, match=r"expected a network with outputs \(batch, 1\), received \('batch', 2\)"):
        NetworkClassifier(too_wide).fit(X, Y)
    with pytest.raises(TypeError, match="build: expected a function"):
        NetworkClassifier(dense((4,), 1, RNG)).fit(X, Y)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="build: expected it to return a Module, received None"):
        NetworkRegressor(lambda *_: None).fit(X, NUMBERS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sample_weight: expected numbers of at least 0"):
        MLPRegressor().fit(X, NUMBERS, -np.ones(len(X)))
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(X)
    assert not hasattr(MLPClassifier(), "coefs_")


def test_going_on_refuses_other_targets() -> None:
    classifier = MLPClassifier(**QUICK)
    with pytest.raises(ValueError, match="classes: expected all classes in the first call"):
        classifier.partial_fit(X, Y)
    classifier.partial_fit(X, Y, ["large", "medium", "small"])
    with pytest.raises(ValueError, match=r"y: expected some of the classes .* received \['huge'\]"):
        classifier.partial_fit(X[:2], ["huge", "small"])
    with pytest.raises(ValueError, match=r"classes: expected .*, as in the call before, received"):
        classifier.partial_fit(X, Y, ["large", "small"])
    with pytest.raises(ValueError, match="as before"):
        MLPRegressor().partial_fit(X, X[:, :2]).partial_fit(X, NUMBERS)
    with pytest.raises(ValueError, match="early_stopping: expected False for partial_fit"):
        MLPRegressor(early_stopping=True).partial_fit(X, NUMBERS)


def test_what_training_comes_to_is_told() -> None:
    with pytest.warns(ConvergenceWarning, match="MLPClassifier: training still improved after max_iter=2 epochs"):
        MLPClassifier(max_iter=2).fit(X, Y)
    with pytest.warns(DataConversionWarning):
        MLPRegressor((4,), **QUICK).fit(X, NUMBERS[:, None])
    regressor = MLPRegressor(solver="sgd", learning_rate_init=1e9)
    with pytest.raises(NonFiniteError, match="try a learning rate below"):
        regressor.fit(X, NUMBERS)
    assert not hasattr(regressor, "network_")


def test_ctrl_c_keeps_the_completed_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupting(input_shape: tuple[int, ...], outputs: int, rng: np.random.Generator) -> Sequential:
        return Sequential(Interrupting(input_shape[0], outputs, rng=rng))

    with pytest.warns(UserWarning, match="NetworkRegressor: interrupted after 3 epochs"):
        regressor = NetworkRegressor(interrupting, verbose=True).fit(X, NUMBERS)
    assert regressor.n_iter_ == len(regressor.loss_curve_) == 3
    assert capsys.readouterr().out.count("Cost after iteration") == 3
    assert np.isfinite(regressor.predict(X)).all()


class Interrupting(Dense):
    steps = 0

    def backward(self, grad_output: Any) -> Any:
        self.steps += 1
        if self.steps == 4:
            raise KeyboardInterrupt
        return super().backward(grad_output)
