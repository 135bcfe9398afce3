"""Metrics: against plain counting, in each form of predictions and targets."""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Checkpoint,
    EarlyStopping,
    Metric,
    Trainer,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    majority_baseline,
    mlp,
    precision,
    recall,
)
from minidl._typing import Array
from minidl.metrics import F1, Accuracy, FunctionMetric, LogLoss, Precision, RocAuc

counts = st.integers(1, 40)


def binary_case(n: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 11, size=n) / 10, rng.integers(0, 2, size=n)


@given(counts, seeds, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_two_classes_against_plain_counting(n: int, seed: int, threshold: float) -> None:
    p, t = binary_case(n, seed)
    tp = fp = tn = fn = 0
    for probability, label in zip(p, t, strict=True):
        tp += probability > threshold and label == 1
        fp += probability > threshold and label == 0
        tn += probability <= threshold and label == 0
        fn += probability <= threshold and label == 1
    recalls = [part / whole for part, whole in ((tp, tp + fn), (tn, tn + fp)) if whole]
    for prediction in (p, p[:, None], p.tolist()):
        for target in (t, t[:, None], t.astype(np.float32), t.astype(bool)):
            assert confusion_counts(prediction, target, threshold) == (tp, fp, tn, fn)
            assert accuracy(prediction, target, threshold) == pytest.approx((tp + tn) / n)
            assert balanced_accuracy(prediction, target, threshold) == pytest.approx(sum(recalls) / len(recalls))
            expected = tp / (tp + fp) if tp + fp else math.nan
            assert precision(prediction, target, threshold) == pytest.approx(expected, nan_ok=True)
            expected = tp / (tp + fn) if tp + fn else math.nan
            assert recall(prediction, target, threshold) == pytest.approx(expected, nan_ok=True)
    assert majority_baseline(t) == max(tp + fn, tn + fp) / n


@given(counts, st.integers(2, 5), seeds)
def test_several_classes_against_plain_counting(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, t = rng.dirichlet(np.ones(k), size=n), rng.integers(k, size=n)
    chosen = [max(range(k), key=list(row).__getitem__) for row in p]
    right = [int(c) == int(label) for c, label in zip(chosen, t, strict=True)]
    recalls = []
    for label in set(t.tolist()):
        of_class = [r for r, other in zip(right, t, strict=True) if other == label]
        recalls.append(sum(of_class) / len(of_class))
    for target in (t, t[:, None], np.eye(k)[t], t.astype(np.float32)):
        assert accuracy(p, target) == pytest.approx(sum(right) / n)
        assert balanced_accuracy(p, target) == pytest.approx(sum(recalls) / len(recalls))
        assert majority_baseline(target) == pytest.approx(max(t.tolist().count(label) for label in range(k)) / n)


@given(counts, seeds)
def test_two_columns_are_as_good_as_one(n: int, seed: int) -> None:
    p, t = binary_case(n, seed)
    p = np.where(p == 0.5, 0.25, p)  # 0.5 is class 0 by the threshold, and so it is by argmax
    columns = np.stack([1 - p, p], axis=1)
    for target in (t, np.eye(2)[t], t.astype(float)):
        assert confusion_counts(columns, target) == confusion_counts(p, t)


@given(counts, seeds, st.integers(1, 7))
def test_f1_against_plain_counting(n: int, seed: int, batch_size: int) -> None:
    p, t = binary_case(n, seed)
    tp = sum(bool(probability > 0.5 and label == 1) for probability, label in zip(p, t, strict=True))
    wrong = sum(bool((probability > 0.5) != (label == 1)) for probability, label in zip(p, t, strict=True))
    expected = 2 * tp / (2 * tp + wrong) if tp + wrong else math.nan
    for prediction in (p, p[:, None], np.stack([1 - p, np.where(p == 0.5, 0.25, p)], axis=1)):
        parts = [slice(start, start + batch_size) for start in range(0, n, batch_size)]
        metric: Metric = F1()
        measured = reduce(metric.merge, [metric.measure(prediction[part], t[part]) for part in parts])
        assert metric.result(measured) == pytest.approx(expected, nan_ok=True)
        if tp:
            ratios = precision(prediction, t), recall(prediction, t)
            assert metric.result(measured) == pytest.approx(2 / (1 / ratios[0] + 1 / ratios[1]))
    assert metric.higher_is_better


@given(counts, seeds, st.integers(1, 7))
def test_a_function_as_a_metric_is_given_the_whole_set(n: int, seed: int, batch_size: int) -> None:
    p, t = (array[:, None] for array in binary_case(n, seed))
    calls: list[tuple[Array, Array]] = []

    def largest(prediction: Array, target: Array) -> float:
        calls.append((prediction, target))
        return float(np.abs(prediction - target).max())

    metric = FunctionMetric(largest, higher_is_better=True)
    assert metric.higher_is_better
    assert not FunctionMetric(largest).higher_is_better
    measured, buffers = [], (np.empty((batch_size, 1)), np.empty((batch_size, 1)))
    for start in range(0, n, batch_size):
        part = p[start : start + batch_size], t[start : start + batch_size]
        views = [buffer[: len(part[0])] for buffer in buffers]  # memory that the next batch writes over
        for view, values in zip(views, part, strict=True):
            view[...] = values
        measured.append(metric.measure(*views))
    assert metric.result(reduce(metric.merge, measured)) == float(np.abs(p - t).max())
    ((prediction, target),) = calls
    np.testing.assert_array_equal(prediction, p)
    np.testing.assert_array_equal(target, t)


def test_training_measures_over_the_whole_set_and_keeps_no_state_between_passes() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    model = mlp([3, 8, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.5), {"f1": F1(), "recall": recall})
    history = trainer.fit(x, y, 5, 7, validation_data=(x[:15], y[:15]), print_every=None, rng=0)
    assert set(history) >= {"f1", "recall", "val_f1", "val_recall"}
    p = model.predict(x[:15])
    assert history["val_recall"][-1] == pytest.approx(recall(p, y[:15]))
    assert history["val_f1"][-1] == pytest.approx(F1().result(F1().measure(p, y[:15])))
    for batch_size in (None, 7):
        found = trainer.evaluate(x, y, batch_size)
        assert found["recall"] == pytest.approx(recall(model.predict(x), y))
        assert found["f1"] == pytest.approx(F1().result(F1().measure(model.predict(x), y)))


def test_a_list_of_metrics_is_recorded_monitored_and_resumed_by_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(40, 3)), rng.integers(0, 2, 40), rng.integers(0, 3, 40)
    metrics: list[Any] = [Accuracy(), F1(), RocAuc(), Precision(average="macro"), LogLoss(), LargestOfAll(), recall]
    names = ["accuracy", "f1", "roc_auc", "precision_macro", "log_loss", "largest_of_all", "recall"]

    def fitted(epochs: int, path: Path | None = None) -> Trainer:
        model = mlp([3, 8, 1], rng=0)
        trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.5), metrics)
        if path is not None and path.exists():
            trainer.resume(path)
        callbacks = [EarlyStopping("val_roc_auc", 50), *([Checkpoint(path)] if path is not None else [])]
        trainer.fit(x, y, epochs, 7, (x[:15], y[:15]), None, rng=0, callbacks=callbacks, sample_weight=w)
        return trainer

    trainer = fitted(6)
    assert [name for name in trainer.history if name in names] == names
    best = max(trainer.history["val_roc_auc"])
    p = trainer.model.predict(x)
    found = trainer.evaluate(x, y, 7, sample_weight=w)
    assert trainer.evaluate(x[:15], y[:15])["roc_auc"] == best == RocAuc()(p[:15], y[:15])
    for name, metric in zip(names, metrics, strict=True):
        expected = recall(p, y, sample_weight=w) if metric is recall else metric(p, y[:, None], w)
        assert found[name] == pytest.approx(expected, rel=1e-5), name
    assert trainer.run is not None
    assert [trainer.run.higher_is_better(name) for name in names] == [True, True, True, True, False, False, False]
    fitted(3, tmp_path / "run.ckpt")
    resumed = fitted(6, tmp_path / "run.ckpt")
    for name in names:
        assert resumed.history[f"val_{name}"] == trainer.history[f"val_{name}"]


class LargestOfAll(Metric):
    """A metric that takes weights, and does nothing with them."""

    def measure(self, prediction: Array, target: Array, weight: Array | None = None) -> float:
        return float(prediction.max())

    def merge(self, first: float, second: float) -> float:
        return max(first, second)

    def result(self, measured: float) -> float:
        return measured


def test_a_metric_without_its_methods_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match=r"Metric does not define measure\(prediction, target\)"):
        Metric().measure(np.ones(1), np.ones(1))
    with pytest.raises(NotImplementedError, match=r"Metric does not define result\(measured\)"):
        Metric().result(1)
    assert Metric().merge(1, 2) == 3
    assert not Metric.higher_is_better


def test_undefined_ratios_are_nan() -> None:
    assert math.isnan(precision([0.1, 0.2], [1, 0]))
    assert recall([0.1, 0.2], [1, 0]) == 0
    assert math.isnan(recall([0.1, 0.9], [0, 0]))
    assert precision([0.1, 0.9], [0, 0]) == 0
    assert balanced_accuracy([0.1, 0.9], [0, 0]) == 0.5  # class 1 does not occur


def test_probabilities_as_targets_are_taken_at_one_half() -> None:
    assert majority_baseline([0.9, 0.6, 0.5]) == pytest.approx(2 / 3)
    assert accuracy([0.9, 0.1], [0.6, 0.5]) == 1.0


@pytest.mark.parametrize("metric", [accuracy, confusion_counts, precision, recall, balanced_accuracy])
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([0.1, 0.2], [0, 1, 1], r"one prediction and one target a sample, received shapes \(2,\) and \(3,\)"),
        ([[0.1, 0.9]], [[0, 0, 1]], r"one prediction and one target a sample, received shapes \(1, 2\) and \(1, 3\)"),
        ([0.1, 0.2], [[0, 1], [1, 0]], r"received shapes \(2,\) and \(2, 2\)"),
        ([], [], r"prediction: expected shape \(n,\) or \(n, classes\) with at least one sample, received \(0,\)"),
        ([0.5], 1, r"target: expected shape \(n,\) or \(n, classes\) with at least one sample, received \(\)"),
    ],
)
def test_bad_input(metric: Any, prediction: Any, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(prediction, target)


def test_bad_input_of_single_metrics() -> None:
    with pytest.raises(ValueError, match=r"target: expected shape \(n,\) .* received \(0,\)"):
        majority_baseline([])
    with pytest.raises(ValueError, match=r"expected the two classes 0 and 1, received the classes \[0, 1, 2\]"):
        confusion_counts(np.eye(3), [0, 2, 2])
