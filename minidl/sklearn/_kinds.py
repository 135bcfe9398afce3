"""The two kinds of estimators: classifiers and regressors."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from minidl._typing import Array
from minidl.sklearn._estimator import NetworkEstimator
from minidl.sklearn._targets import ClassTargets, NumberTargets


class NetworkClassification(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """What classifiers have: classes, and their probabilities."""

    def _targets_of(self, y: Array, classes: Any) -> ClassTargets:
        return ClassTargets(y, type(self).__name__, classes)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Train for one epoch on these samples, going on from where the last call ended, and return the estimator.

        Arguments: as for `fit`; `classes` are all that there will be, and must be given to the first call.

        Raises: as `fit` does, and ValueError for a first call without `classes` and for others than the first call's.
        """
        name = f"{type(self).__name__} partial_fit classes"
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError(f"{name}: expected all classes in the first call to partial_fit, received None")
        if classes is not None and hasattr(self, "classes_") and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"{name}: expected {self.classes_}, as in the call before, received {list(classes)}")
        return self._fit_once(X, y, sample_weight, classes)

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities (n, classes), of several answers yes or no a sample those of each yes."""
        outputs = self._outputs(X)
        probabilities: Array = self._targets.probabilities(outputs)
        return probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`, finite also where that rounds to 0."""
        outputs = self._outputs(X)
        logarithms: Array = self._targets.log_probabilities(outputs)
        return logarithms

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class NetworkRegression(RegressorMixin, NetworkEstimator):  # type: ignore[misc]
    """What regressors have: numbers as targets, one or several a sample."""

    _numeric_targets = True

    def _targets_of(self, y: Array, classes: Any) -> NumberTargets:
        return NumberTargets(y, type(self).__name__)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch on these samples, going on from where the last call ended, and return the estimator.

        Raises: as `fit` does.
        """
        return self._fit_once(X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
