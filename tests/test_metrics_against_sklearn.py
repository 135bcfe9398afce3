"""Metrics as objects, with weights and in batches: against scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from test_metric_objects import RATIOS, Case, Numbers, cases, equal, numbers, of_batches, result

from minidl.metrics import (
    R2,
    Accuracy,
    AveragePrecision,
    BalancedAccuracy,
    LogLoss,
    MeanAbsoluteError,
    RocAuc,
    RootMeanSquaredError,
    TopKAccuracy,
    confusion_matrix,
)

sk = pytest.importorskip("sklearn.metrics")


@given(cases())
@settings(max_examples=40)
def test_classes_against_scikit_learn(case: Case) -> None:
    if not case.w.any():
        return  # scikit-learn has no answer
    numbers, options = (case.target, case.predicted), {"sample_weight": case.weight}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that occur on one side only
        equal(result(Accuracy(), case), sk.accuracy_score(*numbers, **options))
        equal(result(BalancedAccuracy(), case), sk.balanced_accuracy_score(*numbers, **options))
        labels = list(range(case.classes))
        expected = sk.confusion_matrix(*numbers, labels=labels, **options)
        np.testing.assert_allclose(
            confusion_matrix(case.scores, case.target, sample_weight=case.weight), expected, rtol=1e-12
        )
        for average in ("macro", "micro", "weighted", *(["binary"] if case.classes == 2 else [])):
            scores = sk.precision_recall_fscore_support(*numbers, average=average, zero_division=np.nan, **options)
            for (kind, _), score in zip(RATIOS.values(), scores, strict=False):
                equal(result(kind(average=average), case), score)  # type: ignore[arg-type]
        scores = sk.precision_recall_fscore_support(*numbers, labels=labels, zero_division=np.nan, **options)
        for (_, function), score in zip(RATIOS.values(), scores, strict=False):
            equal(function(case.scores, case.target, average=None, sample_weight=case.weight), score)
        if case.classes > 2:
            for k in range(1, case.classes):
                expected = sk.top_k_accuracy_score(case.target, case.scores, k=k, labels=labels, **options)
                equal(result(TopKAccuracy(k), case), expected)


@given(cases())
def test_scores_against_scikit_learn(case: Case) -> None:
    if not case.w.any():
        return
    options: dict[str, Any] = {"sample_weight": case.weight}
    labels = list(range(case.classes))
    equal(result(LogLoss(), case), sk.log_loss(case.target, case.scores, labels=labels, **options))
    found = {metric.name: result(metric, case) for metric in (RocAuc(), AveragePrecision())}
    positive = {k: case.w[case.target == k].any() for k in labels}
    if case.classes == 2:
        scores = case.scores if case.scores.ndim == 1 else case.scores[:, 1]
        if positive[1]:
            equal(found["average_precision"], sk.average_precision_score(case.target, scores, **options))
            if positive[0]:
                equal(found["roc_auc"], sk.roc_auc_score(case.target, scores, **options))
    elif all(positive.values()):
        for average in ("macro", "weighted"):
            options["average"] = average
            expected = sk.roc_auc_score(case.target, case.scores, multi_class="ovr", **options)
            equal(result(RocAuc(average), case), expected)
            expected = sk.average_precision_score(np.eye(case.classes)[case.target], case.scores, **options)
            equal(result(AveragePrecision(average), case), expected)


@given(numbers())
def test_regression_against_scikit_learn(case: Numbers) -> None:
    if case.weight is not None and np.count_nonzero(case.weight) < 2:
        return
    arrays, options = (case.target, case.prediction), {"sample_weight": case.weight}
    for metric, score in (
        (MeanAbsoluteError(), sk.mean_absolute_error),
        (RootMeanSquaredError(), sk.root_mean_squared_error),
    ):
        found = of_batches(metric, case.prediction, case.target, case.weight, case.cuts)
        np.testing.assert_allclose(found, score(*arrays, **options), rtol=1e-12)
    found = of_batches(R2(), case.prediction, case.target, case.weight, case.cuts)
    varies = np.ptp(case.target[slice(None) if case.weight is None else case.weight > 0], axis=0) > 0
    if len(case.target) > 1 and np.all(varies):
        expected = sk.r2_score(*arrays, **options)
        np.testing.assert_allclose(found / (1 + abs(expected)), expected / (1 + abs(expected)), rtol=0, atol=1e-11)
